import pytest
import torch

from birdfast.errors import BirdfastError
from birdfast.models.backbone import BirdModel, create_model
from birdfast.models.heads import GeM, Mean, SedHead, create_head
from birdfast.models.losses import LabelSmoothingCrossEntropy, SmoothedBCE
from birdfast.recipe.checks import STRIDE
from birdfast.recipe.presets import RECIPES

TINY = RECIPES["baseline"].with_(backbone="test_efficientnet", weights="random")


@pytest.fixture
def features():
    return torch.rand(2, 8, 3, 5, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(("p", "like"), [(1.0, "mean"), (200.0, "amax")])
def test_gem_goes_from_the_mean_to_the_maximum(features, p, like):
    wanted = getattr(features, like)((-2, -1), keepdim=True)
    torch.testing.assert_close(GeM(p=p)(features), wanted, rtol=0.02, atol=1e-4)


@pytest.mark.parametrize(("n_frames", "n_moments"), [(STRIDE, 1), (STRIDE + 1, 2)])
def test_sed_needs_more_frames_than_the_stride(n_frames, n_moments):
    model = create_model(TINY.with_(pooling="sed"), 7).eval()
    assert model.frames(torch.zeros(1, 1, 128, n_frames)).shape == (1, 7, n_moments)


def test_gem_learns_p_and_is_the_formula(features):
    pool = GeM()
    torch.testing.assert_close(pool(features), (features**3).mean((-2, -1), keepdim=True) ** (1 / 3))
    pool(features).sum().backward()
    assert pool.p.grad.abs() > 0


def test_gem_counts_in_float32_under_autocast():
    loud = torch.full((1, 2, 2, 2), 100.0)  # its cube is beyond float16
    with torch.autocast("cpu", dtype=torch.float16):
        pooled = GeM()(loud.half())
    assert pooled.dtype == torch.float32
    torch.testing.assert_close(pooled, torch.full((1, 2, 1, 1), 100.0), rtol=1e-3, atol=0)


@pytest.mark.parametrize("frequency", ["mean", "gem"])
def test_sed_weighs_the_frames(features, frequency):
    torch.manual_seed(0)
    head = SedHead(8, 4, frequency=frequency)
    head.attention.weight.data *= 20
    clip, frames = head(features), head.frames(features)
    assert clip.shape == (2, 4)
    assert frames.shape == (2, 4, 5)
    assert (clip - frames.mean(-1)).abs().max() > 1e-3  # a plain mean would do without attention
    assert ((frames.amin(-1) <= clip + 1e-6) & (clip <= frames.amax(-1) + 1e-6)).all()


def test_sed_frequency_is_a_knob(features):
    torch.manual_seed(0)
    head = SedHead(8, 4, frequency="gem")
    plain = SedHead(8, 4, frequency="mean")
    plain.load_state_dict(head.state_dict(), strict=False)
    assert (head(features) - plain(features)).abs().max() > 1e-3
    with pytest.raises(BirdfastError, match="unknown sed_frequency"):
        SedHead(8, 4, frequency="max")


@pytest.mark.parametrize(("how", "kind"), [("mean", Mean), ("gem", GeM)])
def test_how_a_model_pools_frequency_is_the_recipes(how, kind):
    assert type(create_model(TINY.with_(pooling="sed", sed_frequency=how), 7).head.frequency) is kind


@pytest.mark.parametrize("loss", [LabelSmoothingCrossEntropy(0.1), SmoothedBCE(0.1)])
def test_sed_hears_one_frame_with_either_loss(loss):
    torch.manual_seed(0)
    model = SedHead(16, 4)
    label, when = torch.arange(48) % 4, torch.arange(48) // 4 % 6  # the last class is silence
    features, targets = torch.zeros(48, 16, 2, 6), torch.eye(4)[label]
    for i in range(48):
        if label[i] < 3:
            features[i, 4 * label[i] : 4 * label[i] + 4, :, when[i]] = 2.0
    optimiser = torch.optim.Adam(model.parameters(), lr=0.02)
    for _ in range(60):
        optimiser.zero_grad()
        loss(model(features), targets).backward()
        optimiser.step()
    assert (model(features).argmax(1) == label).all()
    loudest = (model.frames(features) * (targets - 1 / 4)[..., None]).sum(1).argmax(1)
    assert (loudest == when)[label < 3].all()


def test_a_model_gives_its_frames():
    model = create_model(TINY.with_(pooling="sed"), 7).eval()
    assert model.frames(torch.randn(2, 1, 64, 320)).shape == (2, 7, 10)
    with pytest.raises(BirdfastError, match="pooling='sed'"):
        create_model(TINY, 7).frames(torch.randn(1, 1, 64, 64))


def test_an_unknown_pooling_is_named():
    with pytest.raises(BirdfastError, match="did you mean 'gem'"):
        create_head("gemm", 8, 3)


@pytest.mark.parametrize("pooling", ["avg", "sed"])
def test_in_eval_mode_the_frames_of_the_window_are_pooled(features, pooling):
    torch.manual_seed(0)
    head = create_head(pooling, 8, 4)
    model = BirdModel(torch.nn.Identity(), head, window=(2000, 4000))
    torch.testing.assert_close(model.train()(features), head(features))
    torch.testing.assert_close(model.eval()(features), head(features[..., 1:4]))
    assert (model(features) - head(features)).abs().max() > 1e-3
    whole = create_model(TINY, 3)
    assert whole.window[0] == whole.window[1]
