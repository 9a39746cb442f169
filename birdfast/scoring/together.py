"""Which models can be averaged, and by which weights."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from birdfast.errors import BirdfastError
from birdfast.recipe.recipe import Recipe

# Knobs in which the recipes of an ensemble agree: all hear the same.
TOGETHER = ("duration", "scored", "sample_rate", "pad")
WORDS = {"scored": "window"}  # what a person sets, where that is called otherwise


def check_weights(weights: Sequence[float] | None, n: int) -> tuple[float, ...]:
    """Weights of `n` models that sum to 1; all alike unless given."""
    if not n:
        raise BirdfastError("an ensemble needs a model or more, none was given")
    given = [1.0] * n if weights is None else [float(weight) for weight in weights]
    if len(given) != n:
        raise BirdfastError(f"{len(given)} weights were given for {n} models: give one each")
    if not all(0 <= weight < np.inf for weight in given) or not sum(given) > 0:
        raise BirdfastError(f"weights of models are 0 or more and not all 0, they are {given}")
    return tuple(weight / sum(given) for weight in given)


def name_of(model: Any, recipe: Recipe) -> str:
    """What to call a model in an error: its path, or its recipe's name."""
    return str(model) if isinstance(model, (str, Path)) else recipe.name


def check_together(first: tuple[Recipe, list[str]], other: tuple[Recipe, list[str]], name: Any) -> None:
    """Refuse a model, of `other` recipe and classes, that cannot be averaged with the first."""
    for knob in TOGETHER:
        a, b = getattr(first[0], knob), getattr(other[0], knob)
        if a != b:
            word = WORDS.get(knob, knob)
            raise BirdfastError(
                f"{name} cannot join the ensemble: its recipe has {word} {b}, the first model's {a}; predict with each "
                "alone, or train them alike"
            )
    differing = set(first[1]) ^ set(other[1])
    if differing:
        some = ", ".join(sorted(differing)[:5])
        raise BirdfastError(
            f"{name} cannot join the ensemble: {len(differing)} classes are not in both models ({some})"
        )
