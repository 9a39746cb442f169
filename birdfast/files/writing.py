"""Files that are whole or absent, whenever the machine stops."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd

from birdfast.errors import BirdfastError
from birdfast.files.places import file_name, is_url, put
from birdfast.files.scratch import scratch


def check_place(place: str | Path) -> None:
    """Refuse, before hours are spent on what is to be written there, a place where no file can be put.

    Raises
    ------
    BirdfastError
        If it is a folder, or lies in what is no folder or cannot be written to.
    """
    if is_url(place):
        return
    path = Path(place)
    if path.is_dir():
        raise BirdfastError(f"{path} is a folder: give the name of a file")
    above = next(parent for parent in path.absolute().parents if parent.exists())
    if not above.is_dir():
        raise BirdfastError(f"{path} cannot be written, {above} is a file: give another name")
    if not os.access(above, os.W_OK):
        raise BirdfastError(f"{path} cannot be written, {above} is read-only: give another name")


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """A temporary path beside `path` that takes its place at the end, or vanishes if anything fails.

    So that `path` is whole or absent, whenever the machine stops.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())  # else a power cut may leave the new name with nothing in it
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def placing(place: str) -> Iterator[Path]:
    """As :func:`replacing`, also for a URL: what is written appears there at the end, whole."""
    if not is_url(place):
        with replacing(place) as temporary:
            yield temporary
        return
    with TemporaryDirectory(dir=scratch()) as folder:
        yield (temporary := Path(folder, file_name(place)))
        put(temporary, place)


@contextmanager
def appending(place: str, *, index: bool) -> Iterator[Callable[[pd.DataFrame], None]]:
    """Gives a function that adds a table to the csv at `place`, which appears at the end, whole."""
    with placing(place) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        yield lambda table: table.to_csv(file, header=file.tell() == 0, index=index)
