import pytest
import torch
from fastai.callback import fp16
from fastai.callback.core import Callback
from fastai.callback.fp16 import AMPMode, MixedPrecision
from fastai.optimizer import Adam
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from birdfast.training import learner as learner_module
from birdfast.training.dataloaders import BirdDataLoaders, bird_dls
from birdfast.training.gpu import FusedAdam, KeepScale, LossesHome, SmoothLoss, SparingProgress
from birdfast.training.learner import bird_learner


def trained(opt_func, n_steps, state=None):
    torch.manual_seed(0)
    model = nn.Sequential(nn.BatchNorm1d(4), nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1))
    opt = opt_func([[*model[0].parameters(), *model[1].parameters()], list(model[3].parameters())], lr=0.01, wd=0.1)
    for p in [*model[0].parameters(), model[1].bias]:
        opt.state[p]["do_wd"] = False
    if state:
        opt.load_state_dict(state)
    for step in range(n_steps):
        opt.set_hypers(lr=[0.01, 0.02], mom=0.95 - 0.01 * step)
        model(torch.randn(16, 4)).square().mean().backward()
        opt.step()
        opt.zero_grad()
    return model, opt


def test_the_fused_optimiser_is_fastais_adam():
    ours, theirs = trained(FusedAdam, 6)[0], trained(Adam, 6)[0]
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(a, b, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize(("first", "then"), [(Adam, FusedAdam), (FusedAdam, Adam), (FusedAdam, FusedAdam)])
def test_a_run_goes_on_with_either(first, then):
    state = trained(first, 3)[1].state_dict()
    ours, truth = trained(then, 3, state)[0], trained(Adam, 3, trained(Adam, 3)[1].state_dict())[0]
    for a, b in zip(ours.parameters(), truth.parameters(), strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-4)


def test_frozen_groups_stay(tiny_birds, tiny_recipe):
    learn = bird_learner(bird_dls(tiny_birds, tiny_recipe, device="cpu"), opt_func=FusedAdam)
    learn.freeze()
    before = [p.clone() for p in learn.model.body.parameters() if not p.requires_grad]
    with learn.no_bar(), learn.no_logging():
        learn.fit(1, 1e-2)
    assert all(
        torch.equal(a, b) for a, b in zip(before, [p for p in learn.model.body.parameters() if not p.requires_grad])
    )


class Waits(TorchDispatchMode):
    "Counts the numbers that Python asks of a device: on a GPU each is a wait"

    n = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        Waits.n += func is torch.ops.aten._local_scalar_dense.default
        return func(*args, **(kwargs or {}))


def test_no_training_step_waits_for_a_number(tiny_birds, tiny_recipe, monkeypatch):
    dls = bird_dls(tiny_birds, tiny_recipe, device="cpu", num_workers=0)
    learn = bird_learner(dls, opt_func=FusedAdam, cbs=[LossesHome()])
    with learn.no_bar(), learn.no_logging():
        learn.fit_recipe(1)
    learn.remove_cb(learn.progress)
    drawn = learn.mix_up.draw(8, torch.device("cpu"))  # on the CPU whatever the device is
    monkeypatch.setattr(learn.mix_up, "draw", lambda n, device: drawn)
    batch, learn.dl, learn.training, learn.n_iter = dls.train.one_batch(), dls.train, True, 3
    learn.model.train()
    Waits.n = 0
    with Waits():
        for i in range(3):
            learn.iter, learn.pct_train, learn.train_iter = i, 0.0, i
            learn.one_batch(i, batch)
        assert Waits.n == 0
        float(learn.loss)
    assert Waits.n == 1


def test_the_losses_come_home_and_equal_fastais(tiny_birds, tiny_recipe):
    learn = bird_learner(bird_dls(tiny_birds, tiny_recipe, device="cpu"), cbs=[LossesHome()])
    learn.remove_cb(learn.progress)
    learn.add_cb(SparingProgress())
    with learn.no_bar(), learn.no_logging():  # finds it by fastai's name
        assert not hasattr(learn, "progress")
        learn.fit_recipe()
    assert type(learn.progress) is SparingProgress
    assert type(learn.recorder.smooth_loss) is SmoothLoss
    assert all(loss.device.type == "cpu" for loss in learn.recorder.losses)
    assert float(learn.recorder.losses[-1]) == pytest.approx(learn.recorder.values[-1][0])


@pytest.mark.parametrize(
    ("backbone", "bf16", "mode"),
    [
        ("test_efficientnet", False, AMPMode.FP16),
        ("test_efficientnet", True, AMPMode.BF16),
        ("eca_nfnet_l0", True, AMPMode.BF16),
        ("eca_nfnet_l0", False, None),
    ],
)
def test_on_a_gpu_a_backbone_trains_in_the_precision_it_bears(
    tiny_birds, tiny_recipe, monkeypatch, capsys, backbone, bf16, mode
):
    dls = bird_dls(tiny_birds, tiny_recipe.with_(backbone=backbone), device="cpu", num_workers=0)
    monkeypatch.setattr(BirdDataLoaders, "device", property(lambda dls: torch.device("cuda")))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "a GPU")
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", False)
    monkeypatch.setattr(learner_module, "has_bf16", lambda: bf16)
    learn = bird_learner(dls)
    assert [cb.amp_mode for cb in learn.cbs if isinstance(cb, MixedPrecision)] == [mode] * (mode is not None)
    assert f"training on a GPU in {mode.value if mode else 'fp32'}" in capsys.readouterr().err
    assert any(isinstance(cb, LossesHome) for cb in learn.cbs) and type(learn.progress) is SparingProgress
    assert any(isinstance(cb, KeepScale) for cb in learn.cbs) == (mode == AMPMode.FP16)


class Scales(Callback):
    "The factor at the beginning of each epoch that trains"

    order = 12

    def before_fit(self):
        self.seen = []

    def before_batch(self):
        if self.training and self.iter == 0:
            self.seen.append(self.learn.scaler.get_scale())


def test_a_run_in_fp16_goes_on_with_its_factor(tiny_birds, tiny_recipe, tmp_path, monkeypatch):
    scaler = torch.amp.GradScaler
    monkeypatch.setattr(fp16, "GradScaler", lambda device, **kw: scaler("cpu", growth_interval=1, init_scale=2.0, **kw))

    def learner():
        learn = bird_learner(bird_dls(tiny_birds, tiny_recipe, device="cpu"))
        return learn.to_fp16().add_cb(KeepScale())

    learner().fit_recipe(2, run=tmp_path, cbs=[begun := Scales()])
    assert begun.seen[1] > begun.seen[0]  # it grew
    learner().fit_recipe(3, run=tmp_path, cbs=[resumed := Scales()], resume=True)
    assert resumed.seen[0] > begun.seen[1]
    learner().to_fp32().fit_recipe(4, run=tmp_path, resume=True)  # has no factor, and needs none


def test_torch_compile_is_a_knob(tiny_birds, tiny_recipe):
    dls = bird_dls(tiny_birds, tiny_recipe, device="cpu")
    assert bird_learner(dls).model._compiled_call_impl is None
    assert bird_learner(dls, compile=True).model._compiled_call_impl is not None


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("cache", [None, "waveform", "spectrogram"])
def test_it_trains_on_a_gpu(tiny_birds, tiny_recipe, tmp_path, cache):
    learn = bird_learner(
        bird_dls(tiny_birds, tiny_recipe, device="cuda", num_workers=2, cache=cache, cache_dir=tmp_path)
    )
    assert learn.opt_func is FusedAdam
    learn.fit_recipe()
    assert all(torch.isfinite(loss) for loss in learn.recorder.losses)
