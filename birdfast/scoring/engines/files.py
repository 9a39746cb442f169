"""What the engines of exported files have in common: the file's bytes, its description, the threads to run in."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

from birdfast.errors import BirdfastError
from birdfast.scoring.header import Header, read_header_json


def read_bytes(path: Path) -> bytes:
    """The content of what `birdfast export` wrote."""
    if not path.is_file():
        raise BirdfastError(f"no model at {path}: give the file that birdfast export wrote")
    return path.read_bytes()


def read_description(text: str | None, path: Path) -> Header:
    """The description in the metadata of `path`, `text`, which is None where there is none."""
    if text is None:
        raise BirdfastError(f"{path} is no model of birdfast's, it carries no classes and recipe: use birdfast export")
    return read_header_json(text, path)


def threads_asked() -> int:
    """What ``OMP_NUM_THREADS`` asks for; 0, the runtimes' word for all cores, where it is not set."""
    given = os.environ.get("OMP_NUM_THREADS", "")
    return int(given) if given.isdigit() else 0


def need_to_write(module: str, what: str, packages: str) -> None:
    """Refuse to write `what` without the package it is written by."""
    if importlib.util.find_spec(module) is None:
        raise BirdfastError(f"writing {what} needs the package {module}: pip install {packages}")
