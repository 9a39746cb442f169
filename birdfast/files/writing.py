"""Tables to files, whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
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


def write_csv(predictions: pd.DataFrame, path: str | Path) -> Path:
    """Write a scores table of :meth:`Predictor.predict`: ``path, start_time, end_time``, then a column a class."""
    with replacing(path) as temporary:
        predictions.to_csv(temporary)
    return Path(path)


@contextmanager
def appending(place: str, *, index: bool) -> Iterator[Callable[[pd.DataFrame], None]]:
    """Gives a function that adds a table to the csv at `place`, which appears at the end, whole."""
    with placing(place) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        yield lambda table: table.to_csv(file, header=file.tell() == 0, index=index)


def raven_text(events: pd.DataFrame, *, sound: str, fmin: float, fmax: float) -> str:
    """A Raven selection table of one recording's events, the file `sound`; `fmin`, `fmax` in Hz: what the model hears."""
    table = _selections(events["start_time"], events["end_time"], fmin, fmax)
    return _raven(table.assign(**{"Begin File": sound}), events)


def raven_combined_text(
    events: pd.DataFrame,
    durations: Mapping[str, float],
    *,
    fmin: float,
    fmax: float,
    names: Mapping[str, str] | None = None,
) -> str:
    """One Raven selection table of many recordings, opened as one sequence of files ("File sequence") in this order.

    Parameters
    ----------
    events
        `path, start_time, end_time` (s in their file), `label`, `probability`; those of a recording stand together in time.
    durations
        Of each recording by its path, in s and in order, also of those without events: times go on from file to file.
    fmin, fmax
        What the model hears, in Hz.
    names
        What stands as `Begin Path` in place of a path.
    """
    begins = dict(zip(durations, np.cumsum([0.0, *durations.values()]), strict=False))
    order = {path: k for k, path in enumerate(durations)}
    events = events.sort_values("path", key=lambda paths: paths.map(order), kind="stable")
    begin = events["path"].map(begins).astype(float)
    shown = events["path"].map(lambda path: (names or {}).get(path, path))
    table = _selections(begin + events["start_time"], begin + events["end_time"], fmin, fmax)
    files = {"Begin Path": shown.to_numpy(), "Begin File": events["path"].map(file_name).to_numpy()}
    return _raven(table.assign(**files, **{"File Offset (s)": events["start_time"].to_numpy()}), events)


def _selections(start: pd.Series, end: pd.Series, fmin: float, fmax: float) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "Selection": range(1, len(start) + 1),
            "View": "Spectrogram 1",
            "Channel": 1,
            "Begin Time (s)": start.to_numpy(),
            "End Time (s)": end.to_numpy(),
            "Low Freq (Hz)": fmin,
            "High Freq (Hz)": fmax,
        }
    )


def _raven(table: pd.DataFrame, events: pd.DataFrame) -> str:
    score = events["probability"].to_numpy(dtype=float).round(4)
    table = table.assign(Species=events["label"].to_numpy(), Score=score)
    return table.to_csv(sep="\t", index=False, float_format="%.10g")


def audacity_text(events: pd.DataFrame) -> str:
    """An Audacity label file of one recording's events: start, end, label."""
    rows = zip(events["start_time"], events["end_time"], events["label"])
    return "".join(f"{start:.6f}\t{end:.6f}\t{label}\n" for start, end, label in rows)  # quotes are part of the label
