import pandas as pd
import pytest
import torch
from fastai.callback.core import Callback, CancelFitException
from fastai.callback.tracker import SaveModelCallback
from fastai.learner import load_model

from birdfast.errors import BirdfastError
from birdfast.training.dataloaders import bird_dls
from birdfast.training.learner import bird_learner


class Trace(Callback):
    "The raw weights after each step and each epoch, and those that are validated"

    order = 7

    def before_fit(self):
        self.steps, self.epochs, self.validated = [], [], []

    def _weights(self):
        return {name: t.clone() for name, t in self.learn.model.state_dict().items()}

    def before_train(self):
        if not self.steps:
            self.steps.append(self._weights())

    def after_step(self):
        self.steps.append(self._weights())

    def after_train(self):
        self.epochs.append(self._weights())

    def before_validate(self):
        self.validated.append(self._weights())


def train(source, recipe, cbs=(), **kwargs):
    learn = bird_learner(bird_dls(source, recipe, device="cpu"))
    learn.fit_recipe(cbs=list(cbs), **kwargs)
    return learn


def close(found, wanted):
    for name, tensor in wanted.items():
        torch.testing.assert_close(found[name], tensor, rtol=1e-4, atol=1e-5, msg=lambda m, name=name: f"{name}: {m}")


def test_ema_is_the_formula_and_is_what_is_validated_and_kept(tiny_birds, tiny_recipe):
    trace = Trace()
    learn = train(tiny_birds, tiny_recipe.with_(ema=0.6), [trace])
    first, *steps = trace.steps
    name = "body.conv_stem.weight"
    average, n = steps[0][name], 0  # the first step's: kept from it on
    for n, weights in enumerate(steps):
        decay = min(0.6, (1 + n) / (10 + n))
        average = decay * average + (1 - decay) * weights[name]
    final = learn.model.state_dict()
    torch.testing.assert_close(final[name], average, rtol=1e-4, atol=1e-6)
    assert not torch.equal(final[name], steps[-1][name])
    close(trace.validated[-1], final)


def test_swa_is_the_mean_of_the_last_epochs_with_the_last_statistics(tiny_birds, tiny_recipe):
    trace = Trace()
    learn = train(tiny_birds, tiny_recipe.with_(swa=0.5, epochs=4, schedule="constant"), [trace])
    final, names = learn.model.state_dict(), dict(learn.model.named_parameters())
    a, b = trace.epochs[2:]
    close(final, {name: (a[name] + b[name]) / 2 if name in names else b[name] for name in final})
    close(trace.validated[1], trace.epochs[1])  # before its time nothing is averaged
    assert not torch.equal(final["head.2.weight"], b["head.2.weight"])


@pytest.mark.parametrize("knobs", [{"ema": 0.7}, {"swa": 0.75}])
def test_an_interrupted_run_ends_with_the_same_average(tiny_birds, tiny_recipe, tmp_path, knobs):
    recipe = tiny_recipe.with_(epochs=3, schedule="cosine", **knobs)

    class Stop(Callback):
        def before_batch(self):
            if self.epoch == 2 and self.training:
                raise RuntimeError("power cut")

    whole = train(tiny_birds, recipe, run=tmp_path / "whole").model.state_dict()
    with pytest.raises(RuntimeError, match="power cut"):
        train(tiny_birds, recipe, [Stop()], run=tmp_path / "broken")
    resumed = train(tiny_birds, recipe, run=tmp_path / "broken", resume=True).model.state_dict()
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    a, b = (pd.read_csv(tmp_path / name / "history.csv").drop(columns="time") for name in ("whole", "broken"))
    pd.testing.assert_frame_equal(a, b)
    assert sorted(p.name for p in (tmp_path / "whole").glob("*.pth")) == ["best.pth", "last_0002.pth", "more_0002.pth"]
    ended = train(tiny_birds, recipe, run=tmp_path / "whole", resume=True)  # trains nothing, and has the average too
    assert all(torch.equal(whole[name], tensor) for name, tensor in ended.model.state_dict().items())


