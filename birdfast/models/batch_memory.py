"""Keep glibc from handing batch memory back to the kernel after every step."""

from __future__ import annotations

import ctypes
import os
import sys

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8  # malloc.h
_GIB = 1 << 30


def keep_batch_memory(enable: bool | None = None) -> bool:
    """Raise glibc's `M_MMAP_THRESHOLD` and `M_TRIM_THRESHOLD` (Linux; elsewhere nothing happens); True if it was done.

    Without it a third of CPU training is the kernel clearing pages that the last step had given back. All threads share
    one arena (`M_ARENA_MAX`): those of their own hold 64 MB and give back the rest, whatever the thresholds.
    Switch it off with ``keep_batch_memory(False)`` in place of the call, or ``BIRDFAST_KEEP_MEMORY=0``.
    """
    if enable is None:
        enable = os.environ.get("BIRDFAST_KEEP_MEMORY", "1") != "0"
    if not (enable and sys.platform == "linux"):
        return False
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):  # musl has no mallopt
        return False
    settings = {_M_MMAP_THRESHOLD: _GIB, _M_TRIM_THRESHOLD: 2 * _GIB - 1, _M_ARENA_MAX: 1}
    return all(mallopt(name, value) for name, value in settings.items())
