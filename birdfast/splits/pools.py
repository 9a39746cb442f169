"""Windows of soundscapes to mix into the clips of recordings: labelled ones, and pseudo-labelled ones."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from birdfast.recipe.recipe import Recipe
from birdfast.sources.source import WINDOW
from birdfast.splits.sampling import confidence_weights, sum_at_most, sum_to

INDEX = ["path", "start_time", "end_time"]


class Pool:
    """Windows, their targets, how often a clip gets one, and which.

    Parameters
    ----------
    windows
        A table `path, start_time, end_time` (s).
    targets
        float32 (n, n_classes).
    p
        Probability that a clip gets one.
    weights
        How likely each is to be drawn, with a sum of 1; all alike unless given.
    substitute
        Whether the window takes the clip's place; else it is mixed in.
    """

    def __init__(
        self,
        windows: pd.DataFrame,
        targets: np.ndarray,
        p: float,
        weights: np.ndarray | None = None,
        substitute: bool = False,
    ) -> None:
        self.windows = [windows[name].to_numpy() for name in INDEX]
        self.targets, self.p, self.substitute = np.asarray(targets, np.float32), p, substitute
        self.upto = np.cumsum(np.full(len(targets), 1 / len(targets)) if weights is None else weights)

    def __len__(self) -> int:
        return len(self.targets)

    def __repr__(self) -> str:
        return f"Pool({len(self)} windows of {len(set(self.windows[0]))} soundscapes, p={self.p:g})"

    def draw(self, place: float) -> tuple[tuple[str, float, float], np.ndarray]:
        """The window at `place` (0 to 1) of those in order, and a copy of its targets."""
        i = min(int(np.searchsorted(self.upto, place)), len(self) - 1)
        path, start, end = (column[i] for column in self.windows)
        return (str(path), float(start), float(end)), self.targets[i].copy()


def multi_hot(labels: Sequence[Sequence[str]], classes: Sequence[str]) -> np.ndarray:
    """Tuples of labels to targets `(n, n_classes)`."""
    index, out = {name: i for i, name in enumerate(classes)}, np.zeros((len(labels), len(classes)), np.float32)
    for row, names in zip(out, labels):
        row[[index[name] for name in names]] = 1.0
    return out


def labelled_pool(train: pd.DataFrame, classes: Sequence[str], recipe: Recipe) -> Pool:
    """The labelled windows among the training rows, as the recipe wants them mixed in (BirdCLEF 2026, 1st place)."""
    windows = train[(train["kind"] == WINDOW).to_numpy()]
    return Pool(
        windows,
        sum_to(multi_hot(windows["labels"].tolist(), classes), recipe.soundscape_label_sum),
        recipe.soundscape_mix,
    )


def pseudo_pool(pseudo: pd.DataFrame, classes: Sequence[str], recipe: Recipe) -> Pool:
    """Pseudo-labelled windows as the recipe wants them: files drawn by confidence, labels sharpened, their sum capped."""
    values = pseudo[list(classes)].to_numpy(np.float32)
    targets = sum_at_most(values**recipe.pseudo_power, recipe.pseudo_label_sum)
    weights = confidence_weights(pseudo["path"].tolist(), values)
    return Pool(pseudo, targets, recipe.pseudo_mix, weights, substitute=recipe.pseudo_how == "substitute")
