"""MixUp on log-mel batches, with the labels that two sounds at once deserve."""

import torch
from fastai.callback.core import Callback
from torch.distributions import Beta

from birdfast.errors import BirdfastError
from birdfast.models.losses import soft_targets
from birdfast.spectrogram.functional import mix, union


def sent(numbers, device):
    "On `device`, without waiting for it; drawn on the CPU, they are the same on all devices"
    pinned = numbers.pin_memory() if device.type == "cuda" else numbers
    return pinned.to(device, non_blocking=True)


def draw_lam(alpha, n):
    "Shares `(n,)` of Beta(alpha, alpha), at least one half, so that an item keeps its place"
    lam = Beta(alpha, alpha).sample((n,))
    return torch.maximum(lam, 1 - lam)


def mix_targets(y, other, lam, *, n_classes, labels):
    "Targets of items mixed with those at `other`: their union, or interpolated by `lam`; class indices become one-hot first"
    soft = soft_targets(y, n_classes)
    mixed = union(soft, soft[other]) if labels == "union" else mix(soft, soft[other], lam)
    return mixed.as_subclass(type(y)) if y.ndim == 2 else mixed


class MixUp(Callback):
    """Mix each item with another of the batch (Zhang et al. 2018): labels interpolated for one class a clip, their union for many

    `labels` ("interpolate" or "union") says which; None goes by the targets: class indices, or not.
    """

    order, run_valid = 5, False  # before CastToTensor (9) makes plain tensors of the batch

    def __init__(self, alpha=0.4, labels=None):
        if not alpha > 0:
            raise BirdfastError(f"MixUp's alpha must be above 0, not {alpha}; leave the callback out to switch it off")
        self.alpha, self.labels = alpha, labels

    def before_batch(self):
        lam, other = self.draw(len(self.x), self.x.device)
        x, y = self.x, self.y
        self.learn.xb = (mix(x, x[other], lam.to(x.dtype)),)
        labels = self.labels or ("union" if y.is_floating_point() else "interpolate")
        self.learn.yb = (mix_targets(y, other, lam, n_classes=self.learn.dls.c, labels=labels),)

    def draw(self, n, device):
        "Weights `(n,)` of at least one half and the partner of each item"
        return sent(draw_lam(self.alpha, n), device), sent(torch.randperm(n), device)
