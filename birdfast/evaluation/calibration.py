"""From probabilities to decisions: thresholds a class, and probabilities that mean what they say.

All of it is fitted on validation scores and is plain numbers: it travels as JSON inside a bundle.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import precision_recall_curve

from birdfast.errors import BirdfastError, unknown
from birdfast.evaluation.metrics import Floats, by_class, check, top_classes

METHODS = ("platt", "isotonic")
TARGETS = ("f1", "precision")  # what a threshold may aim at
MIN_POSITIVES = 5  # validation rows below which a class takes the fit of all classes together
_ALL = ""  # the name under which that stands
_NEVER = float("inf")  # the threshold of a class that cannot be had at the precision asked for; null in JSON


@dataclass(frozen=True)
class Calibration:
    """Curves and thresholds of the classes, those of few positives under ``""`` together.

    Attributes
    ----------
    curves
        Platt: slope and intercept of the logit. Isotonic: the probabilities given, then those meant.
    thresholds
        "f1" and "precision", of each class, on the probabilities as the model gives them.
    precision
        What the second aims at.
    """

    method: str
    precision: float
    n_rows: int
    curves: dict[str, list[Any]]
    thresholds: dict[str, dict[str, float]]

    def apply(self, probabilities: ArrayLike, classes: Sequence[str]) -> Floats:
        """Calibrated probabilities ``(n, n_classes)``; the order within a class stays."""
        scores = np.asarray(probabilities)
        columns = [self._calibrate(name, scores[:, i]) for i, name in enumerate(classes)]
        return np.stack(columns, axis=1).astype(scores.dtype) if columns else scores

    def threshold(self, target: str, classes: Sequence[str]) -> Floats:
        """The thresholds ``(n_classes,)`` for "f1" or "precision"; infinite for a class that is never called.

        They decide on probabilities as the model gives them: calibrated ones can be alike on both sides of a threshold.
        """
        if target not in self.thresholds:
            raise unknown("threshold of the bundle", target, self.thresholds)
        of_class = self.thresholds[target]
        return np.array([of_class.get(name, of_class[_ALL]) for name in classes])

    def to_dict(self) -> dict[str, Any]:
        """As JSON holds it."""
        stored = asdict(self)
        for of_class in stored["thresholds"].values():
            of_class.update({name: None for name, value in of_class.items() if value == _NEVER})
        return stored

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Calibration:
        """What :meth:`to_dict` gave, checked.

        Raises
        ------
        BirdfastError
            If it is something else.
        """
        try:
            made = cls(**stored)
            known = {
                target: {name: _NEVER if value is None else value for name, value in of_class.items()}
                for target, of_class in made.thresholds.items()
            }
            made = replace(made, thresholds=known)
            complete = (
                made.method in METHODS and _ALL in made.curves and all(_ALL in t for t in made.thresholds.values())
            )
        except (TypeError, AttributeError) as error:
            raise BirdfastError(f"the bundle's calibration cannot be read ({error}): train or fit it anew") from error
        if not complete:
            raise BirdfastError("the bundle's calibration is incomplete or of another birdfast: train or fit it anew")
        return made

    def _calibrate(self, name: str, scores: Floats) -> Floats:
        first, second = self.curves.get(name, self.curves[_ALL])
        if self.method == "isotonic":
            return np.interp(scores, first, second)
        return 1 / (1 + np.exp(-(first * _logit(scores) + second)))


def fit_calibration(
    targets: ArrayLike,
    probabilities: ArrayLike,
    classes: Sequence[str],
    *,
    method: str = "platt",
    precision: float = 0.9,
) -> Calibration:
    """Fit calibration curves and thresholds to validation scores.

    Parameters
    ----------
    targets, probabilities
        As for :mod:`birdfast.evaluation.metrics`. Rows the model was not trained on.
    method
        "platt": a sigmoid over the logit (Platt 1999, with his smoothed targets); "isotonic": any rising curve, for
        hundreds of positives a class.
    precision
        What the second set of thresholds aims at: the lowest one from which this share of the decisions is right.

    Raises
    ------
    BirdfastError
        If nothing is positive, or nothing negative.
    """
    if method not in METHODS:
        raise unknown("calibration method", method, METHODS)
    if not 0 < precision < 1:
        raise BirdfastError(f"precision is a share between 0 and 1, not {precision}")
    truth, scores = check(targets, probabilities)
    if len(classes) != scores.shape[1]:
        raise BirdfastError(f"{len(classes)} classes do not go with probabilities of shape {scores.shape}")
    sides = dict(zip(classes, by_class(truth, scores)))
    together = tuple(np.concatenate(parts) for parts in zip(*sides.values()))
    if not (together[0].any() and not together[0].all()):
        raise BirdfastError("calibration needs validation rows in which classes are present, and some in which not")
    fitted = {_ALL: together} | {name: side for name, side in sides.items() if _enough(side[0])}
    fit = _platt if method == "platt" else _isotonic
    curves = {name: fit(present, column) for name, (present, column) in fitted.items()}
    thresholds = {
        "f1": {name: _best_f1(present, column) for name, (present, column) in fitted.items()},
        "precision": {name: _reaching(precision, present, column) for name, (present, column) in fitted.items()},
    }
    return Calibration(method, precision, len(scores), curves, thresholds)


def _enough(present: NDArray[np.bool_]) -> bool:
    return int(min(present.sum(), (~present).sum())) >= MIN_POSITIVES


def _logit(scores: ArrayLike) -> Floats:
    clipped = np.clip(np.asarray(scores, dtype=np.float64), 1e-7, 1 - 1e-7)
    return np.log(clipped / (1 - clipped))


def _platt(present: NDArray[np.bool_], scores: Floats) -> list[Any]:
    """Slope, not below 0, and intercept. Each row counts as both present and absent, by Platt's smoothed target."""
    positives, negatives = int(present.sum()), int((~present).sum())
    target = np.where(present, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    rows = np.tile(_logit(scores), 2)[:, None]
    model = LogisticRegression(C=1e6).fit(rows, np.repeat([1, 0], len(scores)), np.concatenate([target, 1 - target]))
    slope, intercept = float(model.coef_[0, 0]), float(model.intercept_[0])
    if slope > 0:
        return [slope, intercept]
    return [0.0, float(_logit(target.mean()))]  # scores that say nothing: how common the class is


def _isotonic(present: NDArray[np.bool_], scores: Floats) -> list[Any]:
    model = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip").fit(scores, present)
    return [model.X_thresholds_.tolist(), model.y_thresholds_.tolist()]


def _best_f1(present: NDArray[np.bool_], scores: Floats) -> float:
    precision, recall, thresholds = precision_recall_curve(present, scores)
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
    return float(thresholds[f1[:-1].argmax()])


def _reaching(wanted: float, present: NDArray[np.bool_], scores: Floats) -> float:
    precision, _, thresholds = precision_recall_curve(present, scores)
    enough = np.flatnonzero(precision[:-1] >= wanted)
    return float(thresholds[enough[0]]) if len(enough) else _NEVER


# -- how far probabilities can be trusted ----------------------------------------------------------------------------


def reliability(targets: ArrayLike, probabilities: ArrayLike, *, bins: int = 10) -> pd.DataFrame:
    """How often it was so when the model said how sure it was: ``confidence, observed, count`` of each bin.

    Of class indices the top class of each row counts, of multi-hot targets every known class of every row.
    """
    truth, scores = check(targets, probabilities)
    if truth.ndim == 1:
        top = top_classes(truth, scores)
        given, observed = scores[np.arange(len(top)), top], top == truth
    else:
        observed, given = (np.concatenate(parts) for parts in zip(*by_class(truth, scores)))
    edges = np.linspace(0, 1, bins + 1)[1:-1]
    table = pd.DataFrame({"confidence": given.astype(float), "observed": observed.astype(float)})
    grouped = table.groupby(np.digitize(given, edges))
    return grouped.mean().assign(count=grouped.size()).reset_index(drop=True)


def calibration_error(targets: ArrayLike, probabilities: ArrayLike, *, bins: int = 10) -> float:
    """Expected calibration error (Naeini et al. 2015): the mean distance of confidence and observation, by bins."""
    table = reliability(targets, probabilities, bins=bins)
    distance = (table["confidence"] - table["observed"]).abs()
    return float((distance * table["count"]).sum() / max(int(table["count"].sum()), 1))


def read_thresholds(rows: Iterable[tuple[str, float]], classes: Sequence[str]) -> Floats:
    """Thresholds ``(n_classes,)`` from pairs of class and threshold, which must name every class.

    Raises
    ------
    BirdfastError
        Naming a class that has none, or a value outside 0 to 1.
    """
    given = {str(name): float(value) for name, value in rows}
    missing = [name for name in classes if name not in given]
    if missing:
        raise BirdfastError(f"{len(missing)} classes have no threshold: {', '.join(missing[:5])}")
    wrong = [name for name in classes if not 0 <= given[name] <= 1]
    if wrong:
        raise BirdfastError(f"the threshold of {wrong[0]} is {given[wrong[0]]}: it must lie between 0 and 1")
    return np.array([given[name] for name in classes])
