"""Which class is good: tables a person reads, and the joining of scores with truth that comes before them."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from birdfast.errors import BirdfastError, unknown
from birdfast.evaluation.metrics import (
    PRESENT,
    Floats,
    Ints,
    check,
    class_ap,
    class_auc,
    class_f1,
    decision_counts,
    top_classes,
)

INDEX = ["path", "start_time", "end_time"]  # of every table of scores and of truth
_SILENT = -2  # in place of a row of the truth: a window in which nobody sings


def per_class_table(
    targets: ArrayLike,
    probabilities: ArrayLike,
    classes: Sequence[str],
    *,
    train_counts: pd.Series | Mapping[str, int] | None = None,
) -> pd.DataFrame:
    """One row a class: support, auc, ap, f1, precision, recall, and train_recordings if `train_counts` are given.

    Decisions are the top score for class indices, 0.5 for multi-hot targets. NaN where a figure is undefined: no
    positive row (all but precision), no negative row (auc), never decided for (precision). A class that `train_counts`
    do not name has 0 recordings.
    """
    truth, scores = check(targets, probabilities)
    _check_classes(classes, scores)
    hits, false, missed = decision_counts(truth, scores)
    table = pd.DataFrame(
        {
            "support": hits + missed,
            "auc": class_auc(truth, scores),
            "ap": class_ap(truth, scores),
            "f1": class_f1(truth, scores),
            "precision": _share(hits, hits + false),
            "recall": _share(hits, hits + missed),
        },
        index=pd.Index(list(classes), name="class"),
    )
    if train_counts is not None:
        table["train_recordings"] = _counts_in_order(train_counts, classes)
    return table


def _check_classes(classes: Sequence[str], scores: Floats) -> None:
    if len(classes) != scores.shape[1]:
        raise BirdfastError(
            f"{len(classes)} class names do not go with probabilities of shape {scores.shape}: give the model's list"
        )


def _share(part: Ints, whole: Ints) -> Floats:
    return np.where(whole > 0, part / np.maximum(whole, 1), np.nan)


def _counts_in_order(train_counts: pd.Series | Mapping[str, int], classes: Sequence[str]) -> list[int]:
    counts = dict(train_counts.items())
    known = set(classes)
    for name in counts:
        if name not in known:
            raise unknown("class in train_counts", name, classes)
    return [int(counts.get(name, 0)) for name in classes]


def worst_pairs(targets: ArrayLike, probabilities: ArrayLike, classes: Sequence[str], *, n: int = 10) -> pd.DataFrame:
    """The `n` commonest confusions: ``true, predicted, count, share`` (of all rows with that true class), most first.

    With multi-hot targets a row counts when its top-scored class is not among its positives, once for each positive;
    a share is of all rows where the class is present, whatever else is, as in :func:`birdfast.plots.judgement.plot_confusion`.
    """
    truth, scores = check(targets, probabilities)
    _check_classes(classes, scores)
    counts = confusion_counts(truth, scores, errors_only=True)
    support = class_support(truth, len(classes))
    names = np.asarray(list(classes), dtype=object)
    counts["share"] = counts["count"] / support[counts["true"]]
    counts = counts.sort_values(["count", "share"], ascending=False, kind="stable").head(n)
    return counts.assign(true=names[counts["true"]], predicted=names[counts["predicted"]]).reset_index(drop=True)


def worst_errors(targets: ArrayLike, probabilities: ArrayLike, classes: Sequence[str], *, n: int = 6) -> pd.DataFrame:
    """What a person should look at first: ``kind, row, label, probability, truth``, each row once, a class twice at most.

    "false alarm": the `n` highest probabilities of an absent class. "missed": the `n` lowest of a present one, for
    multi-hot targets only, where a row without a false alarm may still miss one. `truth` names the classes present.
    """
    truth, scores = check(targets, probabilities)
    _check_classes(classes, scores)
    hot = np.eye(len(classes))[truth] if truth.ndim == 1 else truth
    wrong = _first_of(np.where(hot < PRESENT, scores, -np.inf), n)
    kinds = [("false alarm", wrong)]
    if truth.ndim == 2:
        kinds.append(("missed", _first_of(np.where(hot >= PRESENT, -scores, -np.inf), n)))
    names = np.asarray(list(classes), dtype=object)
    return pd.DataFrame(
        [
            (kind, row, names[column], float(scores[row, column]), tuple(names[hot[row] >= PRESENT]))
            for kind, places in kinds
            for row, column in places
        ],
        columns=["kind", "row", "label", "probability", "truth"],
    )


def _first_of(values: Floats, n: int) -> list[tuple[int, int]]:
    """Row and column of the `n` highest values, each row once, a column twice at most, -inf never."""
    found: list[tuple[int, int]] = []
    best = values.argmax(axis=1) if values.size else np.zeros(0, dtype=int)
    for row in np.argsort(-values[np.arange(len(values)), best], kind="stable"):
        column = int(best[row])
        if len(found) == n or values[row, column] == -np.inf:
            break
        if sum(column == other for _, other in found) < 2:
            found.append((int(row), column))
    return found


def confusion_counts(targets: ArrayLike, probabilities: ArrayLike, *, errors_only: bool = False) -> pd.DataFrame:
    """How often a class was the top one when another was true: ``true, predicted`` (class indices) and ``count``.

    A row of several positives counts under its top-scored class if that is one of them, else under each of them.
    """
    truth, scores = check(targets, probabilities)
    top = top_classes(truth, scores)
    rows, true = _positives(truth)
    predicted = top[rows]
    right = np.zeros(len(scores), dtype=bool)
    right[rows[true == predicted]] = True
    keep = ~right[rows] if errors_only else ~right[rows] | (true == predicted)
    pairs = pd.DataFrame({"true": true[keep], "predicted": predicted[keep]})
    return pairs.groupby(["true", "predicted"]).size().rename("count").reset_index()


def class_support(targets: ArrayLike, n_classes: int) -> Ints:
    """Rows in which each class is present ``(n_classes,)``: what shares of a true class are shares of."""
    return np.bincount(_positives(np.asarray(targets))[1], minlength=n_classes)


def _positives(truth: NDArray[Any]) -> tuple[Ints, Ints]:
    """The row and the class of every positive."""
    if truth.ndim == 1:
        return np.arange(len(truth)), truth
    rows, columns = np.nonzero(truth >= PRESENT)
    return rows, columns


def average_by(keys: Iterable[Hashable], values: ArrayLike) -> tuple[list[Any], Floats]:
    """Average the rows of `values` ``(n, ...)`` that share a key: the windows of a recording, say.

    Returns
    -------
    keys : list, in the order in which each came first
    averages : float64 ``(n_keys, ...)``
    """
    keys, table = list(keys), np.asarray(values)
    if not table.ndim or len(keys) != len(table):
        raise BirdfastError(f"{len(keys)} keys do not go with values of shape {table.shape}: give one key a row")
    if not keys:
        return [], table.astype(np.float64)
    places: dict[Hashable, int] = {}
    codes = np.array([places.setdefault(key, len(places)) for key in keys])
    order = np.argsort(codes, kind="stable")
    counts = np.bincount(codes)
    starts = np.cumsum(counts) - counts
    sums = np.add.reduceat(table[order], starts, axis=0, dtype=np.float64)
    return list(places), sums / counts.reshape(-1, *[1] * (table.ndim - 1))


def rare_third(train_counts: pd.Series | Mapping[str, int]) -> list[str]:
    """The third of the classes (of those that have any recording) with the fewest, rarest first; at least one.

    Of equals, the one named first comes first. ``len // 3`` classes: 68 of 206.
    """
    counts = [(name, count) for name, count in train_counts.items() if count > 0]
    counts.sort(key=lambda pair: pair[1])
    return [str(name) for name, _ in counts[: max(len(counts) // 3, 1)]]


def join_truth(
    scores: pd.DataFrame, truth: pd.DataFrame, *, no_row: str = "no call"
) -> tuple[NDArray[np.float64], Floats, int]:
    """Lay scores and truth side by side, in the order of the scores.

    Parameters
    ----------
    scores, truth : DataFrame indexed ``(path, start_time, end_time)`` (s; equal to the millisecond), a column a class
        Truth is multi-hot, NaN: unknown. Its columns may stand in another order.
    no_row : {"no call", "unknown"}
        What a scored window is that has no row in the truth, in a recording that has some: silent (all zero), or left
        out. A window that overlaps a row without being one (another step) is always left out, and so are recordings
        that the truth does not name.

    Returns
    -------
    targets : float64 ``(n, n_classes)``
    probabilities : float ``(n, n_classes)``
    n_missing : int
        Rows of the truth for which there are no scores.

    Raises
    ------
    BirdfastError
        Indices or classes that do not match, with an example; a window given twice; no window in common.
    """
    found, rows = _matched(scores, truth, no_row)
    keep = found | (rows == _SILENT)
    targets = np.zeros((int(keep.sum()), len(scores.columns)))
    targets[found[keep]] = truth[scores.columns].to_numpy(np.float64)[rows[found]]
    return targets, scores.to_numpy()[keep], len(truth) - int(found.sum())


def joined_rows(scores: pd.DataFrame, truth: pd.DataFrame, *, no_row: str = "no call") -> pd.DataFrame:
    """``path, start_time, end_time`` of the rows that :func:`join_truth` keeps, in its order."""
    found, rows = _matched(scores, truth, no_row)
    return scores.index[found | (rows == _SILENT)].to_frame(index=False)


def _matched(scores: pd.DataFrame, truth: pd.DataFrame, no_row: str) -> tuple[NDArray[np.bool_], Ints]:
    """For each row of the scores: has the truth one, and which; of silent windows the second is _SILENT."""
    if no_row not in ("no call", "unknown"):
        raise unknown("no_row", no_row, ["no call", "unknown"])
    score_keys, truth_keys = _window_keys(scores, "scores"), _window_keys(truth, "truth")
    _check_columns(scores, truth)
    rows = truth_keys.get_indexer(score_keys)
    found = rows >= 0
    if not found.any():
        raise BirdfastError(_why_nothing_joins(scores, truth))
    if no_row == "no call":
        rows[_silent(score_keys, truth_keys) & ~found] = _SILENT
    return found, rows


def _check_columns(scores: pd.DataFrame, truth: pd.DataFrame) -> None:
    for name, table, other, others in (("truth", truth, "scores", scores), ("scores", scores, "truth", truth)):
        lacking = others.columns.difference(table.columns)
        if len(lacking):
            listed = ", ".join(map(str, lacking[:5])) + (", ..." if len(lacking) > 5 else "")
            raise BirdfastError(
                f"the {name} lack {len(lacking)} of the {len(others.columns)} classes of the {other}: {listed}. "
                f"Give both the same class list, or leave these columns out of the {other}"
            )


def _window_keys(table: pd.DataFrame, name: str) -> pd.MultiIndex:
    """The index in whole milliseconds, so that 0.1 + 0.2 is 0.3; a missing time (the whole file) is -1."""
    if list(table.index.names) != INDEX:
        raise BirdfastError(f"the {name} are indexed by {list(table.index.names)}: set the index to {INDEX}")
    starts, ends = (_milliseconds(table.index.get_level_values(level)) for level in INDEX[1:])
    keys = pd.MultiIndex.from_arrays([table.index.get_level_values("path").astype(str), starts, ends])
    twice = keys.duplicated()
    if twice.any():
        raise BirdfastError(
            f"the {name} hold {int(twice.sum())} windows twice, first {table.index[int(twice.argmax())]}"
        )
    return keys


def _milliseconds(times: pd.Index) -> NDArray[np.int64]:
    return np.nan_to_num(np.rint(times.to_numpy(np.float64) * 1000), nan=-1).astype(np.int64)


def _silent(score_keys: pd.MultiIndex, truth_keys: pd.MultiIndex) -> NDArray[np.bool_]:
    """Scored windows of a recording with truth that overlap none of its rows."""
    truth_rows = truth_keys.to_frame(index=False, name=INDEX).groupby("path")
    ends_by_path = {path: (np.sort(t["start_time"]), np.sort(t["end_time"])) for path, t in truth_rows}
    silent = np.zeros(len(score_keys), dtype=bool)
    for path, windows in score_keys.to_frame(index=False, name=INDEX).groupby("path"):
        if path in ends_by_path:
            starts, ends = ends_by_path[path]
            begun = np.searchsorted(starts, windows["end_time"], side="left")
            over = np.searchsorted(ends, windows["start_time"], side="right")
            silent[windows.index] = begun == over
    return silent


def _why_nothing_joins(scores: pd.DataFrame, truth: pd.DataFrame) -> str:
    if scores.empty or truth.empty:
        return f"nothing to join: {len(scores)} rows of scores, {len(truth)} rows of truth"
    (path, start, end), (truth_path, truth_start, truth_end) = scores.index[0], truth.index[0]
    shared = scores.index.unique("path").intersection(truth.index.unique("path"))
    if shared.empty:
        return (
            f"no path of the scores is in the truth: the scores name {path}, the truth {truth_path}; write them alike"
        )
    return (
        f"no window of the scores is in the truth, though {len(shared)} paths are: the scores hold {start} to {end} s, "
        f"the truth {truth_start} to {truth_end} s; predict with the window and step of the truth"
    )
