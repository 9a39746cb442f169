"""Scores of windows to events: overlaps averaged, windows above a threshold, neighbours joined.

Scores are indexed ``(path, start_time, end_time)`` with a column a class. Events are a table ``path, start_time,
end_time, label, probability``.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from birdfast.audio.windows import check_spacing
from birdfast.errors import BirdfastError

INDEX = ["path", "start_time", "end_time"]
EVENTS = [*INDEX, "label", "probability"]
_SLACK = 1e-6  # s: times are multiples of a step in floating point


def check_average(step: float, window: float) -> None:
    """Refuse stretches longer than a window of `window` s: the middles of some are heard by none, and would be dropped."""
    if step > window + _SLACK:
        raise BirdfastError(
            f"average is of overlapping windows, and at a step of {step:g} s windows of {window:g} s leave gaps: "
            f"take a step of {window:g} s or less, or leave out average"
        )


def average_overlaps(scores: pd.DataFrame, step: float) -> pd.DataFrame:
    """Scores of stretches of `step` s, one after the other: the mean of all windows over the middle of each.

    Stretch k begins at k x step; the last one ends where the last window does.
    """
    check_spacing(step)
    parts = [_average(str(path), table, step) for path, table in scores.groupby(level="path", sort=False)]
    return pd.concat(parts) if parts else scores


def _average(path: str, scores: pd.DataFrame, step: float) -> pd.DataFrame:
    starts = scores.index.get_level_values("start_time").to_numpy()
    ends = scores.index.get_level_values("end_time").to_numpy()
    begins = np.arange(max(1, round(np.ceil((ends[-1] - _SLACK) / step)))) * step
    middles = (begins + np.minimum(begins + step, ends[-1])) / 2
    # Windows rise, so those over a moment are neighbours: the last that has begun back to the first that has not ended.
    first = np.searchsorted(ends, middles, side="right")
    last = np.searchsorted(starts, middles, side="right")
    covered = last > first
    sums = np.vstack([np.zeros((1, scores.shape[1])), np.cumsum(scores.to_numpy(np.float64), axis=0)])
    first, last, begins = first[covered], last[covered], begins[covered]
    means = (sums[last] - sums[first]) / (last - first)[:, None]
    stretches = [[path] * len(begins), begins, np.minimum(begins + step, ends[-1])]
    index = pd.MultiIndex.from_arrays(stretches, names=INDEX)
    return pd.DataFrame(means.astype(np.float32), index=index, columns=scores.columns)


def mean_within(scores: pd.DataFrame, rows: pd.DataFrame, length: float) -> pd.DataFrame:
    """Of each of the `rows` (``path, start_time``) the mean of its stretches, those with their middle within `length` s.

    Parameters
    ----------
    scores
        As :func:`average_overlaps` gives them. Where none lies within, the nearest counts; a path without any gets NaN.
    """
    means = np.full((len(rows), scores.shape[1]), np.nan, dtype=np.float32)
    starts, places = rows["start_time"].to_numpy(), rows.groupby("path").indices
    for path, table in scores.groupby(level="path", sort=False):
        mine, index = places[path], table.index
        middles = (index.get_level_values("start_time") + index.get_level_values("end_time")).to_numpy() / 2
        first = np.minimum(np.searchsorted(middles, starts[mine] - _SLACK), len(middles) - 1)
        last = np.maximum(np.searchsorted(middles, starts[mine] + length - _SLACK), first + 1)
        values = table.to_numpy()
        means[mine] = [values[i:j].mean(axis=0) for i, j in zip(first, last, strict=True)]
    return pd.DataFrame(means, index=pd.MultiIndex.from_frame(rows[["path", "start_time"]]), columns=scores.columns)


def find_events(
    scores: pd.DataFrame,
    thresholds: np.ndarray | float,
    *,
    top_k: int | None = None,
    gap: float | None = 0.0,
    decided: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Where each class is heard, by time and then by class.

    Parameters
    ----------
    thresholds
        Probability from which a class counts as heard; one for all, or ``(n_classes,)``.
    top_k
        Only the classes with the `top_k` highest probabilities of each window.
    gap
        Windows of one class that lie this close, in s (0: touch or overlap), are one event with the highest of their
        probabilities; with None every window is an event of its own.
    decided
        Scores of the same rows and columns on which the thresholds are, where they are not on `scores` themselves.
    """
    check_events(top_k, gap)
    values = scores.to_numpy()
    heard = (values if decided is None else decided.to_numpy()) >= np.asarray(thresholds)
    if top_k is not None and top_k < values.shape[1]:
        heard &= _top(values, top_k)
    row, column = np.nonzero(heard)
    windows = scores.index[row].to_frame(index=False)
    found = windows.assign(label=np.asarray(scores.columns, dtype=object)[column], probability=values[row, column])
    return found[EVENTS] if gap is None else merge(found[EVENTS], gap=gap)


def check_events(top_k: int | None, gap: float | None) -> None:
    """Refuse what cannot be meant."""
    if top_k is not None and top_k < 1:
        raise BirdfastError(f"top_k must be 1 or more, not {top_k}")
    if gap is not None and gap < 0:
        raise BirdfastError(f"gap is a time in s between events to join, 0 or more, not {gap}")


def _top(values: np.ndarray, k: int) -> np.ndarray:
    """True for the k highest of each row ``(n, n_classes)``; of equals the first."""
    best = np.argsort(-values, axis=1, kind="stable")[:, :k]
    mask = np.zeros(values.shape, dtype=bool)
    np.put_along_axis(mask, best, True, axis=1)
    return mask


def merge(events: pd.DataFrame, *, gap: float = 0.0) -> pd.DataFrame:
    """Join events of one recording and label that lie up to `gap` s apart; the highest probability stays."""
    check_events(None, gap)
    rows = events.sort_values(["path", "label", "start_time"], kind="stable", ignore_index=True)
    same = (rows["path"].eq(rows["path"].shift())) & (rows["label"].eq(rows["label"].shift()))
    reach = rows.groupby(["path", "label"], sort=False)["end_time"].cummax().shift()
    event = (~same | (rows["start_time"] > reach + gap + _SLACK)).cumsum()
    how = {"path": "first", "start_time": "min", "end_time": "max", "label": "first", "probability": "max"}
    joined = rows.groupby(event, sort=False).agg(how)
    order = {path: i for i, path in enumerate(events["path"].unique())}
    place = joined["path"].map(order)
    return joined.assign(place=place).sort_values(["place", "start_time", "label"], ignore_index=True)[EVENTS]
