"""The engine of bundles and learners: PyTorch, on the CPU or a GPU."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from birdfast.errors import BirdfastError
from birdfast.inference.bundle import Bundle, as_bundle, clone
from birdfast.inference.engines import Floats
from birdfast.memory import keep_batch_memory
from birdfast.models.losses import probabilities


class TorchEngine:
    """A bundle or a learner in PyTorch. Its model is copied, never changed."""

    name = "PyTorch"

    def __init__(self, model: str | Path | Bundle | Any, *, device: str | torch.device | None = None) -> None:
        bundle = as_bundle(model)
        self.classes, self.recipe, self.extra = list(bundle.classes), bundle.recipe, bundle.extra
        self._device = _device(device)
        self.device = str(self._device)
        self._net = clone(bundle).to(self._device)
        if self._device.type == "cpu":  # both together double the speed
            self._net.to(memory_format=torch.channels_last)
            keep_batch_memory()

    def run(self, batch: Floats) -> Floats:
        """Waveforms ``(n, time)`` at the recipe's rate to probabilities ``(n, n_classes)``."""
        waveform = torch.from_numpy(batch)[:, None].to(self._device)
        with torch.inference_mode(), _full_precision(self._device):
            return probabilities(self._net(waveform), activation=self.recipe.activation).cpu().numpy()


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
