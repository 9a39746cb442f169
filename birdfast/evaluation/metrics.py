"""What is good, in one number: rankings (ROC-AUC, average precision) and decisions (accuracy, F1).

Every function takes ``(targets, probabilities)``. `targets` are class indices ``(n,)`` (one species a row) or multi-hot
``(n, n_classes)``: 0.5 and above is present, below is absent, NaN is unknown and left out, per class. `probabilities`
are ``(n, n_classes)`` and finite. Rankings are per class over the rows, then averaged over the classes that can be
scored: a class without a positive says nothing, and must not turn the average into NaN.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import average_precision_score

from birdfast.errors import BirdfastError

Floats = NDArray[np.floating[Any]]
Ints = NDArray[np.integer[Any]]

PRESENT = 0.5  # a target from here on is a positive: a secondary label of weight 0.5 counts, mixed-in traces do not
_ROWS = 65_536  # rows compared at once, so that a million rows need no second copy of the table


def check(targets: ArrayLike, probabilities: ArrayLike) -> tuple[NDArray[Any], Floats]:
    """Targets and probabilities as arrays, or a :class:`BirdfastError` that says which shape or row is wrong.

    Returns
    -------
    targets : integers ``(n,)``, or float or bool ``(n, n_classes)``
    probabilities : float ``(n, n_classes)``
    """
    truth, scores = np.asarray(targets), np.asarray(probabilities)
    fits = scores.ndim == 2 and truth.shape in (scores.shape, scores.shape[:1])
    if not fits:
        raise BirdfastError(
            f"targets of shape {truth.shape} do not go with probabilities of shape {scores.shape}: "
            "give targets (n,) or (n, n_classes) with probabilities (n, n_classes)"
        )
    if not np.issubdtype(scores.dtype, np.floating):
        scores = scores.astype(np.float64)
    _check_finite(scores)
    _check_indices(truth, scores.shape[1]) if truth.ndim == 1 else _check_multi_hot(truth)
    return truth, scores


def _check_finite(scores: Floats) -> None:
    good = np.asarray(np.isfinite(scores).all(axis=1))
    if not good.all():
        row = int(good.argmin())
        column = int((~np.isfinite(scores[row])).argmax())
        raise BirdfastError(
            f"probabilities hold {scores[row, column]} in row {row}, class {column} ({int((~good).sum())} such rows of "
            f"{len(good)}): the model or a recording is broken; `birdfast doctor` looks for NaN"
        )


def _check_indices(truth: NDArray[Any], n_classes: int) -> None:
    if not np.issubdtype(truth.dtype, np.integer):
        raise BirdfastError(f"targets (n,) must be integer class indices, not {truth.dtype}: encode labels first")
    bad = (truth < 0) | (truth >= n_classes)
    if bad.any():
        row = int(bad.argmax())
        raise BirdfastError(f"target {truth[row]} in row {row} is no class index: there are {n_classes} classes")


def _check_multi_hot(truth: NDArray[Any]) -> None:
    if truth.dtype == bool:
        return
    if not np.issubdtype(truth.dtype, np.number):
        raise BirdfastError(f"targets (n, n_classes) must be numbers or bool, not {truth.dtype}")
    bad = ((truth < 0) | (truth > 1)).any(axis=1)
    if bad.any():
        raise BirdfastError(f"targets in row {int(bad.argmax())} lie outside 0..1: 1 is present, 0 absent, NaN unknown")


def _check_unit(scores: Floats, what: str) -> None:
    """A threshold and a row of ones mean something between 0 and 1 only."""
    if scores.size and (scores.min() < -1e-6 or scores.max() > 1 + 1e-6):
        raise BirdfastError(
            f"{what} needs probabilities between 0 and 1, these reach from {scores.min():.4g} to {scores.max():.4g}: "
            "apply the sigmoid or softmax first"
        )


def by_class(truth: NDArray[Any], scores: Floats) -> Iterator[tuple[NDArray[np.bool_], Floats]]:
    """For each class: is it present ``(known,)``, and its scores ``(known,)``; rows with an unknown target left out."""
    for index in range(scores.shape[1]):
        if truth.ndim == 1:
            yield truth == index, scores[:, index]
            continue
        column = truth[:, index]
        if np.issubdtype(column.dtype, np.floating) and np.isnan(column).any():
            known = ~np.isnan(column)
            yield column[known] >= PRESENT, scores[known, index]
        else:
            yield column >= PRESENT, scores[:, index]


def _mean(values: ArrayLike, default: float) -> float:
    """The mean over the classes that are not NaN; `default` if there are none."""
    array = np.asarray(values, dtype=np.float64)
    array = array[~np.isnan(array)]
    return float(array.mean()) if array.size else default


# -- the top of each row ---------------------------------------------------------------------------------------------


def top_classes(targets: ArrayLike, probabilities: ArrayLike) -> Ints:
    """The class with the highest score among the known ones, per row ``(n,)``; the first of equals."""
    truth, scores = check(targets, probabilities)
    tops = [_only_known(t, s).argmax(axis=1) for t, s in _blocks(truth, scores)]
    return np.concatenate(tops) if tops else np.zeros(0, dtype=np.intp)


def _blocks(truth: NDArray[Any], scores: Floats) -> Iterator[tuple[NDArray[Any], Floats]]:
    for start in range(0, len(scores), _ROWS):
        yield truth[start : start + _ROWS], scores[start : start + _ROWS]


def _only_known(truth: NDArray[Any], scores: Floats) -> Floats:
    if truth.ndim == 1 or not np.issubdtype(truth.dtype, np.floating):
        return scores
    return np.where(np.isnan(truth), -np.inf, scores)


def _place_of_best_positive(truth: NDArray[Any], scores: Floats) -> Ints:
    """How many classes stand before the best-scored positive ``(rows,)``; of equals the first stands before.

    Rows without a positive are left out.
    """
    if truth.ndim == 1:
        best = truth
    else:
        scores = _only_known(truth, scores)
        positive = truth >= PRESENT
        some = positive.any(axis=1)
        scores, positive = scores[some], positive[some]
        best = np.where(positive, scores, -np.inf).argmax(axis=1)
    own = np.take_along_axis(scores, best[:, None], axis=1)
    earlier = np.arange(scores.shape[1]) < best[:, None]
    return ((scores > own) | ((scores == own) & earlier)).sum(axis=1)


def top_k_accuracy(targets: ArrayLike, probabilities: ArrayLike, *, k: int = 5) -> float:
    """The share of rows with a positive among the `k` top-scored classes; with fewer than `k` classes, always 1.

    Rows without positives are left out; equals are ranked in class order, so that a constant model earns nothing.
    """
    if k < 1:
        raise BirdfastError(f"k must be 1 or more, not {k}")
    truth, scores = check(targets, probabilities)
    hits = [_place_of_best_positive(t, s) < k for t, s in _blocks(truth, scores)]
    return _mean(np.concatenate(hits), 0.0) if hits else 0.0


def accuracy(targets: ArrayLike, probabilities: ArrayLike) -> float:
    """The share of rows whose top-scored class is a positive; rows without positives are left out.

    For multi-hot targets this is BirdSet's T1 (Rauch et al. 2024, arXiv 2403.10380).
    """
    return top_k_accuracy(targets, probabilities, k=1)


# -- rankings, per class over the rows -------------------------------------------------------------------------------


def class_auc(targets: ArrayLike, probabilities: ArrayLike) -> Floats:
    """Area under the ROC curve of each class ``(n_classes,)``; NaN for a class without a positive or a negative row."""
    truth, scores = check(targets, probabilities)
    return np.array([_auc(present, column) for present, column in by_class(truth, scores)], dtype=np.float64)


def _auc(present: NDArray[np.bool_], scores: Floats) -> float:
    """The share of (positive, negative) pairs in the right order, equals counting half (Mann-Whitney U).

    Counted in integers, hence exact.
    """
    positives, negatives = scores[present], np.sort(scores[~present])
    pairs = len(positives) * len(negatives)
    if not pairs:
        return np.nan
    positives = np.sort(positives)  # neighbours hit the same part of memory
    below = np.searchsorted(negatives, positives, side="left").sum(dtype=np.int64)
    not_above = np.searchsorted(negatives, positives, side="right").sum(dtype=np.int64)
    return (int(below) + int(not_above)) / (2 * pairs)


def roc_auc(targets: ArrayLike, probabilities: ArrayLike) -> float:
    """Macro ROC-AUC over the classes that have a positive and a negative row (BirdCLEF 2024 on); 0.5 if none has."""
    return _mean(class_auc(targets, probabilities), 0.5)


def class_ap(targets: ArrayLike, probabilities: ArrayLike) -> Floats:
    """Average precision of each class ``(n_classes,)``; NaN for a class without a positive row."""
    truth, scores = check(targets, probabilities)
    return np.array([_ap(present, column) for present, column in by_class(truth, scores)], dtype=np.float64)


def _ap(present: NDArray[np.bool_], scores: Floats) -> float:
    return float(average_precision_score(present, scores)) if present.any() else np.nan


def cmap(targets: ArrayLike, probabilities: ArrayLike) -> float:
    """Class mean average precision over the classes with a positive row; 0 if there are none."""
    return _mean(class_ap(targets, probabilities), 0.0)


def padded_cmap(targets: ArrayLike, probabilities: ArrayLike, *, padding: int = 5) -> float:
    """Class mean average precision as BirdCLEF 2023 scored it.

    `padding` rows of ones are appended to truth and probabilities, then average precision is averaged over all classes:
    classes without a positive count too, and rare ones weigh less. 0 without rows.

    Where classes have few positives the padding is most of what is ranked, and random scores come near 1: to 0.93 for 10
    classes of one row each, 0.85 for 206; a class without a positive always scores 1. Read it beside :func:`roc_auc`.
    """
    truth, scores = check(targets, probabilities)
    if padding < 0:
        raise BirdfastError(f"padding must be 0 rows or more, not {padding}")
    _check_unit(scores, "padded_cmap")
    if not len(scores):
        return 0.0
    ones = np.ones(padding, dtype=scores.dtype)
    padded = (_ap(np.append(present, ones > 0), np.append(column, ones)) for present, column in by_class(truth, scores))
    return _mean(np.nan_to_num(list(padded)), 0.0)


# -- decisions -------------------------------------------------------------------------------------------------------


def decision_counts(targets: ArrayLike, probabilities: ArrayLike, *, threshold: float = 0.5) -> tuple[Ints, Ints, Ints]:
    """True positives, false positives and false negatives of each class, three times ``(n_classes,)``.

    A class index is decided by the top score, multi-hot targets by ``probability >= threshold``.
    """
    truth, scores = check(targets, probabilities)
    if truth.ndim == 1:
        return _counts_of_top(truth, scores)
    _check_unit(scores, "a threshold")
    pairs = [(present, column >= threshold) for present, column in by_class(truth, scores)]
    hits = np.array([np.count_nonzero(p & d) for p, d in pairs], dtype=np.int64)
    decided = np.array([np.count_nonzero(d) for _, d in pairs], dtype=np.int64)
    support = np.array([np.count_nonzero(p) for p, _ in pairs], dtype=np.int64)
    return hits, decided - hits, support - hits


def _counts_of_top(truth: NDArray[Any], scores: Floats) -> tuple[Ints, Ints, Ints]:
    n_classes, top = scores.shape[1], scores.argmax(axis=1)
    hits = np.bincount(truth[top == truth], minlength=n_classes)
    return hits, np.bincount(top, minlength=n_classes) - hits, np.bincount(truth, minlength=n_classes) - hits


def class_f1(targets: ArrayLike, probabilities: ArrayLike, *, threshold: float = 0.5) -> Floats:
    """F1 of each class ``(n_classes,)``, decided as in :func:`decision_counts`; NaN for a class without a positive."""
    hits, false, missed = decision_counts(targets, probabilities, threshold=threshold)
    return np.where(hits + missed > 0, 2 * hits / np.maximum(2 * hits + false + missed, 1), np.nan)


def macro_f1(targets: ArrayLike, probabilities: ArrayLike, *, threshold: float = 0.5) -> float:
    """F1 averaged over the classes with a positive row; 0 if there are none."""
    return _mean(class_f1(targets, probabilities, threshold=threshold), 0.0)


def summary(targets: ArrayLike, probabilities: ArrayLike) -> dict[str, float]:
    """All of it: accuracy, top5, roc_auc, cmap, padded_cmap, macro_f1. Never NaN: see each for a set without positives.

    Examples
    --------
    >>> scores = summary([0, 1, 1], [[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]])
    >>> round(scores["accuracy"], 3), scores["roc_auc"]
    (0.667, 1.0)
    """
    truth, scores = check(targets, probabilities)
    return {
        "accuracy": accuracy(truth, scores),
        "top5": top_k_accuracy(truth, scores, k=5),
        "roc_auc": roc_auc(truth, scores),
        "cmap": cmap(truth, scores),
        "padded_cmap": padded_cmap(truth, scores),
        "macro_f1": macro_f1(truth, scores),
    }
