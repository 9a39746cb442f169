"""What scoring asks of whatever runs a model, and of what stands for one or for several."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from birdfast.recipe.recipe import Recipe

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Lanes:
    """How many batches an engine runs best at once, each in a thread of its own that first calls `start`.

    Two batches on two cores are done sooner than one batch on both: no core waits for the other at the end of each
    layer, nor for the thread that decodes (measured on two cores, lite0, from Ogg: 1.2 times as fast in PyTorch).
    """

    n: int = 1
    start: Callable[[], object] | None = None


ONE_LANE = Lanes()
MOST_LANES = 4  # each holds a batch in memory


class Engine(Protocol):
    """A classifier that can be run. `name` and `device` are for people; `extra` is what else its file carries."""

    name: str
    device: str
    classes: list[str]
    recipe: Recipe
    extra: dict[str, Any]

    def lanes(self) -> AbstractContextManager[Lanes]:
        """The lanes to run batches in for as long as the context is open."""
        ...

    def run(self, batch: Floats) -> Floats:
        """Waveforms ``(n, time)`` at the recipe's rate to probabilities ``(n, n_classes)``."""
        ...


class Running:
    """What runs a model already, as a Predictor does: its engine is shared, never loaded again."""

    engine: Engine


class Several:
    """What stands for several models: `blend` is "mean" or "rank", `weights` sum to 1."""

    models: Sequence[Any]  # what :func:`~birdfast.scoring.engines.load.load_engine` takes
    blend: str
    weights: tuple[float, ...]
