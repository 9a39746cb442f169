"""Which models can be averaged, and by which weights."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soxr
from numpy.typing import NDArray

from birdfast.audio.read import fit
from birdfast.errors import BirdfastError
from birdfast.recipe.recipe import Recipe

# Knobs in which the recipes of one exported graph agree: it has one input.
ONE_INPUT = ("duration", "scored", "sample_rate", "pad")
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
    """Refuse a model, of `other` recipe and classes, that cannot be averaged with the first: it scores other windows."""
    check_alike(first[0], other[0], name, ("scored",))
    differing = set(first[1]) ^ set(other[1])
    if differing:
        some = ", ".join(sorted(differing)[:5])
        raise BirdfastError(
            f"{name} cannot join the ensemble: {len(differing)} classes are not in both models ({some})"
        )


def check_alike(first: Recipe, other: Recipe, name: Any, knobs: Sequence[str] = ONE_INPUT) -> None:
    """Refuse a model whose recipe differs from the first one's in `knobs`."""
    for knob in knobs:
        a, b = getattr(first, knob), getattr(other, knob)
        if a != b:
            word = WORDS.get(knob, knob)
            raise BirdfastError(
                f"{name} cannot join the ensemble: its recipe has {word} {b}, the first model's {a}; predict with each "
                "alone, or train them alike"
            )


def widest(recipes: Sequence[Recipe]) -> Recipe:
    """By which recipe to read recordings so that each of `recipes` hears what it wants: the longest, at the highest rate."""
    longest = max(recipes, key=lambda recipe: recipe.duration)
    rate = max(recipe.sample_rate for recipe in recipes)
    return longest if rate == longest.sample_rate else longest.with_(sample_rate=rate)


def heard_by(recipe: Recipe, batch: NDArray[np.float32], wide: Recipe) -> NDArray[np.float32]:
    """Waveforms ``(n, time)`` read by the recipe `wide` as `recipe` hears them: the middle, at its rate, padded its way."""
    if all(getattr(recipe, knob) == getattr(wide, knob) for knob in ONE_INPUT):
        return batch
    first = round((wide.duration - recipe.duration) / 2 * wide.sample_rate)
    cut = batch[:, first : first + round(recipe.duration * wide.sample_rate)]
    if recipe.sample_rate != wide.sample_rate:
        cut = soxr.resample(cut.T, wide.sample_rate, recipe.sample_rate, quality="HQ").T
    return np.stack([_padded(row, recipe) for row in cut])


def _padded(row: NDArray[np.float32], recipe: Recipe) -> NDArray[np.float32]:
    """A waveform at its full length; the digital silence behind a recording's end becomes what the recipe's `pad` puts there."""
    heard = np.flatnonzero(row)
    sounding = row[: heard[-1] + 1] if len(heard) else row
    return fit(np.ascontiguousarray(sounding), recipe.n_samples, pad=recipe.pad)
