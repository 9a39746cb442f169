"""Which files are sound, and those in a folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from birdfast.errors import BirdfastError
from birdfast.files.places import is_nobodys

AUDIO_SUFFIXES = frozenset({".wav", ".flac", ".ogg", ".oga", ".mp3", ".opus", ".aif", ".aiff", ".au", ".w64", ".caf"})
NEEDS_FFMPEG = frozenset({".m4a", ".mp4", ".aac", ".wma", ".amr", ".3gp", ".webm"})


def is_audio(path: str | Path) -> bool:
    """Whether a file is named as sound is; also sound that needs ffmpeg, which reading then reports."""
    return Path(path).suffix.lower() in AUDIO_SUFFIXES | NEEDS_FFMPEG


def list_audio_files(folder: Path, *, recurse: bool = True) -> list[Path]:
    """The sound files of a folder, sorted, hidden ones left out; perhaps none."""
    return [file for file in list_files_of(folder, recurse=recurse) if is_audio(file)]


def list_files_of(folder: Path, *, recurse: bool = True) -> list[Path]:
    """The files of a folder, sorted, also those in folders that are linked into it; hidden ones are left out."""
    found = (file for file in _walk(folder, recurse=recurse) if not _is_hidden(file, folder))
    return sorted(file for file in found if file.is_file())


def _walk(folder: Path, *, recurse: bool) -> Iterator[Path]:
    """What a folder holds but folders; each of those once, whatever links lead to it."""
    seen: set[str] = set()
    for place, folders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(place)
        if not recurse or real in seen:
            folders.clear()
        folders.sort()
        if real not in seen:
            yield from (Path(place, name) for name in names)
        seen.add(real)


def _is_hidden(path: Path, root: Path) -> bool:
    """Whether `path` or a folder between it and `root` is nobody's (``.ipynb_checkpoints``, ``._x.wav``, ``__MACOSX``)."""
    return any(is_nobodys(part) for part in path.relative_to(root).parts)


def get_audio_files(path: str | Path, *, recurse: bool = True) -> list[Path]:
    """The sound files of a folder, sorted; also those that need ffmpeg, which reading then reports.

    Raises
    ------
    BirdfastError
        The folder does not exist, or holds no sound files.
    """
    path = Path(path)
    if not path.is_dir():
        raise BirdfastError(f"no folder {path}: check the path")
    files = list_audio_files(path, recurse=recurse)
    if not files:
        looked = ", ".join(sorted(AUDIO_SUFFIXES | NEEDS_FFMPEG))
        raise BirdfastError(f"no sound files in {path}: looked for {looked}")
    return files
