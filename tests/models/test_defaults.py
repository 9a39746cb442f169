import pytest
import torch
from torch import nn

from birdfast.errors import BirdfastError
from birdfast.models.backbone import create_backbone
from birdfast.models.defaults import FAMILIES, backbone_lr, defaults_of, precision


def test_the_longest_name_counts_and_others_are_refused():
    assert defaults_of("tf_efficientnetv2_s.in21k") is FAMILIES["tf_efficientnetv2"]
    assert defaults_of("tf_efficientnet_b0.ns_jft_in1k") is FAMILIES["tf_efficientnet_"]
    assert backbone_lr("eca_nfnet_l0") == FAMILIES["eca_nfnet"].lr != backbone_lr("tf_efficientnet_b0")
    with pytest.raises(BirdfastError, match="no default learning rate is known for resnet18.*'auto'"):
        backbone_lr("resnet18")
    with pytest.raises(BirdfastError, match="did you mean"):
        backbone_lr("tf_efficientnet_b00")


def test_nfnets_never_train_in_fp16():
    assert precision("eca_nfnet_l0", has_bf16=True) == "bf16"
    assert precision("eca_nfnet_l0", has_bf16=False) == "fp32"
    assert precision("tf_efficientnet_b0", has_bf16=False) == "fp16"
    assert precision("tf_efficientnet_b0", has_bf16=True) == "bf16"
    assert precision("resnet18", has_bf16=False) == "fp16"


def test_drop_path_drops_blocks_in_training_only():
    image = torch.randn(1, 1, 64, 64)
    bodies = {p: create_backbone("efficientnet_lite0", weights="random", drop_path=p) for p in (0.0, 0.9)}
    for p, body in bodies.items():
        for norm in body.modules():
            if isinstance(norm, nn.BatchNorm2d):
                norm.momentum = 0.0
        with torch.no_grad():
            torch.manual_seed(0)
            first, second = body.train()(image), body.train()(image)
            assert torch.equal(first, second) == (p == 0.0)
            assert torch.equal(body.eval()(image), body.eval()(image))


def test_a_backbone_without_blocks_says_so():
    with pytest.raises(BirdfastError, match="vgg11 has no blocks that could be dropped"):
        create_backbone("vgg11", weights="random", drop_path=0.1)
