"""What is typed about how to look at scores: species, thresholds, calibration, events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from birdfast.errors import BirdfastError
from birdfast.files.text import read_csv
from birdfast.prediction.outputs.species import choose, expected

if TYPE_CHECKING:
    from birdfast.evaluation.calibration import Calibration


@dataclass(frozen=True)
class ViewOptions:
    """As typed; None where it was not."""

    keep: str | None = None
    drop: str | None = None
    strict: bool = False
    threshold: str | None = None  # a number, "f1", "precision", or a csv of class and threshold
    top_k: int | None = None
    gap: float | None = None  # s
    merge: bool = True
    calibrate: bool = False
    average: bool = False
    place: tuple[float | None, float | None, int | None] = (None, None, None)  # latitude, longitude, week

    @property
    def finds_events(self) -> bool:
        """Whether something was said that concerns events alone."""
        return not (self.threshold is None and self.top_k is None and self.gap is None and self.merge)


def make_view(options: ViewOptions, models: Sequence[Path], step: float | None) -> tuple[Any, Any]:
    """The :class:`~birdfast.prediction.outputs.view.View` meant, and the first model's recipe.

    Raises
    ------
    BirdfastError
        For species, thresholds or a step that do not go with the model, a calibration that it does not carry, and
        options that contradict each other.
    """
    from birdfast.evaluation.calibration import TARGETS  # here and below: scikit-learn takes a second to load
    from birdfast.prediction.outputs.events import check_average
    from birdfast.prediction.outputs.view import View
    from birdfast.prediction.predictor import Predictor

    if options.gap is not None and not options.merge:
        raise BirdfastError("--gap joins windows, and --no-merge keeps them apart: leave one of them out")
    first = Predictor(models[0])
    if options.average and step is not None:
        check_average(step, first.window)
    classes = choose(first.classes, keep=options.keep, drop=options.drop, strict=options.strict)
    if any(part is not None for part in options.place):
        classes = expected(classes, *options.place, names=first.extra.get("scientific_names", {}))
    needs = options.calibrate or options.threshold in TARGETS
    calibration = _calibration(models, first.extra) if needs else None
    return View(
        classes=classes,
        thresholds=_thresholds(options, classes, calibration),
        calibrate=calibration.apply if calibration and options.calibrate else None,
        average=(step or first.window) if options.average else None,
        top_k=options.top_k,
        gap=(options.gap or 0.0) if options.merge else None,
        decide_raw=options.threshold in TARGETS,
    ), first.recipe


def _calibration(models: Sequence[Path], extra: Mapping[str, Any]) -> Calibration:
    if len(models) > 1:
        raise BirdfastError(
            "the calibration of one model does not suit the mean of several: give --threshold a number or a csv, "
            "without --calibrate"
        )
    from birdfast.evaluation.calibration import Calibration

    stored = extra.get("calibration")
    if not isinstance(stored, dict):
        raise BirdfastError(
            f"{models[0]} carries no calibration, which birdfast train alone stores: give --threshold a number or a csv, or "
            "fit one as docs/predict.md shows, by fit_calibration"
        )
    return Calibration.from_dict(stored)


def _thresholds(options: ViewOptions, classes: list[str], calibration: Calibration | None) -> np.ndarray:
    """The threshold of each class; with --top-k alone, none."""
    from birdfast.evaluation.calibration import TARGETS

    given = options.threshold
    if given is None:
        return np.full(len(classes), 0.5 if options.top_k is None else 0.0)
    if calibration is not None and given in TARGETS:
        return calibration.threshold(given, classes)
    if Path(given).is_file():
        return _threshold_file(given, classes)
    also = f", {' or '.join(TARGETS)}, or a csv with the columns class and threshold"
    return np.full(len(classes), read_number(given, also))


def read_number(given: str, also: str = "") -> float:
    """A threshold typed as a number; an error names what `also` would do."""
    try:
        value = float(given)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise BirdfastError(f"--threshold takes a number between 0 and 1{also}, not {given!r}")
    return value


def _threshold_file(path: str, classes: list[str]) -> np.ndarray:
    from birdfast.evaluation.calibration import read_thresholds

    table = read_csv(path, dtype={"class": str}, keep_default_na=False)
    try:
        rows = list(zip(table["class"], table["threshold"].astype(float)))
    except (KeyError, ValueError) as error:
        raise BirdfastError(f"{path} is no csv with the columns class and threshold: {error}") from error
    return read_thresholds(rows, classes)
