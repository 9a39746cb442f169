"""Averages of the weights over a training: exponential (EMA), or of the last epochs (SWA)."""

from contextlib import contextmanager

import torch
from fastai.callback.core import Callback
from fastai.torch_core import get_model


class AverageWeights(Callback):
    """Keep an average of the weights; validate, save as the best, and end the training with it.

    From its validation until the next epoch trains, the average is in the model: other callbacks save what was scored.

    `ema`: an exponential moving average with this decay after each step, less at first, min(decay, (1 + n) / (10 + n))
    after n steps, so that a short run forgets its random start (TensorFlow's rule). Norms' statistics are averaged alike.
    `swa`: the plain mean of the weights after each of the last epochs, this share of all (Izmailov et al. 2018); norms'
    statistics are those of the last epoch and not computed anew, which gave NaN in BirdCLEF 2026. It begins anew where a
    finished run goes on to more epochs; an exponential average goes on.
    """

    order, run_valid = 59, True  # before fastai's trackers (60), SaveModelCallback (61) and Checkpoints (65)

    def __init__(self, ema=0.0, swa=0.0):
        self.ema, self.swa, self.kept, self.is_in, self.goes_on = ema, swa, None, False, False

    def before_fit(self):
        self.run = not hasattr(self.learn, "lr_finder")
        if self.run and not self.goes_on:
            self.kept, self.is_in = None, False  # of a fit that broke off: this one begins from the weights there are
        self.goes_on = False

    def before_train(self):
        self._put_back()

    def after_step(self):
        if self.ema:
            kept = self.kept or {"average": _copies(self.learn.model), "n": 0}
            decay = min(self.ema, (1 + kept["n"]) / (10 + kept["n"]))
            _blend(kept["average"], self.learn.model, 1 - decay, buffers=True)
            self.kept = {"average": kept["average"], "n": kept["n"] + 1}

    def after_train(self):
        first = self.n_epoch - max(1, round(self.swa * self.n_epoch))
        if self.swa and self.kept and self.kept["first"] != first:
            self.kept = None  # of a run that was to end sooner
        if self.swa and self.epoch >= first:
            kept = self.kept or {"average": _copies(self.learn.model), "n": 0, "first": first}
            _blend(kept["average"], self.learn.model, 1 / (kept["n"] + 1), buffers=False)
            self.kept = kept | {"n": kept["n"] + 1}
        self._put_in()

    def after_fit(self):
        self._put_in()
        self.kept, self.is_in, self.goes_on = None, False, False

    def _put_in(self):
        if self.kept and not self.is_in:
            _exchange(self.kept["average"], self.learn.model)
            self.is_in = True

    def _put_back(self):
        if self.is_in:
            _exchange(self.kept["average"], self.learn.model)
            self.is_in = False

    @contextmanager
    def taken_out(self):
        "The weights in the place of the average"
        was_in = self.is_in
        self._put_back()
        yield
        if was_in:
            self._put_in()

    def state(self):
        "What a run needs to go on, tensors and numbers"
        return self.kept

    def load_state(self, state):
        "Go on from a `state` in the next fit"
        self.kept, self.is_in, self.goes_on = state, False, True


def _copies(model):
    return {name: t.clone() for name, t in get_model(model).state_dict().items()}


@torch.no_grad()
def _blend(average, model, share, *, buffers):
    "Move the average by `share` towards the model's weights; what is not averaged is copied"
    weights = get_model(model).state_dict()
    moved = {name for name, t in weights.items() if t.is_floating_point()}
    if not buffers:
        moved &= {name for name, _ in get_model(model).named_parameters()}
    torch._foreach_lerp_([average[name] for name in weights if name in moved],
                         [weights[name] for name in weights if name in moved], share)  # fmt: skip
    for name in weights.keys() - moved:
        average[name].copy_(weights[name])


@torch.no_grad()
def _exchange(average, model):
    for name, weight in get_model(model).state_dict().items():
        held = weight.clone()
        weight.copy_(average[name])
        average[name].copy_(held)