@pytest.mark.parametrize(("before", "after"), [(2, 5), (4, 6)])
def test_a_finished_run_that_goes_on_averages_its_new_last_epochs(tiny_birds, tiny_recipe, tmp_path, before, after):
    recipe = tiny_recipe.with_(epochs=before, schedule="constant", swa=0.5)
    train(tiny_birds, recipe, run=tmp_path)
    trace = Trace()
    learn = bird_learner(bird_dls(tiny_birds, recipe, device="cpu"))
    learn.fit_recipe(after, run=tmp_path, resume=True, cbs=[trace])
    if before == 2:
        close(trace.validated[0], trace.epochs[0])  # epoch 2 of 5, before the average begins
    names, final, (a, b) = dict(learn.model.named_parameters()), learn.model.state_dict(), trace.epochs[-2:]
    close(final, {name: (a[name] + b[name]) / 2 if name in names else b[name] for name in final})


@pytest.mark.parametrize("cut", [2, 3])
def test_one_that_goes_on_may_be_interrupted_before_it_averages(tiny_birds, tiny_recipe, tmp_path, cut):
    recipe = tiny_recipe.with_(schedule="constant", swa=0.5)
    train(tiny_birds, recipe, run=tmp_path)

    class Stop(Callback):
        def before_batch(self):
            if self.epoch == cut and self.training:
                raise RuntimeError("power cut")

    def go_on(*cbs):
        bird_learner(bird_dls(tiny_birds, recipe, device="cpu")).fit_recipe(5, run=tmp_path, resume=True, cbs=cbs)

    with pytest.raises(RuntimeError, match="power cut"):
        go_on(Stop())
    go_on()
    assert pd.read_csv(tmp_path / "history.csv")["epoch"].tolist() == [0, 1, 2, 3, 4]


def test_the_best_file_holds_the_average(tiny_birds, tiny_recipe, tmp_path):
    learn = train(tiny_birds, tiny_recipe.with_(ema=0.7, epochs=1), run=tmp_path / "run")
    averaged = {name: t.clone() for name, t in learn.model.state_dict().items()}
    load_model(tmp_path / "run/best.pth", learn.model, None, with_opt=False)
    assert all(torch.equal(averaged[name], t) for name, t in learn.model.state_dict().items())
    load_model(tmp_path / "run/last_0000.pth", learn.model, None, with_opt=False)
    assert not torch.equal(averaged["head.2.weight"], learn.model.state_dict()["head.2.weight"])


@pytest.mark.parametrize("where", ["before_batch", "before_validate"])
def test_a_fit_after_one_that_broke_off_begins_its_average_anew(tiny_birds, tiny_recipe, where):
    class Stop(Callback):
        order = 100

    def stop(self):
        if self.iter == 2 or where == "before_validate":
            raise KeyboardInterrupt

    setattr(Stop, where, stop)
    recipe = tiny_recipe.with_(ema=0.9, epochs=1)
    learn = bird_learner(bird_dls(tiny_birds, recipe, device="cpu"))
    start = {name: t.clone() for name, t in learn.model.state_dict().items()}
    with pytest.raises(KeyboardInterrupt):
        learn.fit_recipe(cbs=Stop())  # a single callback, as fastai takes it
    assert learn.average_weights.kept is not None
    learn.model.load_state_dict(start)
    learn.opt = None
    learn.fit_recipe()
    fresh = train(tiny_birds, recipe).model.state_dict()
    assert all(torch.equal(fresh[name], t) for name, t in learn.model.state_dict().items())


def test_lr_find_leaves_weights_and_average_alone(tiny_birds, tiny_recipe):
    learn = bird_learner(bird_dls(tiny_birds, tiny_recipe.with_(ema=0.7), device="cpu"))
    before = learn.model.state_dict()["head.2.weight"].clone()
    learn.lr_find(num_it=10, show_plot=False)
    assert learn.average_weights.kept is None
    assert torch.equal(learn.model.state_dict()["head.2.weight"], before)


@pytest.mark.parametrize("knobs", [{}, {"ema": 0.7}])
@pytest.mark.parametrize("trained", [False, True])
def test_lr_find_that_is_stopped_leaves_all_as_it_was(tiny_birds, tiny_recipe, knobs, trained):
    class Stop(Callback):
        def before_batch(self):
            if hasattr(self.learn, "lr_finder") and self.iter == 1:
                raise KeyboardInterrupt

    def learner():
        torch.manual_seed(0)
        learn = bird_learner(bird_dls(tiny_birds, tiny_recipe.with_(**knobs), device="cpu"))
        if trained:
            learn.fit_recipe()
        return learn

    learn, undisturbed = learner(), learner()
    with pytest.raises(KeyboardInterrupt), learn.added_cbs(Stop()):
        learn.lr_find(1e-2, 10.0, num_it=10, show_plot=False)
    learn.fit_recipe()
    undisturbed.fit_recipe()
    wanted = undisturbed.model.state_dict()
    assert all(torch.equal(wanted[name], t) for name, t in learn.model.state_dict().items())


