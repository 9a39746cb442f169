"""Weights of other people's files: under other names, of three channels, of other spectrograms, of other networks."""

import json

import pytest
import timm
import torch
from safetensors.torch import save_file

from birdfast.errors import BirdfastError
from birdfast.models.backbone import create_backbone, create_model
from birdfast.recipe.presets import RECIPES, get_recipe
from birdfast.recipe.recipe import Recipe
from birdfast.studies.folds import train_folds
from birdfast.studies.ladder import ladder
from birdfast.studies.pseudo import pseudo_label
from birdfast.studies.rungs import Rung
from birdfast.training.dataloaders import bird_dls


def ladder_of(source, recipe):
    ladder(source, [Rung(name="one", recipe=recipe)])


NAME = "test_efficientnet"
TINY = RECIPES["baseline"].with_(backbone=NAME, weights="random")


@pytest.fixture(scope="module")
def source():
    torch.manual_seed(1)
    return timm.create_model(NAME, pretrained=False).state_dict()


def check(body, source):
    torch.testing.assert_close(body.conv_stem.weight, source["conv_stem.weight"].sum(1, keepdim=True))
    torch.testing.assert_close(body.conv_head.weight, source["conv_head.weight"])
    assert torch.equal(body.bn1.running_mean, source["bn1.running_mean"])


@pytest.mark.parametrize("prefix", ["", "module.", "model.", "backbone.", "encoder.", "module.model.backbone."])
@pytest.mark.parametrize("suffix", [".pth", ".pt", ".safetensors"])
def test_prefixes_and_formats(source, tmp_path, prefix, suffix):
    file, renamed = tmp_path / f"w{suffix}", {prefix + name: tensor for name, tensor in source.items()}
    if suffix == ".safetensors":
        save_file(renamed, file)
    else:
        torch.save(renamed if suffix == ".pt" else {"epoch": 3, "state_dict": renamed}, file)
    check(create_backbone(NAME, weights=str(file)), source)


@pytest.mark.parametrize("form", ["json", "toml"])
def test_names_are_mapped_by_a_file_beside_it(source, tmp_path, form, capsys):
    torch.save(
        {f"net.{name.replace('blocks.', 'stages.')}": tensor for name, tensor in source.items()}, tmp_path / "w.pth"
    )
    with pytest.raises(
        BirdfastError, match=r"0 of its \d+ tensors are in it. First differ conv_stem.weight \(absent\)"
    ):
        create_backbone(NAME, weights=str(tmp_path / "w.pth"))
    text = '{"net.stages.": "blocks.", "net.": ""}' if form == "json" else '"net.stages." = "blocks."\n"net." = ""'
    (tmp_path / f"w.remap.{form}").write_text(text)
    check(create_backbone(NAME, weights=str(tmp_path / "w.pth")), source)
    assert "tensors of test_efficientnet" in capsys.readouterr().err


def test_a_few_missing_are_said_and_many_are_refused(source, tmp_path, capsys):
    names = [name for name in source if not name.startswith("classifier")]
    some = {name: source[name] for name in names if name != "conv_head.weight"}
    torch.save(some, tmp_path / "some.pth")
    create_backbone(NAME, weights=str(tmp_path / "some.pth"))
    assert "the others stay random: conv_head.weight" in capsys.readouterr().err
    torch.save({name: source[name] for name in names[: len(names) // 2]}, tmp_path / "half.pth")
    with pytest.raises(BirdfastError, match=r"half\.pth does not fit the backbone test_efficientnet"):
        create_backbone(NAME, weights=str(tmp_path / "half.pth"))
    wide = {name: torch.cat([t, t]) if t.ndim else t for name, t in source.items()}
    torch.save(wide, tmp_path / "wide.pth")
    with pytest.raises(BirdfastError, match=r"First differ conv_stem.weight \(\d+, 1, 3, 3\), wanted"):
        create_backbone(NAME, weights=str(tmp_path / "wide.pth"))


def test_no_code_is_run(tmp_path):
    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "made"), "w"))

    torch.save({"a": Evil()}, tmp_path / "evil.pth")
    with pytest.raises(BirdfastError, match="cannot be read as weights"):
        create_backbone(NAME, weights=str(tmp_path / "evil.pth"))
    assert not (tmp_path / "made").exists()


