import pytest
import torch
import torch.nn.functional as F
from fastai.losses import LabelSmoothingCrossEntropyFlat
from timm.loss import AsymmetricLossMultiLabel

from birdfast.models.losses import (
    AsymmetricLoss,
    BCEFocal,
    FocalBCE,
    LabelSmoothingCrossEntropy,
    SmoothedBCE,
    SoftAUC,
    SoftAUCBCE,
    create_loss,
)  # fmt: skip
from birdfast.recipe.presets import RECIPES

ALL = ["ce", "bce", "focal", "bce_focal", "asymmetric", "soft_auc", "soft_auc_bce"]


def made(name, task="multi", smoothing=0.1):
    return create_loss(RECIPES["improved"].with_(loss=name, task=task, activation="sigmoid", label_smoothing=smoothing))


def some_targets(seed=1):
    return (torch.rand(6, 4, generator=torch.Generator().manual_seed(seed)) > 0.6).float()


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


# Each loss of the recipe = a row of these.
@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
class TestEveryLoss:
    def test_following_its_gradient_ranks_the_targets_first(self, name, smoothing, logits):
        y, x = some_targets(), logits.clone().requires_grad_()
        loss, first = made(name, smoothing=smoothing), None
        for _ in range(300):
            value = loss(x, y)
            first = value.item() if first is None else first
            (grad,) = torch.autograd.grad(value, x)
            x = (x.detach() - 2 * grad).requires_grad_()
        assert loss(x, y).item() < 0.9 * first
        by = 1 if name == "ce" else 0  # cross-entropy compares the species of a clip, the others the clips of a species
        for scores, truth in zip(x.detach().unbind(1 - by), y.unbind(1 - by)):
            if 0 < truth.sum() < len(truth):
                assert scores[truth == 1].min() > scores[truth == 0].max()

    def test_class_indices_are_one_hot_targets(self, name, smoothing, logits):
        y, loss = torch.tensor([0, 1, 2, 3, 0, 1]), made(name, "single", smoothing)
        torch.testing.assert_close(loss(logits, y), loss(logits, torch.eye(4)[y]))
        assert loss.decodes(torch.eye(4)).tolist() == [0, 1, 2, 3]
        assert loss.y_int

    def test_unknown_targets_neither_count_nor_train(self, name, smoothing, logits):
        y, loss, keep = torch.eye(4)[[0, 1, 0, 3, 0, 1]], made(name, smoothing=smoothing), [0, 1, 3]
        masked = y.clone()
        masked[:, 2] = torch.nan
        torch.testing.assert_close(loss(logits, masked), loss(logits[:, keep], y[:, keep]))
        masked[4] = torch.nan  # nothing known of a clip at all
        x = logits.clone().requires_grad_()
        loss(x, masked).backward()
        assert x.grad.isfinite().all()
        assert (x.grad[:, 2] == 0).all() and (x.grad[4] == 0).all()
        assert (x.grad[:, keep] != 0).any()

    def test_soft_targets_lie_between(self, name, smoothing, logits):
        y, loss = torch.eye(4)[[0, 1, 2, 3, 0, 1]], made(name, smoothing=smoothing)
        other = y[[1, 2, 3, 0, 5, 4]]
        values = [float(loss(logits, lam * y + (1 - lam) * other)) for lam in (1.0, 0.6, 0.0)]
        assert len({round(value, 5) for value in values}) == 3

    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
    def test_half_precision_gives_the_loss_of_the_same_logits(self, name, smoothing, logits, dtype):
        y, loss, extreme = some_targets(), made(name, smoothing=smoothing), (logits * 40).to(dtype)
        with torch.autocast("cpu", dtype):
            value = loss(extreme, y.to(dtype))
        assert value.dtype == torch.float32
        torch.testing.assert_close(value, loss(extreme.float(), y))
        x = extreme.clone().requires_grad_()
        loss(x, y).backward()
        assert x.grad.isfinite().all()

    def test_reduction_none_is_an_item_each(self, name, smoothing, logits):
        y, loss = some_targets(), made(name, smoothing=smoothing)
        mean = loss(logits, y)
        loss.reduction = "none"
        assert loss(logits, y).shape == (6,)
        torch.testing.assert_close(loss(logits, y).mean(), mean)


@pytest.mark.parametrize("name", ALL)
def test_smoothing_changes_a_loss(name, logits):
    y = some_targets()
    assert float(made(name, smoothing=0.3)(logits, y)) != pytest.approx(
        float(made(name, smoothing=0.0)(logits, y)), abs=1e-4
    )


def test_cross_entropy_of_several_species_weighs_each_clip_alike(logits):
    loss, y = LabelSmoothingCrossEntropy(0.0), torch.tensor([[1.0, 1.0, 0.0, 0.0]])
    x = logits[:1]
    one = [float(loss(x, torch.tensor([i]))) for i in range(2)]
    assert float(loss(x, y)) == pytest.approx(sum(one) / 2, rel=1e-5)
    assert float(loss(x, torch.zeros(1, 4))) == 0
    assert float(loss(x, y / 4)) == pytest.approx(sum(one) / 4, rel=1e-5)  # weak labels stay weak


def test_focal_is_that_of_the_paper(logits):
    y, p = some_targets(), logits.sigmoid()
    right = torch.where(y == 1, p, 1 - p)
    alpha = torch.where(y == 1, 0.25, 0.75)
    focal = (-alpha * (1 - right) ** 2 * right.log()).mean()
    torch.testing.assert_close(FocalBCE()(logits, y), focal)
    torch.testing.assert_close(BCEFocal()(logits, y), focal + SmoothedBCE()(logits, y))


def test_asymmetric_is_timms_on_hard_targets(logits):
    y = some_targets()
    torch.testing.assert_close(AsymmetricLoss()(logits, y) * y.numel(), AsymmetricLossMultiLabel()(logits, y) * len(y))


def test_soft_auc_compares_pairs_within_a_class():
    y, x = torch.tensor([[1.0, 0.0], [0.0, 0.0], [0.0, 0.0]]), torch.tensor([[2.0, 0.3], [1.0, 0.1], [-1.0, 0.2]])
    pairs = F.softplus(torch.tensor([1.0 - 2.0, -1.0 - 2.0])).mean()  # the second class has no positive, so no pair
    torch.testing.assert_close(SoftAUC()(x, y), pairs)
    torch.testing.assert_close(SoftAUC()(x + 5, y), pairs)  # the level does not matter, only the order
    torch.testing.assert_close(SoftAUCBCE()(x, y), pairs + 0.25 * SmoothedBCE()(x, y))


def test_a_batch_without_a_pair_gives_a_loss_of_zero_that_can_be_trained():
    x = torch.randn(3, 2, requires_grad=True)
    loss = SoftAUC()(x, torch.zeros(3, 2))
    loss.backward()
    assert loss == 0
    assert (x.grad == 0).all()
