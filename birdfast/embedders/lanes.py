"""Windows shared out among runners of one model, one a core: faster than one runner that divides each layer."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue

import numpy as np

from birdfast.embedders.embedder import Floats

Runner = Callable[[Floats], list[Floats]]  # waveforms (n, time) to each output (n, ...)
_PART = 4  # windows that a runner takes at once


def count_threads(threads: int | None) -> int:
    """`threads`, else what ``OMP_NUM_THREADS`` says, else the cores."""
    given = os.environ.get("OMP_NUM_THREADS", "")
    return threads or (int(given) if given.isdigit() and int(given) else os.cpu_count() or 1)


class Lanes:
    """Up to `n` runners, each made when it is first needed and used by one thread at a time; none survives a fork or pickle."""

    def __init__(self, make: Callable[[], Runner], n: int) -> None:
        self.make, self.n, self._pid = make, n, os.getpid()
        self._free: SimpleQueue[Runner] = SimpleQueue()

    def __call__(self, waveforms: Floats) -> list[Floats]:
        """Each output ``(n, ...)`` of waveforms ``(n, time)``, n at least 1."""
        parts = [waveforms[i : i + _PART] for i in range(0, len(waveforms), _PART)]
        if self.n == 1 or len(parts) == 1:
            done = [self._run(part) for part in parts]
        else:
            with ThreadPoolExecutor(min(self.n, len(parts)), thread_name_prefix="birdfast-embed") as pool:
                done = list(pool.map(self._run, parts))
        return [np.concatenate(outputs) for outputs in zip(*done)]

    def _run(self, part: Floats) -> list[Floats]:
        if self._pid != os.getpid():  # forked: the parent's runners may have been at work
            self._free, self._pid = SimpleQueue(), os.getpid()
        runner = self.make() if self._free.empty() else self._free.get()
        try:
            return runner(part)
        finally:
            self._free.put(runner)
