"""What every reader returns: the recordings table, the class list, and where the rest of the data lies."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from birdfast.errors import BirdfastError
from birdfast.sources.labels import class_list

RECORDING, WINDOW, SILENCE = "recording", "window", "no_call"  # the kinds of rows that train


@dataclass
class Source:
    """A data set, whatever it was read from.

    Attributes
    ----------
    recordings
        One row a recording (or an annotated part of one): `path` (absolute), `primary_label` (text), `secondary_labels`
        (tuple of text), `kind` ("recording"; of windows of soundscapes that train: "window", or "no_call" where nothing calls),
        `author` (NA: unknown), `start_time` and `end_time` (s, NaN: the whole file), `fold` (Int64, NA
        where there is none), and what else the source had (`rating`: NaN where unrated). Where rows name several species,
        or none, also `present`: all that call (tuple; empty: nothing calls, and `primary_label` is ""; NaN: `primary_label`
        and `secondary_labels` are all that is known), and perhaps `unknown`: the classes of which the row says nothing
        (tuple). Their targets are :func:`~birdfast.sources.labels.present_targets`.
    classes
        The class list in its official order, classes without a recording included.
    layout
        "BirdCLEF 2026", "folder per class", "csv", "table", "Raven" or "Audacity".
    taxonomy
        One row a class: `primary_label`, `scientific_name`, `common_name`, `class_name`, where known.
    soundscapes
        One row a labelled window: `path`, `start_time`, `end_time`, `labels` (tuple of text; empty: no call of a
        class), and `no_call`: whether it is marked as without any.
    foreign
        Labels of soundscapes that name no class, and were dropped.
    unlabelled, test, sample_submission
        Where unlabelled soundscapes, test soundscapes and the sample submission lie.
    given
        What a person typed to read it: `source`, `columns`; empty for a table in memory.
    """

    recordings: pd.DataFrame
    classes: list[str]
    layout: str
    root: Path | None = None
    taxonomy: pd.DataFrame | None = None
    soundscapes: pd.DataFrame | None = None
    foreign: tuple[str, ...] = ()
    unlabelled: Path | None = None
    test: Path | None = None
    sample_submission: Path | None = None
    year: int | None = None
    given: dict[str, Any] = field(default_factory=dict)

    @property
    def is_multi(self) -> bool:
        """Whether rows name several species, or none, so that only task="multi" learns all that they say."""
        return "present" in self.recordings


def make_source(
    recordings: pd.DataFrame, layout: str, *, root: Path, classes: Sequence[str] | None = None, **rest: object
) -> Source:
    """A Source whose secondary labels lie in the class list; raises BirdfastError if not one file exists."""
    names = _names(recordings) if classes is None else [str(name) for name in classes]
    _check_files(recordings["path"])
    kept = only(recordings["secondary_labels"], names)
    rows = recordings.assign(secondary_labels=kept, kind=RECORDING)
    if "present" in rows:
        inside = only(rows["present"].map(lambda labels: labels if isinstance(labels, tuple) else ()), names)
        rows = rows.assign(present=inside.where(rows["present"].notna().to_numpy()))
    return Source(rows, names, layout, root=root.expanduser().absolute(), **rest)  # type: ignore[arg-type]


def _names(recordings: pd.DataFrame) -> list[str]:
    """All labels of rows; secondary labels count only where `present` says that they are all."""
    present = [name for several in recordings.get("present", ()) if isinstance(several, tuple) for name in several]
    return class_list([*(label for label in recordings["primary_label"] if label), *present])


def only(several: Iterable[tuple[str, ...]], classes: Iterable[str]) -> pd.Series:
    """Each tuple of labels without those outside the class list."""
    inside = set(classes)
    return pd.Series([tuple(label for label in labels if label in inside) for labels in several], dtype=object)


def _check_files(paths: pd.Series) -> None:
    if len(paths) and not any(Path(path).exists() for path in paths):
        raise BirdfastError(
            f"none of the {len(paths)} files named exists; the first looked for is {paths.iloc[0]}: "
            "name the folder that the file names are relative to, --audio-root FOLDER at the shell or "
            "bird_dls(..., columns=dict(audio_root=FOLDER)) in Python"
        )


def check_cache_place(root: str | Path | None, source: Source) -> None:
    """Refuse a cache among the class folders of `source`, where it would be taken for a class."""
    if root and source.root and source.layout == "folder per class" and Path(root).absolute().parent == source.root:
        raise BirdfastError(f"{root} lies among the class folders of {source.root}: give the cache a folder elsewhere")
