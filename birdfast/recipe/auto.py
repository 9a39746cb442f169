"""recipe="auto": which recipe suits what is there. A row a choice, the first that fits is taken."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from birdfast.recipe.advice import FEW
from birdfast.recipe.presets import RECIPES
from birdfast.recipe.recipe import Recipe

AUTO = "auto"


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What there is to train on, and with."""

    recordings: int
    classes: int
    labelled: int = 0  # windows of soundscapes with labels
    embedder: str = ""  # one that is installed; "": none
    known: int = 0  # classes that it knows


@dataclass(frozen=True)
class Choice:
    """One row: when it fits, the preset and the knobs that it takes, and why, with what was measured."""

    fits: Callable[[Facts], bool]
    preset: str
    why: str
    measured: str
    knobs: dict[str, Any] = field(default_factory=dict)


# docs/recipe.md shows this table. Figures: benchmarks/results/heads.csv, and README's table for the presets without embedder.
CHOICES = (
    Choice(
        lambda facts: bool(facts.embedder) and facts.labelled > 0,
        "birdnet",
        "{embedder} is installed and knows {known} of {classes} species; a quarter of each batch is labelled soundscapes",
        "heads.csv: head + labelled soundscapes",
        {"soundscape_share": 0.25},
    ),
    Choice(
        lambda facts: bool(facts.embedder),
        "birdnet",
        "{embedder} is installed and knows {known} of {classes} species",
        "heads.csv: head",
    ),
    Choice(
        lambda facts: facts.recordings < FEW and facts.labelled > 0,
        "first_place",
        "{recordings} recordings are few, with labelled soundscapes, and no embedder is installed (pip install '.[birdnet]')",
        "docs/remedies.md: labelled soundscapes over small",
    ),
    Choice(
        lambda facts: facts.recordings < FEW,
        "small",
        "{recordings} recordings are few, and no embedder is installed (pip install '.[birdnet]')",
        "README: small beside improved",
    ),
    Choice(
        lambda facts: True,
        "improved",
        "{recordings} recordings are many, and no embedder is installed (pip install '.[birdnet]')",
        "README: improved, lr=auto",
        {"lr": "auto"},
    ),
)


def choose(facts: Facts, **changes: Any) -> tuple[Recipe, str]:
    """The recipe for `facts`, with `changes` of the user's own, and one line that says what was taken and why."""
    choice = next(choice for choice in CHOICES if choice.fits(facts))
    knobs = choice.knobs | changes
    recipe = RECIPES[choice.preset].with_(**knobs)
    set_here = "".join(f", {name}={value!r}" for name, value in choice.knobs.items() if name not in changes)
    return recipe, f"recipe='{choice.preset}'{set_here}: {choice.why.format(**vars(facts))}"
