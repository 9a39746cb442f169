"""The recipes that have names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from birdfast.errors import unknown
from birdfast.recipe.recipe import Recipe

# What the failing notebook did: a constant 1e-3, nothing against over-fitting or imbalance.
BASELINE = Recipe(name="baseline", lr=1e-3, schedule="constant")

# The plan's values: the same backbone and as many epochs, with the remedies.
IMPROVED = Recipe(
    name="improved",
    lr=1e-4,  # low, for 28,000 recordings; lr="auto" asks lr_find, for small sets
    schedule="one_cycle",  # cosine annealing after a warm-up
    mixup_alpha=0.4,
    sampling_power=0.5,  # BirdCLEF 2023 1st: count ** -0.5
    time_masks=2,
    freq_masks=2,
    label_smoothing=0.1,
)

# Hundreds of recordings: some hundred steps, in which 1e-4 learns nothing and MixUp keeps the model from fitting. Its
# rate lies where lr_find puts it on small sets, real and synthetic; the figures are in README's table.
SMALL = IMPROVED.with_(name="small", lr=2e-3, mixup_alpha=0.0)

# What pays beyond `small` on real recordings and costs nothing on synthetic ones: labelled soundscapes, as BirdCLEF 2021 and
# 2026 have them, in small doses; more of them pay more and cost more. docs/remedies.md has all that was measured.
FIRST_PLACE = SMALL.with_(name="first_place", soundscape_mix=0.25)

# A head on BirdNET 2.4, begun from BirdNET's own rows. It hears 2 s on both sides of a 5-s window: a call at the
# edge of a window is whole in one of the 3-s windows around it.
BIRDNET = Recipe(
    name="birdnet",
    backbone="birdnet",
    sample_rate=48_000,
    duration=9.0,
    window=5.0,
    pad="end",
    fmax=15_000.0,  # of the pictures that people look at
    task="multi",
    activation="sigmoid",
    loss="bce_sum",
    optimizer="sgd",
    lr=3.0,
    weight_decay=0.0,
    hidden=256,  # over the linear head alone 96 in place of 94 % right, on five folds of the training data of `field`
    sampling_power=0.5,
    batch_size=8,
    epochs=40,
    dropout=0.0,
)

RECIPES: dict[str, Recipe] = {recipe.name: recipe for recipe in (BASELINE, IMPROVED, SMALL, FIRST_PLACE, BIRDNET)}


def get_recipe(recipe: str | Path | Recipe, **changes: Any) -> Recipe:
    """The recipe meant by a preset's name, the path of a .toml, a .json or a bundle, or a recipe; with `changes` applied."""
    if isinstance(recipe, (str, Path)):
        if str(recipe) in RECIPES:
            recipe = RECIPES[str(recipe)]
        elif Path(recipe).suffix in (".toml", ".json", ".safetensors"):
            recipe = Recipe.load(recipe)
        else:
            raise unknown("recipe", recipe, RECIPES)
    return recipe.with_(**changes)
