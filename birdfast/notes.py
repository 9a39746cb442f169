"""The one place through which birdfast talks to the person running it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from threading import Timer

LONG = 2.0  # s in which nothing happens that a person waits for without a word


def note(message: str) -> None:
    """Show one line: beside the cell in a notebook, on standard error in a shell (so that piped output stays clean).

    Of several processes that train together only the first speaks.
    """
    if os.environ.get("RANK", "0") != "0":
        return
    stream = sys.stdout if "ipykernel" in sys.modules else sys.stderr
    stream.write(f"birdfast: {message}\n")
    stream.flush()


@contextmanager
def loading() -> Iterator[None]:
    """Around imports of PyTorch and fastai: where they take long, a person at a terminal is told, once."""
    if not sys.stderr.isatty() or "ipykernel" in sys.modules:
        yield
        return
    timer = Timer(LONG, _say_loading)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


@cache
def _say_loading() -> None:
    note("loading ...")
