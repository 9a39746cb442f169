"""The rungs as data."""

import re
from pathlib import Path

import pytest

from birdfast.errors import BirdfastError
from birdfast.recipe.presets import BASELINE, IMPROVED, RECIPES
from birdfast.studies.rungs import (
    MAIN,
    RUNGS,
    TECHNIQUES,
    Rung,
    ablation,
    compared_with,
    find_rungs,
    split_names,
    techniques,
)


@pytest.mark.parametrize("rung", MAIN, ids=lambda rung: rung.name)
def test_the_main_rungs_are_the_presets(rung):
    preset = RECIPES[re.split(r",| \+", rung.name)[0]]
    assert rung.get_recipe() == preset.with_(**rung.changes, name=rung.name)
    assert rung.adds


def test_no_rung_changes_nothing_and_each_names_one_that_there_is():
    for rung in RUNGS.values():
        assert rung.over is None or rung.over in RUNGS, rung.name
        preset = RECIPES[str(rung.recipe)].to_dict()
        assert not rung.changes or any(preset.get(k) != v for k, v in rung.changes.items()), rung.name


def test_knobs_of_all_rungs_give_way_to_a_rungs_own():
    assert RUNGS["improved, lr=auto"].get_recipe(lr=0.5, epochs=3).lr == "auto"
    assert RUNGS["improved"].get_recipe(lr=0.5).lr == 0.5


@pytest.mark.parametrize(
    ("changes", "words"),
    [({"mixup_alpa": 0.2}, "did you mean 'mixup_alpha'"), ({"pooling": "avgmx"}, "did you mean 'avgmax'")],
)
def test_a_knob_that_does_not_exist_names_the_nearest(changes, words):
    with pytest.raises(BirdfastError, match=words) as error:
        Rung(name="mine", recipe="small", changes=changes).get_recipe()
    assert "the rung 'mine'" in str(error.value)


def test_names_are_found_or_the_nearest_is_named():
    mine = Rung(name="mine", over="small")
    assert [rung.name for rung in find_rungs(["small", mine])] == ["small", "mine"]
    assert find_rungs(mine) == [mine] and find_rungs("small") == [RUNGS["small"]]
    assert [rung.name for rung in find_rungs("improved, lr=auto,small")] == ["improved, lr=auto", "small"]
    assert find_rungs(["all"]) == list(RUNGS.values())
    with pytest.raises(BirdfastError, match="did you mean 'small'"):
        find_rungs(["smal"])
    with pytest.raises(BirdfastError, match="There are: .*improved, 'improved, lr=auto', small, "):
        find_rungs(["smal"])
    with pytest.raises(BirdfastError, match="two rungs are called 'small'"):
        find_rungs(["small", "small"])
    with pytest.raises(
        BirdfastError, match="no rung to measure: name some of baseline, improved, 'improved, lr=auto', "
    ):
        find_rungs([])


def test_names_with_commas_are_one_name():
    assert split_names("baseline, improved, lr=auto,small") == ["baseline", "improved, lr=auto", "small"]
    assert split_names("improved,small + ce, read by sigmoid") == ["improved", "small + ce, read by sigmoid"]
    assert split_names("nothing,small") == ["nothing", "small"]


def test_a_rung_is_compared_with_its_own_or_the_one_before():
    a, b, c, d = Rung(name="a"), Rung(name="b"), Rung(name="c", over="a"), Rung(name="d", over="elsewhere")
    assert compared_with([a, b, c, d]) == {"b": "a", "c": "a"}


def test_ablation_takes_one_technique_at_a_time_away():
    whole, *rest = ablation("improved")
    assert whole.get_recipe() == IMPROVED
    assert {rung.name.removeprefix("improved without ") for rung in rest} == set(techniques(IMPROVED))
    assert set(techniques(IMPROVED)) == {"lr", "schedule", "masks", "mixup_alpha", "sampling", "label_smoothing"}
    masks = next(rung for rung in rest if rung.name == "improved without masks")
    assert masks.removes and masks.over == "improved"
    assert masks.get_recipe() == IMPROVED.with_(time_masks=0, freq_masks=0, name=masks.name)


