"""Pseudo-labels: soft labels of soundscapes, in a Parquet."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from birdfast.errors import BirdfastError


def check_pseudo_file(pseudo: Any) -> None:
    """BirdfastError where a path of pseudo-labels leads nowhere; a table of them is none."""
    if isinstance(pseudo, (str, Path)) and not Path(pseudo).exists():
        raise BirdfastError(f"no pseudo-labels at {pseudo}: give a Parquet of them, as birdfast pseudo writes")
