"""Tables to files, whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd

from birdfast.recordings.places import file_name, is_url, put


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
    with TemporaryDirectory(prefix="birdfast-") as folder:
        yield (temporary := Path(folder, file_name(place)))
        put(temporary, place)


def write_csv(predictions: pd.DataFrame, path: str | Path) -> Path:
    """Write a scores table of :meth:`Predictor.predict`: ``path, start_time, end_time``, then a column a class."""
    with replacing(path) as temporary:
        predictions.to_csv(temporary)
    return Path(path)
