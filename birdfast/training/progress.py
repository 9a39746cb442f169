"""Progress for a terminal, or for a log file: a bar where someone watches, a line an epoch elsewhere."""

import sys
import time
from contextlib import contextmanager

from fastai.callback.core import Callback, CancelValidException

from birdfast.notes import note


class EpochLines(Callback):
    "A line an epoch: losses and metrics by name"

    order = 64  # after the Recorder (50) has logged the epoch

    def after_epoch(self):
        if getattr(self, "lr_finder", None) is not None:
            return
        names, values = self.recorder.metric_names[1:], self.recorder.log[1:]
        shown = ", ".join(f"{n} {v:.4g}" for n, v in zip(names, values, strict=False) if isinstance(v, float))
        if shown:  # empty in the epochs that a resumed run skips
            note(f"epoch {self.epoch + 1} of {self.n_epoch}: {shown}")


@contextmanager
def quiet_unless_watched(learn):
    "Bars on a terminal or in a notebook; elsewhere none, and the callbacks it gives say a line an epoch"
    if sys.stdout.isatty() or "ipykernel" in sys.modules:
        yield []
        return
    with learn.no_bar(), learn.no_logging():
        yield [EpochLines()]


class NoValidation(Callback):
    "No validation between the epochs, where none is picked by it: what is scored is scored after the last"

    def before_validate(self):
        raise CancelValidException("after the last epoch")


class EpochTimer(Callback):
    "`seconds` of each epoch's training, validation left out"

    def before_fit(self):
        self.seconds = []

    def before_train(self):
        self.started = time.perf_counter()

    def after_train(self):
        self.seconds.append(time.perf_counter() - self.started)
