"""Keep glibc from handing batch memory back to the kernel after every step."""

from __future__ import annotations

import ctypes
import os
import sys

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h
_GIB = 1 << 30


def keep_batch_memory(enable: bool | None = None) -> bool:
    """Raise glibc's `M_MMAP_THRESHOLD` and `M_TRIM_THRESHOLD` (Linux; elsewhere nothing happens); True if it was done.

    Without it a third of CPU training is the kernel clearing pages that the last step had given back.
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
    return bool(mallopt(_M_MMAP_THRESHOLD, _GIB)) & bool(mallopt(_M_TRIM_THRESHOLD, 2 * _GIB - 1))
