"""Truth about windows of soundscapes, and how scores of a model meet it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from birdfast.audio.read import window_starts
from birdfast.audio.recordings import find_recordings, read_durations
from birdfast.errors import BirdfastError
from birdfast.evaluation.report import INDEX, join_truth, joined_rows
from birdfast.notes import note
from birdfast.prediction.postprocess import PostProcess


class Sides(NamedTuple):
    """What is compared, row by row."""

    targets: np.ndarray  # (n, n_classes); of recordings class indices (n,)
    probabilities: np.ndarray  # (n, n_classes)
    classes: list[str]
    rows: pd.DataFrame  # path, start_time, end_time; of a submission the path is what its row_id begins with


@dataclass(frozen=True)
class Truth:
    """Who sings in which windows. `what` says in words where this is known from."""

    what: str
    windows: pd.DataFrame  # indexed (path, start_time, end_time): a column a class, or one column `labels` of tuples
    complete: bool  # False: a window without a row, in a soundscape that has some, holds no call

    def multi_hot(self, classes: Sequence[str]) -> pd.DataFrame:
        """0 and 1 in a column a class; of label lists, for `classes`."""
        if "labels" not in self.windows:
            return self.windows
        table = pd.DataFrame(0.0, index=self.windows.index, columns=list(classes))
        values, place = table.to_numpy(copy=True), {name: i for i, name in enumerate(classes)}
        unknown = {label for labels in self.windows["labels"] for label in labels if label not in place}
        if unknown:
            some = ", ".join(sorted(unknown)[:5])
            note(f"{len(unknown)} labelled species that the model does not know are left out: {some}")
        for row, labels in zip(values, self.windows["labels"], strict=True):
            row[[place[label] for label in labels if label in place]] = 1.0
        return pd.DataFrame(values, index=table.index, columns=table.columns)


def window_scores(predictor: Any, truth: Truth, *, post: PostProcess | None = None, progress: bool = True) -> Sides:
    """Let the model score the windows of the truth as :meth:`Predictor.submission` scores its rows.

    A complete truth names the windows that are scored, and that `post` acts on; of another one it is all windows of its
    recordings. A model that hears longer or shorter ones is given that around the middle of each.
    """
    table = truth.multi_hot(predictor.classes)
    length = float(np.median(table.index.get_level_values("end_time") - table.index.get_level_values("start_time")))
    if abs(length - predictor.window) > 1e-6:
        hears = f"the model hears {predictor.window:g} s"
        note(f"{hears}: each {length:g} s of the truth is scored by the window around its middle")
    paths = find_recordings(table.index.unique("path").tolist())
    durations, broken = read_durations(paths, workers=predictor.workers)
    windows = table.index.to_frame(index=False) if truth.complete else _all_windows(durations, length)
    inside = windows.assign(start_time=_starts(windows, durations, length))
    scores = predictor.score_windows(inside, durations, broken, length=length, post=post, progress=progress)
    return join(scores.set_axis(pd.MultiIndex.from_frame(windows[INDEX])).dropna(), table, truth)


def _all_windows(durations: Mapping[str, float], length: float) -> pd.DataFrame:
    """``path, start_time, end_time`` of the windows of `length` s that follow each other in each recording."""
    rows = [(path, start) for path, d in durations.items() for start in window_starts(d, window=length)]
    table = pd.DataFrame(rows, columns=INDEX[:2])
    return table.assign(end_time=table["start_time"] + length)


def _starts(windows: pd.DataFrame, durations: Mapping[str, float], length: float) -> np.ndarray:
    """Where each of the `windows`, which last `length` s, begins; the file's last, if beyond its end, as in a submission."""
    last = {path: window_starts(duration, window=length)[-1] for path, duration in durations.items()}
    asked, lasts = windows["start_time"].to_numpy(), windows["path"].map(last).to_numpy()
    if n := int((asked > lasts).sum()):
        note(f"{n} rows of the truth lie beyond their file's end: they hold the scores of its last window")
    return np.minimum(asked, lasts)


def join(scores: pd.DataFrame, table: pd.DataFrame, truth: Truth) -> Sides:
    """Scores beside the `table` of the truth, which has a column a class."""
    missing = [name for name in table.columns if name not in scores.columns]
    if missing:
        raise BirdfastError(f"{len(missing)} classes of the truth have no scores: {', '.join(missing[:5])}")
    scores = scores[list(table.columns)]
    no_row = "unknown" if truth.complete else "no call"
    targets, probabilities, n_missing = join_truth(scores, table, no_row=no_row)
    if n_missing:
        note(f"{n_missing} of {len(table)} rows of the truth have no scores: left out")
    return Sides(targets, probabilities, list(table.columns), joined_rows(scores, table, no_row=no_row))
