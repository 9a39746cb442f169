import dataclasses
import json
from pathlib import Path

import pytest

from birdfast.errors import BirdfastError
from birdfast.recipe.advice import FEW_STEPS, epoch_steps
from birdfast.recipe.presets import RECIPES, get_recipe
from birdfast.recipe.recipe import Recipe


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("suffix", ["toml", "json"])
def test_every_preset_survives_a_file(name, suffix, tmp_path):
    path = tmp_path / f"recipe.{suffix}"
    RECIPES[name].with_(lr="auto").save(path)
    assert get_recipe(path) == RECIPES[name].with_(lr="auto")


def test_baseline_and_improved_differ_just_in_the_remedies():
    differ = {
        f.name
        for f in dataclasses.fields(Recipe)
        if getattr(RECIPES["baseline"], f.name) != getattr(RECIPES["improved"], f.name)
    }
    assert differ == {
        "name",
        "lr",
        "schedule",
        "mixup_alpha",
        "sampling_power",
        "time_masks",
        "freq_masks",
        "label_smoothing",
    }


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"epoch": 3}, "did you mean 'epochs'"),
        ({"epochs": 1.5}, "epochs must be int"),
        ({"epochs": True}, "epochs must be int"),
        ({"epochs": 0}, "epochs must be above 0"),
        ({"lr": "fast"}, "lr must be 'auto' or 'backbone'"),
        ({"lr": -1.0}, "lr must be a number above 0"),
        ({"pad": "repat"}, "did you mean 'repeat'"),
        ({"label_smoothing": 1.2}, "label_smoothing must lie between 0 and 1"),
        ({"mixup_alpha": -0.1}, "mixup_alpha must not be negative"),
        ({"sample_rate": 22050}, "set fmax to 11025 or less"),
        ({"fmin": 17000.0}, "fmin .* must lie below fmax"),
        ({"win_length": 4096}, "win_length .* must not exceed n_fft"),
        ({"fold": 5}, "fold must lie between"),
        ({"secondary": "mask"}, "needs task='multi'"),
        ({"task": "multi"}, "needs activation='sigmoid'"),
        ({"wave_mix": 1.5}, "wave_mix must lie between 0 and 1"),
        ({"gain_db": -3.0}, "gain_db must not be negative"),
        ({"sampling_floor": 50, "sampling_cap": 20}, "sampling_floor .50. must not exceed sampling_cap .20."),
        ({"background_snr_low": 40.0}, "background_snr_low .40 dB. must not exceed"),
        ({"no_call": 1}, "no_call must be true or false"),
        ({"no_call": True, "pseudo_mix": 0.5}, "set no_call=False, or pseudo_mix=0"),
        ({"no_call": True, "distill": "t.npz", "distill_kind": "kl"}, "'kl' has no teacher of clips without a call"),
        ({"no_call": True, "distill": "t.npz", "distill_kind": "bce"}, "'bce' has no teacher of clips without a call"),
        ({"time_mask_width": 0}, "time_mask_width must be above 0"),
        ({"freq_mask_width": -1}, "freq_mask_width must be above 0"),
        ({"window": 0.0004}, "window of 0.0004 s is too short: give 0.001 s or more"),
        ({"loss": "focl"}, "did you mean 'focal'"),
        ({"loss": "focal"}, "needs activation='sigmoid', not 'softmax'"),
        ({"pooling": "sed", "duration": 0.4}, "'sed' .* duration of 0.4 s at hop_length=512 is 26 frames"),
        ({"soundscape_share": 0.01}, "soundscape_share=0.01 of batch_size=32 is 0 windows: give 0.03125 or more"),
        ({"soundscape_share": 0.99}, "soundscape_share=0.99 of batch_size=32 is 32 windows"),
        ({"soundscape_label_sum": 2.0}, "soundscape_label_sum must not exceed 1, it is 2"),
        ({"loss": "soft_auc", "activation": "sigmoid", "batch_size": 1}, "holds no pair"),
        ({"mixup_alpha": 0.4, "batch_size": 1}, "mixup_alpha=0.4 mixes .* batch_size=1 holds no other"),
        ({"mixup_alpha": 0.0, "wave_mix": 0.5, "batch_size": 1}, "wave_mix=0.5 mixes .* batch_size=1 holds no other"),
        ({"mixup_alpha": 0.001}, "mixup_alpha=0.001 is too small to draw shares by: give 0.01 or more, or 0"),
        ({"wave_mix_alpha": 0.001}, "wave_mix_alpha=0.001 is too small"),
        ({"n_fft": 2049, "win_length": 2048}, "n_fft must be even, it is 2049"),
        ({"pooling": "sed", "window": 0.5}, "of the 10 .* a window of 0.5 s scores a single one; .* longer than 0.5 s"),
        ({"mixup_alpha": float("nan")}, "mixup_alpha must be a finite number, not nan"),
        ({"gain_db": float("inf")}, "gain_db must be a finite number, not inf"),
        ({"background_snr_low": float("-inf")}, "background_snr_low must be a finite number, not -inf"),
        ({"lr": float("nan")}, "lr must be a finite number, not nan"),
        ({"label_smoothing": 1}, "label_smoothing must lie between 0 and 1, and not be 1"),
        ({"dropout": 1.0}, "dropout must lie between 0 and 1, and not be 1"),
        ({"drop_path": 1.0}, "drop_path must lie between 0 and 1, and not be 1"),
        ({"seed": -1}, "seed must lie between 0 and 4294967295, it is -1"),
        ({"seed": 2**32}, "seed must lie between 0 and 4294967295"),
        ({"distill": "t.npz", "distill_weight": 0.0}, "distill_weight=0 learns nothing of the teacher"),
        (
            {"distill": "t.npz", "distill_kind": "bce"},
            "'bce' trains each class by itself: it needs activation='sigmoid'",
        ),
        (
            {"distill": "t.npz", "distill_kind": "kl", "loss": "focal", "activation": "sigmoid"},
            "loss='focal' trains each by itself: set distill_kind='bce'",
        ),
    ],
)
def test_a_wrong_knob_is_a_sentence(knobs, message):
    with pytest.raises(BirdfastError, match=message):
        get_recipe("improved", **knobs)


