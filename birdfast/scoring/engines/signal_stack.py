"""The stack that signals are handled on, kept as it is while OpenVINO is loaded."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager


class _Stack(ctypes.Structure):
    """`stack_t` of Linux."""

    _fields_ = [("address", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t)]


@contextmanager
def signal_stack_kept() -> Iterator[None]:
    """Give the calling thread the stack for signals back that it had before.

    On processors with AMX, OpenVINO 2026.4 lays one of its own there, which is gone with the model: the next signal that
    Python handles (a worker of a DataLoader that ends, Ctrl-C) then kills the process. Elsewhere nothing happens.
    """
    if sys.platform != "linux":
        yield
        return
    sigaltstack, before = ctypes.CDLL(None).sigaltstack, _Stack()
    sigaltstack(None, ctypes.byref(before))
    try:
        yield
    finally:
        sigaltstack(ctypes.byref(before), None)
