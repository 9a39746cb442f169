"""Several engines as one: the mean of their probabilities, by weight, or of their ranks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from threading import Lock
from typing import Any, Literal

import numpy as np
import pandas as pd

from birdfast.errors import BirdfastError, unknown
from birdfast.scoring.engine import Engine, Floats, Lanes
from birdfast.scoring.together import check_together, check_weights

Blend = Literal["mean", "rank"]
BLENDS = ("mean", "rank")


class EnsembleEngine:
    """Runs several models on the same windows, which are decoded once.

    Parameters
    ----------
    members, names
        One or more engines, and what to call each in an error. They hear windows of one length and know the same
        classes, in any order; the first one's order is the ensemble's.
    blend
        "mean" of the probabilities. "rank": of each class's places in the order of all windows that are predicted
        together, 0 to 1; it makes models agree that are sure of themselves to different degrees, and is no probability.
    weights
        Of each model, 0 or more; all alike unless given. They are divided by their sum.

    Raises
    ------
    BirdfastError
        If the models do not go together, saying which and why, or blend or weights cannot be meant.
    """

    def __init__(
        self,
        members: Sequence[Engine],
        names: Sequence[str],
        *,
        blend: str = "mean",
        weights: Sequence[float] | None = None,
    ) -> None:
        if blend not in BLENDS:
            raise unknown("blend", blend, BLENDS)
        self.members = list(members)
        self.blend, self.weights = blend, check_weights(weights, len(self.members))
        first = self.members[0]
        for member, name in zip(self.members, names, strict=True):
            check_together((first.recipe, first.classes), (member.recipe, member.classes), name)
            if isinstance(member, EnsembleEngine) and member.blend == "rank":
                raise BirdfastError(f"{name} cannot join the ensemble: it blends by rank; name its models instead")
        self.classes, self.recipe = first.classes, first.recipe
        self.extra = {
            name: value for name, value in first.extra.items() if name != "calibration"
        }  # the first one's only
        self.name = f"ensemble of {len(self.members)} ({', '.join(dict.fromkeys(m.name for m in self.members))})"
        self.device = ", ".join(dict.fromkeys(member.device for member in self.members))
        self._locks: list[AbstractContextManager[Any]] = [nullcontext() for _ in self.members]
        self._columns = [[member.classes.index(name) for name in self.classes] for member in self.members]

    @contextmanager
    def lanes(self) -> Iterator[Lanes]:
        """As many as the member with most takes; one that takes a single batch at once is waited for in turn."""
        with ExitStack() as stack:
            each = [stack.enter_context(member.lanes()) for member in self.members]
            self._locks = [Lock() if lanes.n == 1 else nullcontext() for lanes in each]
            starts = [lanes.start for lanes in each if lanes.start is not None]
            yield Lanes(max(lanes.n for lanes in each), lambda: [start() for start in starts])

    def run(self, batch: Floats) -> Floats:
        """Waveforms ``(n, time)`` at the recipe's rate to the weighted mean of the probabilities ``(n, n_classes)``."""
        return weighted_mean(self.run_each(batch), self.weights)

    def run_each(self, batch: Floats) -> list[Floats]:
        """The probabilities ``(n, n_classes)`` of each member, their classes in the ensemble's order."""
        return [self._run(i, batch)[:, columns] for i, columns in enumerate(self._columns)]

    def _run(self, i: int, batch: Floats) -> Floats:
        with self._locks[i]:
            return self.members[i].run(batch)


def weighted_mean(scores: Sequence[Floats], weights: Sequence[float]) -> Floats:
    """Of members' scores, ``(n, n_classes)`` each."""
    return np.tensordot(np.asarray(weights), np.stack(scores), axes=1).astype(np.float32)


def mean_rank(scores: Sequence[Floats], weights: Sequence[float]) -> Floats:
    """The weighted mean of members' ranks: each class's column ``(n,)`` by its order among the n rows, 1/n to 1.

    Equal scores share the mean of their places. It is customary in BirdCLEF since 2024 (2026 1st place: 0.8 CNN, 0.2
    Perch); ranks need all rows at once. A row of NaN stays one, and is not counted.
    """
    return weighted_mean([pd.DataFrame(table).rank(pct=True).to_numpy() for table in scores], weights)
