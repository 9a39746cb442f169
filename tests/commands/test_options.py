"""What is typed becomes knobs."""

from __future__ import annotations

import pytest

from birdfast.commands.shared.shell import sentence
from birdfast.commands.shared.typed import (
    how_to_resume,
    read_columns,
    read_knobs,
    read_lr,
    resumed_recipe,
    source_words,
)
from birdfast.errors import BirdfastError
from birdfast.recipe.presets import RECIPES


def test_settings_are_toml_values_or_plain_words():
    settings = ["n_mels=64", "fmin = 50.0", "pad=end", 'backbone="resnet18"', "lr=auto", "weights=a/b.pth"]
    wanted = {"n_mels": 64, "fmin": 50.0, "pad": "end", "backbone": "resnet18", "lr": "auto", "weights": "a/b.pth"}
    assert read_knobs({"epochs": None, "seed": 0}, settings) == wanted | {"seed": 0}


@pytest.mark.parametrize("setting", ["n_mels", "=3", " =3"])
def test_a_setting_without_name_or_value(setting):
    with pytest.raises(BirdfastError, match="knob=value"):
        read_knobs({}, [setting])


def test_learning_rates():
    assert [read_lr(text) for text in (None, "auto", "1e-3")] == [None, "auto", 1e-3]
    with pytest.raises(BirdfastError, match="a number, auto or backbone"):
        read_lr("1e")


def test_columns_hold_what_was_given():
    columns = read_columns("f", None, None, "k", "root dir")
    assert columns == {"file": "f", "fold": "k", "audio_root": "root dir"}
    assert source_words("my data", columns) == "'my data' --file f --fold-column k --audio-root 'root dir'"


def test_a_resumed_run_keeps_its_recipe(tmp_path):
    recipe = RECIPES["improved"].with_(lr="auto", n_mels=64)
    recipe.save(tmp_path / "recipe.toml")
    assert resumed_recipe(tmp_path, None, {}) == recipe
    assert resumed_recipe(tmp_path, None, {"epochs": 30}) == recipe.with_(epochs=30)
    assert resumed_recipe(tmp_path, "improved", {"lr": "auto", "n_mels": 64}) == recipe
    with pytest.raises(BirdfastError, match=r"you changed n_mels \(64 to 128\)"):
        resumed_recipe(tmp_path, "improved", {"lr": "auto"})
    with pytest.raises(BirdfastError, match="no run to resume"):
        resumed_recipe(tmp_path / "none", None, {})


def test_sentences_come_without_their_wrapping():
    inner = "3 of 9 recordings cannot be read"
    fastai = BirdfastError(f"Exception occured in `StopOnBadFiles` when calling event `after_batch`:\n\t{inner}")
    worker = BirdfastError(
        f"Caught BirdfastError in worker.\nOriginal Traceback (most recent):\n  x\na.b.BirdfastError: {inner}\n"
    )
    assert sentence(fastai) == sentence(worker) == sentence(BirdfastError(inner)) == inner
    assert sentence(PermissionError(13, "Permission denied", "a.csv")) == "a.csv: Permission denied"
    assert sentence(ZeroDivisionError("x")) is None


def test_how_to_go_on_names_the_cache(tmp_path):
    (tmp_path / "recipe.toml").touch()
    said = how_to_resume("birds", {}, tmp_path, {"cache": "waveform", "cache_dir": "big disk"})
    assert said.endswith(f"birdfast train birds --cache waveform --cache-dir 'big disk' --out {tmp_path} --resume")
