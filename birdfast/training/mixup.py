"""MixUp on log-mel batches, with the labels that two sounds at once deserve."""

import torch
from fastai.callback.core import Callback
from torch.distributions import Beta

from birdfast.errors import BirdfastError
from birdfast.models.losses import soft_targets
from birdfast.recipe.checks import LEAST_ALPHA
from birdfast.spectrogram.functional import mix, union


def sent(numbers, device):
    "On `device`, without waiting for it; drawn on the CPU, they are the same on all devices"
    pinned = numbers.pin_memory() if device.type == "cuda" else numbers
    return pinned.to(device, non_blocking=True)


def draw_lam(alpha, n):
    "Shares `(n,)` of Beta(alpha, alpha), at least one half, so that an item keeps its place"
    lam = Beta(alpha, alpha).sample((n,))
    return torch.maximum(lam, 1 - lam)


def mix_targets(y, other, lam, *, n_classes, labels, no_call=False):
    """Targets of items mixed with those at `other`: their union, or interpolated by `lam`; class indices become one-hot first

    With `no_call` the last class, of clips without a call, is off in a union with a call.
    """
    soft = soft_targets(y, n_classes)
    mixed = union(soft, soft[other]) if labels == "union" else mix(soft, soft[other], lam)
    if no_call and labels == "union":
        calls = (mixed[:, :-1] > 0).any(1, keepdim=True)
        mixed = torch.cat([mixed[:, :-1], mixed[:, -1:].masked_fill(calls, 0.0)], 1)
    return mixed.as_subclass(type(y)) if y.ndim == 2 else mixed


class MixUp(Callback):
    """Mix each item with another of the batch (Zhang et al. 2018): labels interpolated for one class a clip, their union for many

    `labels` ("interpolate" or "union") says which; None goes by the targets: class indices, or not. `no_call` says that the
    last class is that of clips without a call.
    """

    order, run_valid = 5, False  # before CastToTensor (9) makes plain tensors of the batch

    def __init__(self, alpha=0.4, labels=None, no_call=False):
        if not alpha >= LEAST_ALPHA:
            raise BirdfastError(
                f"MixUp's alpha must be {LEAST_ALPHA} or more, not {alpha}; leave the callback out to switch it off"
            )
        self.alpha, self.labels, self.no_call = alpha, labels, no_call

    def before_batch(self):
        x, y = self.x, self.y
        self.drawn = lam, other = self.draw(len(x), x.device)  # for what else is to be mixed alike
        self.learn.xb = (mix(x, x[other], lam.to(x.dtype)),)
        self.how = self.labels or ("union" if y.is_floating_point() else "interpolate")
        how = {"n_classes": self.learn.dls.c, "labels": self.how, "no_call": self.no_call}
        self.learn.yb = (mix_targets(y, other, lam, **how),)

    def draw(self, n, device):
        "Weights `(n,)` of at least one half and the partner of each item"
        return sent(draw_lam(self.alpha, n), device), sent(torch.randperm(n), device)
