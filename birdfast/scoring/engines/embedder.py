"""The engine of an embedder as it is: BirdNET's own classes, nothing trained."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np

from birdfast.embedders.load import shared_embedder
from birdfast.errors import BirdfastError
from birdfast.recipe.recipe import Recipe
from birdfast.scoring.engine import ONE_LANE, Floats, Lanes


class EmbedderEngine:
    """An embedder that knows classes of its own, in its own windows; probabilities are the sigmoid of its logits."""

    device = "cpu"

    def __init__(self, name: str) -> None:
        self._embedder = shared_embedder(str(name))
        if not len(self._embedder.classes):
            raise BirdfastError(f"{name} knows no classes of its own: train a head on it (backbone={str(name)!r})")
        self.name = self._embedder.name
        self.classes = list(self._embedder.classes)
        self.recipe = Recipe(
            name=self.name, backbone=str(name), sample_rate=self._embedder.sample_rate, duration=self._embedder.window,
            pad="end", fmax=self._embedder.sample_rate / 2, task="multi", activation="sigmoid",
        )  # fmt: skip
        self.extra: dict[str, Any] = {"common_names": list(self._embedder.common_names)}

    def lanes(self) -> AbstractContextManager[Lanes]:
        return nullcontext(ONE_LANE)  # it shares windows out among the cores itself

    def run(self, batch: Floats) -> Floats:
        """Waveforms ``(n, time)`` at the embedder's rate to probabilities ``(n, n_classes)``."""
        with np.errstate(over="ignore"):
            return (1 / (1 + np.exp(-self._embedder.logits(batch)))).astype(np.float32)