def bundle(recipe, path):
    from birdfast.scoring.bundle import Bundle, save_bundle
    from birdfast.spectrogram.logmel import LogMel

    model = create_model(recipe, 3, weights="random")
    save_bundle(Bundle(model, LogMel.from_recipe(recipe), ["a", "b", "c"], recipe), path)
    return model


def test_a_bundle_gives_its_backbone_and_asks_for_its_spectrogram(tmp_path):
    path = tmp_path / "birds.safetensors"
    before = bundle(TINY.with_(n_mels=64, fmin=50.0), path)
    other = TINY.with_(weights=str(path))
    with pytest.raises(
        BirdfastError, match=r"n_mels 64, not 128, fmin 50.0, not 20.0.*--set n_mels=64 --set fmin=50.0"
    ):
        create_model(other, 5)
    after = create_model(other.with_spectrogram_of(path), 5)
    for a, b in zip(before.body.parameters(), after.body.parameters(), strict=True):
        assert torch.equal(a, b)
    assert after.head[-1].out_features == 5
    assert get_recipe(path).n_mels == 64


def test_a_file_beside_it_tells_the_spectrogram(source, tmp_path):
    torch.save(source, tmp_path / "w.pth")
    recipe = TINY.with_(weights=str(tmp_path / "w.pth"))
    create_model(recipe, 3)  # nothing is told, nothing asked
    (tmp_path / "w.recipe.json").write_text(json.dumps({"n_mels": 96}))
    with pytest.raises(BirdfastError, match=r"n_mels 96, not 128.*with_spectrogram_of\(.*w\.recipe\.json"):
        create_model(recipe, 3)
    taken = recipe.with_spectrogram_of(tmp_path / "w.recipe.json")
    assert taken.to_dict() == recipe.with_(n_mels=96).to_dict()
    create_model(taken, 3)
    (tmp_path / "w.recipe.json").write_text(json.dumps({"n_mel": 96}))
    with pytest.raises(BirdfastError, match="did you mean 'n_mels'"):
        create_model(recipe, 3)


def test_what_carries_no_recipe(source, tmp_path):
    save_file(source, tmp_path / "w.safetensors")
    with pytest.raises(BirdfastError, match="carries no recipe"):
        Recipe.load(tmp_path / "w.safetensors")
    with pytest.raises(BirdfastError, match=r"no recipe at .*none\.safetensors"):
        Recipe.load(tmp_path / "none.safetensors")


def test_a_run_is_refused_before_its_data_are_read(tmp_path):
    from birdfast.commands.training.run import train_run

    (tmp_path / "w.recipe.toml").write_text("hop_length = 320")
    torch.save({}, tmp_path / "w.pth")
    with pytest.raises(BirdfastError, match="hop_length 320, not 512"):
        train_run(tmp_path / "nowhere", TINY.with_(weights=str(tmp_path / "w.pth")), tmp_path / "run")


@pytest.mark.parametrize(
    ("knobs", "says"),
    [
        ({"weights": "none.pth"}, r"no weights at none\.pth: give 'pretrained', 'random' or"),
        ({"weights": "{folder}/w.pth"}, "trained on other spectrograms .*hop_length 320, not 512"),
        ({"backbone": "vgg11", "drop_path": 0.2}, "vgg11 has no blocks that could be dropped: set drop_path to 0"),
    ],
)
@pytest.mark.parametrize("start", [bird_dls, train_folds, pseudo_label, ladder_of])
def test_what_no_model_can_be_made_of_is_refused_before_the_data_are_read(tmp_path, start, knobs, says):
    (tmp_path / "w.recipe.toml").write_text("hop_length = 320")
    (tmp_path / "w.pth").touch()
    knobs = {name: v.format(folder=tmp_path) if isinstance(v, str) else v for name, v in knobs.items()}
    with pytest.raises(BirdfastError, match=says):
        start(tmp_path / "nowhere", TINY.with_(**knobs))
