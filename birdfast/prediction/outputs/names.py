"""Names for the files of each recording, by which they are told apart."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from birdfast.files.places import file_name, is_url
from birdfast.prediction.listing import digits


def short_names(paths: Iterable[str]) -> dict[str, str]:
    """A name for each recording's files: its own, with a few digits where several are called alike."""
    stems = {path: Path(file_name(path)).stem for path in paths}
    often = Counter(stem.lower() for stem in stems.values())
    return {path: stem if often[stem.lower()] == 1 else f"{stem}-{digits(path)}" for path, stem in stems.items()}


def below_common(paths: Iterable[str]) -> dict[str, str]:
    """The place of each recording in the deepest folder that holds them all, with slashes."""
    plain = {path: path if is_url(path) else Path(os.path.normpath(Path(path).absolute())).as_posix() for path in paths}
    parts = {path: name.split("/") for path, name in plain.items()}
    folders = [names[:-1] for names in parts.values()]
    shared = next((i for i, level in enumerate(zip(*folders)) if len(set(level)) > 1), min(map(len, folders)))
    return {path: "/".join(names[shared:]) for path, names in parts.items()}


def label_names(places: dict[str, str]) -> dict[str, str]:
    """Names of label files by which alone they are told: a recording's, with its suffix where two differ in that only."""
    stems = {path: str(PurePosixPath(place).with_suffix("")) for path, place in places.items()}
    often = Counter(stems.values())
    return {path: stem if often[stem] == 1 else places[path] for path, stem in stems.items()}
