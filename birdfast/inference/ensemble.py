"""Several models as one: the mean of their probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from birdfast.errors import BirdfastError
from birdfast.inference.predictor import Predictor


class Ensemble(Predictor):
    """Predicts as a :class:`Predictor` does, with the mean of the members' probabilities.

    Parameters
    ----------
    models
        Two or more of what a Predictor takes; they hear windows of one length and know the same classes, in any order.
    options
        Of each :class:`Predictor`.

    Raises
    ------
    BirdfastError
        If the members do not go together, saying which and why.
    """

    def __init__(self, models: Sequence[Any], **options: Any) -> None:
        members = [Predictor(model, **options) for model in models]
        if not members:
            raise BirdfastError("an ensemble needs a model or more, none was given")
        first = members[0]
        for name in ("batch_size", "workers", "engine", "classes", "recipe", "extra", "errors"):
            setattr(self, name, getattr(first, name))
        for member, model in zip(members[1:], models[1:]):
            _check_together(first, member, model)
        self.members = members
        self._columns = [[member.classes.index(name) for name in first.classes] for member in members]

    def __repr__(self) -> str:
        return f"Ensemble({', '.join(map(repr, self.members))})"

    def _run(self, clips: list[np.ndarray]) -> np.ndarray:
        """Waveforms ``(time,)`` to probabilities ``(len(clips), n_classes)``."""
        scores = [member._run(clips)[:, columns] for member, columns in zip(self.members, self._columns)]
        return np.stack(scores).mean(axis=0, dtype=np.float32)


def load_predictor(models: Sequence[str | Path], **options: Any) -> Predictor:
    """A :class:`Predictor` of one model, an :class:`Ensemble` of several."""
    return Predictor(models[0], **options) if len(models) == 1 else Ensemble(models, **options)


def _check_together(first: Predictor, other: Predictor, name: Any) -> None:
    for knob in ("duration", "scored", "sample_rate", "pad"):
        a, b = getattr(first.recipe, knob), getattr(other.recipe, knob)
        if a != b:
            raise BirdfastError(
                f"{name} cannot join the ensemble: its recipe has {knob} {b}, the first model's {a}; predict with each "
                "alone, or train them alike"
            )
    differing = set(first.classes) ^ set(other.classes)
    if differing:
        some = ", ".join(sorted(differing)[:5])
        raise BirdfastError(
            f"{name} cannot join the ensemble: {len(differing)} classes are not in both models ({some})"
        )