def test_what_borders_on_the_refused_is_taken():
    assert get_recipe("improved", pooling="sed", duration=0.512).n_samples // 512 == 32  # 33 frames
    assert get_recipe("improved", duration=0.4).pooling == "avg"
    assert get_recipe("improved", pooling="sed", window=0.6).window == 0.6  # two of ten moments
    assert get_recipe("improved", window=0.5).pooling == "avg"
    assert get_recipe("improved", mixup_alpha=0.0, batch_size=1).batch_size == 1
    assert get_recipe("improved", seed=2**32 - 1).seed == 2**32 - 1
    assert get_recipe("improved", distill="t.npz", distill_kind="kl", activation="sigmoid").loss == "auto"
    assert get_recipe("improved", soundscape_label_sum=1.0).soundscape_label_sum == 1
    assert get_recipe("improved", soundscape_share=1 / 32, no_call=True).hears_soundscapes


def test_names_and_files_that_do_not_exist(tmp_path):
    with pytest.raises(BirdfastError, match="did you mean 'improved'"):
        get_recipe("improvd")
    with pytest.raises(BirdfastError, match="no recipe at"):
        get_recipe(tmp_path / "none.toml")
    (tmp_path / "bad.toml").write_text("epochs = = 3")
    with pytest.raises(BirdfastError, match="is not a recipe"):
        get_recipe(tmp_path / "bad.toml")


def test_a_recipe_cannot_be_changed_in_place():
    with pytest.raises(dataclasses.FrozenInstanceError):
        RECIPES["improved"].epochs = 3
    assert RECIPES["improved"].with_(epochs=20).epochs == 20
    assert RECIPES["improved"].epochs == 10


@pytest.mark.parametrize(
    ("n_clips", "batch_size", "text", "smaller"),
    [
        (52, 32, "1 step an epoch, 20 of 52 clips left out each time", 4),
        (28_000, 32, "875 steps an epoch", None),
        (256, 32, "8 steps an epoch", None),
        (255, 32, "7 steps an epoch, 31 of 255 clips left out each time", 16),
        (10, 2, "5 steps an epoch", None),
        (10, 32, "0 steps an epoch, 10 of 10 clips left out each time", 2),
        (1, 32, "0 steps an epoch, 1 of 1 clips left out each time", 1),
    ],
)
def test_steps_of_an_epoch_and_the_batch_that_gives_enough(n_clips, batch_size, text, smaller):
    assert epoch_steps(n_clips, batch_size) == (text, smaller)
    if smaller and n_clips >= 16:
        assert n_clips // smaller >= FEW_STEPS


PAGE = Path(__file__).parent.parent / "docs" / "recipe.md"


def test_the_page_names_every_knob_with_its_default():
    knobs = {f.name: f.default for f in dataclasses.fields(Recipe) if f.name != "name"}
    rows = [line.split(" | ") for line in PAGE.read_text().split("## All knobs")[1].splitlines() if line[:3] == "| `"]
    assert {row[0].strip("|` "): row[1] for row in rows} == {name: f"`{json.dumps(v)}`" for name, v in knobs.items()}
    assert all(row[2].strip(" |") for row in rows)


def test_the_page_says_how_the_presets_differ():
    values = {f.name: [getattr(r, f.name) for r in RECIPES.values()] for f in dataclasses.fields(Recipe)}
    differ = {name: row for name, row in values.items() if name != "name" and set(row) != {getattr(Recipe(), name)}}
    table = PAGE.read_text().split("## Presets")[1].split("## All knobs")[0].splitlines()
    written = [[cell.strip(" `") for cell in line.strip("|").split("|")] for line in table if line[:3] == "| `"]
    assert {row[0]: row[1:] for row in written} == {name: [json.dumps(v) for v in row] for name, row in differ.items()}
    assert "| | " + " | ".join(f"`{name}`" for name in RECIPES) + " |" in table