def test_all_ablations_together_are_the_baseline():
    knobs = {name: value for group in techniques(IMPROVED).values() for name, value in group.items()}
    assert IMPROVED.with_(**knobs, name="baseline") == BASELINE
    with pytest.raises(BirdfastError, match="nothing to take away"):
        ablation("baseline")


@pytest.mark.parametrize(
    ("knobs", "more"),
    [
        ({"wave_mix": 0.5}, {"wave mix"}),
        ({"label_smoothing": 0.0}, set()),
        ({"mask_p": 0.0}, set()),
        ({"time_masks": 0, "freq_masks": 0, "time_mask_width": 30}, set()),
        ({"sampling_power": 0.0, "sampling_cap": 50}, set()),
        ({"loss": "ce", "activation": "sigmoid"}, set()),
        ({"loss": "bce", "activation": "sigmoid"}, {"loss"}),
        ({"loss": "bce", "activation": "sigmoid", "task": "multi"}, set()),
        ({"loss": "ce", "activation": "sigmoid", "task": "multi"}, {"loss"}),
        ({"secondary_weight": 0.3, "wave_mix_alpha": 0.4, "sed_frequency": "gem", "pseudo_power": 2.0}, set()),
        ({"schedule": "constant", "warmup": 0.1, "soundscape_label_sum": 1.0, "background_p": 1.0}, set()),
        ({"background": "noise", "background_p": 0.0, "distill_kind": "kl", "epochs": 3}, set()),
        ({"backbone": "resnet18", "weights": "random"}, set()),
    ],
)
def test_ablation_is_of_the_recipe_with_its_knobs_and_takes_nothing_that_does_nothing(knobs, more):
    whole, *rest = ablation("improved", **knobs)
    assert whole.get_recipe(**knobs) == IMPROVED.with_(**knobs)
    named = {rung.name.removeprefix("improved without ") for rung in rest}
    assert named - set(techniques(IMPROVED)) == more
    assert all(rung.get_recipe(**knobs) != whole.get_recipe(**knobs).with_(name=rung.name) for rung in rest)
    off = {
        "label_smoothing": "label_smoothing",
        "mask_p": "masks",
        "sampling_power": "sampling",
        "schedule": "schedule",
    }
    off |= {"time_masks": "masks"}
    assert not named & {what for knob, what in off.items() if knob in knobs}


def test_a_backbone_of_the_preset_itself_is_a_technique():
    assert "backbone" in techniques(IMPROVED.with_(backbone="resnet18", weights="random"))
    with pytest.raises(BirdfastError, match="did you mean 'mixup_alpha'"):
        ablation("improved", mixup_alfa=0.1)


def test_how_labels_are_read_is_no_technique():
    recipe = IMPROVED.with_(task="multi", activation="sigmoid", secondary="weight", secondary_weight=0.3)
    rung = next(rung for rung in ablation(recipe) if rung.name.endswith("without secondary labels"))
    assert rung.get_recipe() == recipe.with_(secondary="ignore", secondary_weight=0.5, name=rung.name)
    assert set(techniques(recipe)) - set(techniques(IMPROVED)) == {"secondary labels"}


def test_the_page_of_remedies_has_a_place_for_the_gain_of_every_rung_and_names_no_other():
    page = (Path(__file__).parents[2] / "docs" / "remedies.md").read_text()
    named = set(re.findall(r"<!-- gain: (.+?) -->", page))
    possible = set(RUNGS) | {rung.name for rung in ablation("small")}
    assert named <= possible
    assert {rung.name for rung in TECHNIQUES} <= named


@pytest.mark.parametrize("rung", TECHNIQUES, ids=lambda rung: rung.name)
def test_every_technique_is_a_recipe_of_its_own(rung):
    recipe, preset = rung.get_recipe().to_dict(), RECIPES[rung.recipe].to_dict()
    assert {name for name in preset if recipe[name] != preset[name] and name != "name"} == set(rung.changes)
