"""What the folder of a run says of it."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from birdfast.errors import BirdfastError
from birdfast.files.text import read_csv
from birdfast.recipe.recipe import Recipe
from birdfast.splits.run_files import DATA, RECIPE

BLIND_AUC = 0.6  # below, the ranking is hardly better than a coin's
TINY = 50  # validation recordings below which a few more or less decide
BY_CHANCE = 0.05  # probability from which a result is no evidence
FALLS = 0.05  # share by which a loss must fall to count as falling


@dataclass(frozen=True)
class Run:
    """What a run's folder says of it. Anything but the history may be missing."""

    folder: Path
    history: pd.DataFrame
    recipe: Recipe
    data: dict[str, Any]  # data.json: source, columns, pseudo, n_classes, n_train, n_valid
    state: dict[str, Any]

    def column(self, name: str) -> np.ndarray:
        """One column of the history, float ``(epochs,)``; empty where it was not kept."""
        return self.history[name].to_numpy(float) if name in self.history else np.empty(0)

    @property
    def n_classes(self) -> int:
        return int(self.data.get("n_classes") or 0)

    @property
    def chance(self) -> float:
        """The accuracy of guessing."""
        return 1 / self.n_classes if self.n_classes else 0.0

    @property
    def n_valid(self) -> int:
        return int(self.data.get("n_valid") or 0)

    @property
    def tiny(self) -> bool:
        """So few validation recordings that no figure of theirs is sure."""
        return 0 < self.n_valid < TINY

    @property
    def blind(self) -> bool:
        """A ranking like a coin's.

        A macro ROC-AUC by chance has a variance of about 1 / (12 n) for n recordings (of the Mann-Whitney U, averaged over
        classes): of few recordings, three standard deviations are asked for.
        """
        auc = best(self.column("roc_auc"))
        limit = max(BLIND_AUC, 0.5 + 3 * math.sqrt(1 / (12 * self.n_valid))) if self.n_valid else BLIND_AUC
        return math.isnan(auc) or auc < limit

    @property
    def by_chance(self) -> float:
        """How probably guessing, or naming the commonest class, gets as many right in the best of as many epochs.

        A binomial test, of each epoch as a try of its own (Bonferroni); NaN where figures are missing.
        """
        from scipy.stats import binom

        accuracy, p = best(self.column("accuracy")), max(self.chance, float(self.data.get("commonest") or 0))
        if not (self.n_valid and p) or math.isnan(accuracy):
            return math.nan
        right = round(accuracy * self.n_valid)
        return min(1.0, len(self.history) * float(binom.sf(right - 1, self.n_valid, p)))

    @property
    def guessed(self) -> bool:
        """An accuracy that guessing may reach; where the validation set is unknown, one within twice of chance."""
        if not math.isnan(self.by_chance):
            return self.by_chance > BY_CHANCE
        limit = min(2 * self.chance, (1 + self.chance) / 2)
        return best(self.column("accuracy")) <= max(limit, float(self.data.get("commonest") or 0) + 1e-6)

    @property
    def knows_nothing(self) -> bool:
        return self.guessed and self.blind

    @property
    def loss_fell(self) -> bool:
        loss = self.column("train_loss")
        return len(loss) > 1 and bool(np.isfinite(loss).all()) and loss[-1] < (1 - FALLS) * loss[0]

    @property
    def diverged(self) -> bool:
        """NaN or infinity, or a training loss that ends far above its start and above that of guessing."""
        losses = np.concatenate([self.column("train_loss"), self.column("valid_loss")])
        train = self.column("train_loss")
        is_ce = self.recipe.task == "single" and self.recipe.loss in ("auto", "ce")  # of the others it is not known
        guess = math.log(self.n_classes) if self.n_classes > 1 and is_ce else train[0]
        return not np.isfinite(losses).all() or train[-1] > 1.2 * max(train[0], guess)


def is_run(path: str | Path) -> bool:
    """Whether a folder is that of a run."""
    folder = Path(path)
    return any((folder / name).is_file() for name in ("history.csv", "state.json", RECIPE))


def read_run(folder: Path) -> Run:
    """What lies in a run's folder."""
    file = folder / "history.csv"
    if not file.is_file():
        raise BirdfastError(f"{folder} holds no history.csv: its first epoch has not ended, or it is no run's folder")
    history = read_csv(file)
    missing = [name for name in ("epoch", "train_loss", "valid_loss") if name not in history]
    if missing or history.empty:
        raise BirdfastError(f"{file} is no history: it lacks {', '.join(missing) or 'rows'}")
    recipe = Recipe.load(folder / RECIPE) if (folder / RECIPE).exists() else Recipe()
    return Run(folder, history, recipe, _json(folder / DATA), _json(folder / "state.json"))


def _json(file: Path) -> dict[str, Any]:
    if not file.is_file():
        return {}
    try:
        return dict(json.loads(file.read_text()))
    except (ValueError, TypeError) as error:
        raise BirdfastError(f"{file} is damaged: {error}") from error


def best(values: np.ndarray) -> float:
    """The largest that is a number; NaN if there is none."""
    finite = values[np.isfinite(values)]
    return float(finite.max()) if len(finite) else math.nan
