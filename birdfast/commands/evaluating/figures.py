"""Targets and probabilities side by side, and the figures that follow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from birdfast.evaluation import metrics
from birdfast.evaluation.calibration import Calibration, calibration_error
from birdfast.evaluation.levels import level_table
from birdfast.evaluation.report import per_class_table
from birdfast.recipe.recipe import Recipe


@dataclass(frozen=True)
class Figures:
    """What a model says, what is true, and how well the two agree.

    `targets` are class indices ``(n,)`` for recordings, multi-hot ``(n, n_classes)`` for windows.
    """

    what: str  # was scored against what
    targets: np.ndarray
    probabilities: np.ndarray
    classes: list[str]
    train_counts: Mapping[str, int] | None = None
    calibration: Calibration | None = None  # of the model, fitted in training
    rows: pd.DataFrame | None = None  # path, start_time, end_time
    recipe: Recipe | None = None  # of the model, if it was one that was scored

    @property
    def versions(self) -> dict[str, np.ndarray]:
        """The probabilities as given, and as calibrated where the model can."""
        if self.calibration is None:
            return {"as given": self.probabilities}
        calibrated = self.calibration.apply(self.probabilities, self.classes)
        return {"as given": self.probabilities, "calibrated": calibrated}

    @cached_property
    def calibration_errors(self) -> dict[str, float]:
        """The expected calibration error of each of the `versions`."""
        return {name: calibration_error(self.targets, scores) for name, scores in self.versions.items()}

    @cached_property
    def summary(self) -> dict[str, float]:
        """accuracy, top5, roc_auc, cmap, padded_cmap, macro_f1."""
        return metrics.summary(self.targets, self.probabilities)

    @cached_property
    def per_class(self) -> pd.DataFrame:
        """One row a class: support, auc, ap, f1, precision, recall; the last three by the model's thresholds, too."""
        table = per_class_table(self.targets, self.probabilities, self.classes, train_counts=self.train_counts)
        if self.calibration is None or self.targets.ndim == 1:
            return table
        thresholds = self.calibration.threshold("f1", self.classes)
        decided = per_class_table(self.targets, np.where(self.probabilities >= thresholds, 1.0, 0.0), self.classes)
        names = {name: f"{name}_at_threshold" for name in ("f1", "precision", "recall")}
        return table.assign(threshold=thresholds).join(decided[list(names)].rename(columns=names))

    @cached_property
    def levels(self) -> pd.DataFrame | None:
        """By the window, the minute and the recording, with intervals; None where nobody knows what belongs together."""
        return None if self.rows is None else level_table(self.targets, self.probabilities, self.rows)