@pytest.mark.parametrize("ends", ["whole", "cancelled"])
def test_other_callbacks_save_what_was_validated(tiny_birds, tiny_recipe, tmp_path, ends):
    learn = bird_learner(bird_dls(tiny_birds, tiny_recipe.with_(ema=0.7, epochs=4), device="cpu"), path=tmp_path)

    class Cut(Callback):
        def before_batch(self):
            if ends == "cancelled" and self.training and (self.epoch, self.iter) == (3, 1):
                raise CancelFitException

    learn.fit_recipe(run=tmp_path / "run", cbs=[SaveModelCallback(monitor="valid_loss"), Cut()])
    best = min(row[learn.recorder.metric_names.index("valid_loss") - 1] for row in learn.recorder.values)
    assert learn.scores()["valid_loss"] == pytest.approx(best, abs=1e-6)  # with which fastai ends
    learn.load("model")
    assert learn.scores()["valid_loss"] == pytest.approx(best, abs=1e-6)


def test_contradictions_are_refused(tiny_recipe):
    with pytest.raises(BirdfastError, match="two ways to average"):
        tiny_recipe.with_(ema=0.9, swa=0.5)
    with pytest.raises(BirdfastError, match="ema must lie between 0 and 1"):
        tiny_recipe.with_(ema=1.0)
    with pytest.raises(BirdfastError, match="body_lr must lie above 0"):
        tiny_recipe.with_(body_lr=0.0)


@pytest.mark.parametrize(("knobs", "said"), [({"swa": 0.5}, True), ({"swa": 0.5, "schedule": "cosine"}, True),
                                             ({"swa": 0.5, "schedule": "constant"}, False), ({}, False)])  # fmt: skip
def test_an_average_of_weights_at_a_falling_rate_is_remarked_on(tiny_birds, tiny_recipe, capsys, knobs, said):
    bird_dls(tiny_birds, tiny_recipe.with_(**knobs), device="cpu")
    assert ("swa=0.5 averages the last epochs" in capsys.readouterr().err) == said


class Rates(Callback):
    order = 61

    def before_fit(self):
        self.seen = []

    def before_step(self):
        self.seen.append([h["lr"] for h in self.opt.hypers])


@pytest.mark.parametrize("schedule", ["one_cycle", "cosine", "constant"])
def test_the_body_has_its_share_of_the_rate(tiny_birds, tiny_recipe, schedule):
    rates = Rates()
    train(tiny_birds, tiny_recipe.with_(schedule=schedule, lr=1e-3, body_lr=0.1), [rates])
    assert max(head for _, head in rates.seen) == pytest.approx(1e-3, rel=0.25)
    for body, head in rates.seen:
        assert body == pytest.approx(head / 10, rel=1e-3)


def test_the_body_has_its_share_of_a_rate_that_was_found(tiny_birds, tiny_recipe, tmp_path):
    rates = Rates()
    learn = train(tiny_birds, tiny_recipe.with_(lr="auto", body_lr=0.5, epochs=1), [rates], run=tmp_path)
    assert all(body == pytest.approx(head / 2, rel=1e-3) for body, head in rates.seen)
    assert (
        max(head for _, head in rates.seen) <= float(pd.read_json(tmp_path / "state.json", typ="series")["lr"]) * 1.01
    )
    assert learn.recipe.lr == "auto"


def test_the_rate_of_the_backbone_is_used_and_said(tiny_birds, tiny_recipe, monkeypatch, capsys):
    from birdfast.models import defaults

    monkeypatch.setitem(defaults.FAMILIES, "test_efficientnet", defaults.Defaults(3e-3, True, "a test"))
    rates = Rates()
    train(tiny_birds, tiny_recipe.with_(lr="backbone", schedule="constant", epochs=1), [rates])
    assert rates.seen[0] == [3e-3, 3e-3]
    assert "lr=0.003, the default of test_efficientnet: a test" in capsys.readouterr().err
    monkeypatch.delitem(defaults.FAMILIES, "test_efficientnet")
    with pytest.raises(BirdfastError, match="no default learning rate"):
        train(tiny_birds, tiny_recipe.with_(lr="backbone"))
