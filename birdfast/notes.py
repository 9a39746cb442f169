"""The one place through which birdfast talks to the person running it."""

from __future__ import annotations

import os
import sys


def note(message: str) -> None:
    """Show one line: beside the cell in a notebook, on standard error in a shell (so that piped output stays clean).

    Of several processes that train together only the first speaks.
    """
    if os.environ.get("RANK", "0") != "0":
        return
    stream = sys.stdout if "ipykernel" in sys.modules else sys.stderr
    stream.write(f"birdfast: {message}\n")
    stream.flush()
