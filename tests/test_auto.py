"""recipe="auto" picks by what is there."""

import pytest

from birdfast.recipe.auto import CHOICES, Facts, choose
from birdfast.recipe.presets import RECIPES


@pytest.mark.parametrize(
    ("facts", "preset", "knobs"),
    [
        ({"embedder": "birdnet", "known": 5}, "birdnet", {"soundscape_share": 0.0}),
        ({"embedder": "birdnet", "known": 5, "labelled": 72}, "birdnet", {"soundscape_share": 0.25}),
        ({"labelled": 72}, "first_place", {"soundscape_mix": 0.25}),
        ({}, "small", {"lr": 2e-3}),
        ({"recordings": 28_000}, "improved", {"lr": "auto"}),
    ],
)
def test_what_is_taken(facts, preset, knobs):
    recipe, line = choose(Facts(**{"recordings": 80, "classes": 10} | facts))
    assert recipe.name == preset and preset in line
    assert {name: getattr(recipe, name) for name in knobs} == knobs


def test_a_knob_of_the_users_own_wins_and_is_not_claimed():
    recipe, line = choose(Facts(recordings=28_000, classes=10), lr=1e-3, epochs=3)
    assert recipe.lr == 1e-3 and recipe.epochs == 3 and "lr=" not in line


def test_every_choice_names_a_preset_and_its_measurement():
    assert all(choice.preset in RECIPES and choice.measured for choice in CHOICES)
    assert CHOICES[-1].fits(Facts(recordings=0, classes=0))
