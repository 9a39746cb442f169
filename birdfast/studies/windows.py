"""Truth about windows of soundscapes, and how scores of a model meet it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from birdfast.errors import BirdfastError
from birdfast.evaluation.report import INDEX, join_truth, joined_rows
from birdfast.notes import note
from birdfast.recordings.audio import read_headers, window_starts


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


def window_scores(predictor: Any, truth: Truth, **options: Any) -> Sides:
    """Let the model score the windows of the truth, whatever length it hears; `options` are those of its predict."""
    table = truth.multi_hot(predictor.classes)
    paths = table.index.unique("path").tolist()
    length = float(np.median(table.index.get_level_values("end_time") - table.index.get_level_values("start_time")))
    same = _equal(length, predictor.window)
    scores = predictor.predict(paths, **options) if same else _around(predictor, paths, length, options)
    return join(scores, table, truth)


def _equal(a: float, b: float) -> bool:
    return abs(a - b) < 1e-6


def _around(predictor: Any, paths: list[str], length: float, options: dict[str, Any]) -> pd.DataFrame:
    """Scores of windows of `length` s by a model that hears longer or shorter ones: that whose middle is nearest."""
    duration = predictor.window
    note(f"the model hears {duration:g} s: each {length:g} s of the truth is scored by the window around its middle")
    dense = predictor.predict(paths, step=length / 2, **options)
    durations = read_headers(paths).set_index("path")["duration"]
    parts, keys = [], []
    for path, group in dense.groupby(level="path", sort=False):
        middles = group.index.get_level_values("start_time").to_numpy() + duration / 2
        starts = window_starts(durations[path], window=length)
        nearest = np.abs(middles[None, :] - (starts + length / 2)[:, None]).argmin(axis=1)
        parts.append(group.to_numpy()[nearest])
        keys += [(path, start, start + length) for start in starts]
    return pd.DataFrame(
        np.concatenate(parts), index=pd.MultiIndex.from_tuples(keys, names=INDEX), columns=dense.columns
    )


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
