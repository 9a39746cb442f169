"""What the throughput benchmarks share: clips a second of a learner, and of its model alone on ready spectrograms."""

from __future__ import annotations

import time
from typing import Any

import torch
from fastai.callback.core import Callback, CancelFitException, CancelValidException

from birdfast.models.batch_memory import keep_batch_memory


class Stopwatch(Callback):
    """Time the steps after the first `warmup` (workers, allocator and caches are warm), and end the training after `steps`."""

    order = 75

    def __init__(self, warmup: int, steps: int) -> None:
        self.warmup, self.steps, self.done = warmup, steps, 0

    def after_batch(self) -> None:
        if not self.training:
            return
        self.done += 1
        if self.done in (self.warmup, self.warmup + self.steps):
            _wait(self.dls.device)
            self.at = (*getattr(self, "at", ()), time.perf_counter())
        if self.done == self.warmup + self.steps:
            raise CancelFitException("measured")

    def before_validate(self) -> None:
        raise CancelValidException("training is measured")

    @property
    def seconds(self) -> float:
        return self.at[1] - self.at[0]


def _wait(device: Any) -> None:
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize()


def learner_speed(learn: Any, *, warmup: int, steps: int) -> dict[str, float]:
    """Clips a second of a learner, end to end."""
    watch = Stopwatch(warmup, steps)
    with learn.no_bar(), learn.no_logging():
        learn.fit(1000, 1e-3, cbs=[watch])
    return {"clips_s": round(steps * learn.dls.train.bs / watch.seconds, 2), "steps": steps}


def model_speed(learn: Any, *, warmup: int, steps: int) -> dict[str, float]:
    """Clips a second of the learner's model, loss and optimiser in a bare loop on one ready batch: the limit."""
    x, y = learn.dls.train.one_batch()
    x, y = x.as_subclass(torch.Tensor).clone(), y.as_subclass(torch.Tensor).clone()
    model = learn.model.to(x.device, memory_format=torch.channels_last).train()
    keep_batch_memory()
    on_gpu = x.device.type == "cuda"
    optimiser = torch.optim.AdamW(model.parameters(), 1e-3, fused=on_gpu)
    for step in range(warmup + steps):
        if step == warmup:
            _wait(x.device)
            began = time.perf_counter()
        with torch.autocast(x.device.type, torch.bfloat16, enabled=on_gpu):
            loss = learn.loss_func(model(x), y)
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()
    _wait(x.device)
    return {"clips_s": round(steps * len(x) / (time.perf_counter() - began), 2), "steps": steps}
