"""MixUp on log-mel batches, with the labels that two sounds at once deserve."""

import torch
from fastai.callback.core import Callback
from torch.distributions import Beta

from birdfast.errors import BirdfastError
from birdfast.spectrogram.functional import mix, union


def _sent(numbers, device):
    "On `device`, without waiting for it; drawn on the CPU, they are the same on all devices"
    pinned = numbers.pin_memory() if device.type == "cuda" else numbers
    return pinned.to(device, non_blocking=True)


class MixUp(Callback):
    "Mix each item with another of the batch (Zhang et al. 2018): labels interpolated for one class a clip, their union for many"

    order, run_valid = 5, False  # before CastToTensor (9) makes plain tensors of the batch

    def __init__(self, alpha=0.4):
        if not alpha > 0:
            raise BirdfastError(f"MixUp's alpha must be above 0, not {alpha}; leave the callback out to switch it off")
        self.alpha = alpha

    def before_batch(self):
        self.drawn = lam, other = self.draw(len(self.x), self.x.device)  # for what else is to be mixed alike
        x, y = self.x, self.y
        self.learn.xb = (mix(x, x[other], lam.to(x.dtype)),)
        self.learn.yb = (self.mix_targets(y, other, lam),)

    def draw(self, n, device):
        "Weights `(n,)` of at least one half, so that an item keeps its place, and the partner of each item"
        lam = Beta(self.alpha, self.alpha).sample((n,))
        return _sent(torch.maximum(lam, 1 - lam), device), _sent(torch.randperm(n), device)

    def mix_targets(self, y, other, lam):
        "Class indices become interpolated probabilities; multi-hot targets their union"
        if y.is_floating_point():
            return union(y, y[other])
        y = y.as_subclass(torch.Tensor)
        one_hot = torch.zeros(len(y), self.n_classes, device=y.device).scatter_(
            1, y[:, None], 1.0
        )  # F.one_hot waits for the GPU
        return mix(one_hot, one_hot[other], lam)

    @property
    def n_classes(self):
        return self.learn.dls.c
