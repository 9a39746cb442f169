import pytest
import torch
import torch.nn.functional as F
from fastai.losses import LabelSmoothingCrossEntropyFlat

from birdfast.models.losses import LabelSmoothingCrossEntropy, SmoothedBCE, create_loss
from birdfast.recipe import RECIPES


@pytest.fixture
def logits():
    return torch.randn(6, 4, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_equals_fastai_on_class_indices(logits, smoothing):
    y = torch.tensor([0, 1, 2, 3, 0, 1])
    torch.testing.assert_close(
        LabelSmoothingCrossEntropy(smoothing)(logits, y), LabelSmoothingCrossEntropyFlat(eps=smoothing)(logits, y)
    )


def test_soft_targets_equal_the_weighted_sum_of_hard_ones(logits):
    a, b = torch.tensor([0, 1, 2, 3, 0, 1]), torch.tensor([3, 2, 1, 0, 1, 0])
    loss = LabelSmoothingCrossEntropy(0.1)
    soft = 0.7 * F.one_hot(a, 4).float() + 0.3 * F.one_hot(b, 4).float()
    torch.testing.assert_close(loss(logits, soft), 0.7 * loss(logits, a) + 0.3 * loss(logits, b))


def test_bce_without_smoothing_is_torch(logits):
    y = (torch.rand(6, 4, generator=torch.Generator().manual_seed(1)) > 0.5).float()
    torch.testing.assert_close(SmoothedBCE()(logits, y), F.binary_cross_entropy_with_logits(logits, y))


def test_bce_smoothing_pulls_targets_to_one_half(logits):
    y = torch.eye(4)[[0, 1, 2, 3, 0, 1]]
    torch.testing.assert_close(SmoothedBCE(0.2)(logits, y), F.binary_cross_entropy_with_logits(logits, y * 0.8 + 0.1))


def test_unknown_targets_do_not_count(logits):
    y = torch.eye(4)[[0, 1, 2, 3, 0, 1]]
    masked = y.clone()
    masked[:, 2] = torch.nan
    keep = [0, 1, 3]
    torch.testing.assert_close(SmoothedBCE(0.1)(logits, masked), SmoothedBCE(0.1)(logits[:, keep], y[:, keep]))
    logits.requires_grad_()
    SmoothedBCE(0.1)(logits, masked).backward()
    assert (logits.grad[:, 2] == 0).all()
    assert (logits.grad[:, keep] != 0).any()


@pytest.mark.parametrize("loss", [LabelSmoothingCrossEntropy(0.1), SmoothedBCE(0.1)])
def test_reduction_none_averages_to_the_mean(logits, loss):
    y = torch.eye(4)[[0, 1, 2, 3, 0, 1]]
    mean = loss(logits, y)
    loss.reduction = "none"
    each = loss(logits, y)
    assert each.shape == (6,)
    torch.testing.assert_close(each.mean(), mean)
    loss.reduction = "mean"


def test_the_recipe_chooses():
    improved = RECIPES["improved"]
    assert create_loss(improved).smoothing == improved.label_smoothing
    assert isinstance(create_loss(improved.with_(task="multi", activation="sigmoid")), SmoothedBCE)
    loss = create_loss(improved.with_(activation="sigmoid"))
    torch.testing.assert_close(loss.activation(torch.zeros(1, 3)), torch.full((1, 3), 0.5))
