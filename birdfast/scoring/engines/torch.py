"""The engine of bundles and learners: PyTorch, on the CPU or a GPU."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from birdfast.errors import BirdfastError
from birdfast.models.batch_memory import keep_batch_memory
from birdfast.models.losses import probabilities
from birdfast.scoring.bundle import Bundle, as_bundle, clone
from birdfast.scoring.engine import MOST_LANES, ONE_LANE, Floats, Lanes


class TorchEngine:
    """A bundle or a learner in PyTorch. Its model is copied, never changed."""

    name = "PyTorch"

    def __init__(self, model: str | Path | Bundle | Any, *, device: str | torch.device | None = None) -> None:
        bundle = as_bundle(model)
        self.classes, self.recipe, self.extra = list(bundle.classes), bundle.recipe, bundle.extra
        self._device = _device(device)
        self.device = str(self._device)
        self._net: nn.Module = clone(bundle).to(self._device)
        if self._device.type == "cpu":  # the first two together double the speed
            self._net.to(memory_format=torch.channels_last)
            keep_batch_memory()
        if self._device.type == "cpu" and not self.recipe.embeds:
            noise = torch.randn(1, 1, self.recipe.n_samples, generator=torch.Generator().manual_seed(0))
            self._net = fold_batch_norm(self._net, noise)

    @contextmanager
    def lanes(self) -> Iterator[Lanes]:
        """Several on a CPU, which share PyTorch's threads; those are the caller's again afterwards."""
        if self._device.type != "cpu" or self.recipe.embeds:  # an embedder shares its windows out itself
            yield ONE_LANE
            return
        threads = torch.get_num_threads()
        n = min(threads, MOST_LANES)
        try:
            yield Lanes(n, partial(torch.set_num_threads, threads // n))
        finally:
            torch.set_num_threads(threads)

    def run(self, batch: Floats) -> Floats:
        """Waveforms ``(n, time)`` at the recipe's rate to probabilities ``(n, n_classes)``."""
        waveform = torch.from_numpy(batch)[:, None].to(self._device)
        with torch.inference_mode(), _full_precision(self._device):
            logits, recipe = self._net(waveform), self.recipe
            return probabilities(logits, activation=recipe.activation, no_call=recipe.no_call).cpu().numpy()


def fold_batch_norm(net: nn.Module, example: Tensor) -> nn.Module:
    """`net` in eval mode with each batch norm that follows a convolution folded into its weights; a sixth less work on a CPU.

    Modules are taken to run in the order in which they stand. Where a backbone does otherwise, the result for
    `example` differs, and `net` is given back as it is.
    """
    folded = copy.deepcopy(net)
    for module in folded.modules():
        children = list(module.named_children())
        for (name, conv), (next_name, norm) in pairwise(children):
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                setattr(module, name, fuse_conv_bn_eval(conv, norm))
                rest = [
                    getattr(norm, part) for part in ("drop", "act") if hasattr(norm, part)
                ]  # of timm's BatchNormAct2d
                setattr(module, next_name, nn.Sequential(*rest))
    with torch.inference_mode():
        same = torch.allclose(folded(example), net(example), rtol=1e-4, atol=1e-4)
    return folded if same else net


def _device(device: str | torch.device | None) -> torch.device:
    if device is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        found = torch.device(device)
    except RuntimeError as error:
        raise BirdfastError(f"no device {device!r}: give 'cpu' or 'cuda'") from error
    if found.type == "cuda" and not torch.cuda.is_available():
        raise BirdfastError("device 'cuda' was asked for and PyTorch finds no GPU: give device='cpu', or leave it out")
    return found


@contextmanager
def _full_precision(device: torch.device) -> Iterator[None]:
    """No TF32 on a GPU: its 10 bits move probabilities by 1e-3, and scores must agree with the CPU's."""
    if device.type != "cuda":
        yield
        return
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            yield
    finally:
        torch.set_float32_matmul_precision(before)
