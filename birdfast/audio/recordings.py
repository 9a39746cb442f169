"""Which recordings are meant by files, folders and URLs, and how long they are."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from birdfast.audio.listing import get_audio_files, is_audio
from birdfast.audio.read import read_headers
from birdfast.errors import BirdfastError
from birdfast.files.places import file_name, is_nobodys, is_url, list_files
from birdfast.notes import note

Paths = str | Path | Iterable[str | Path]

MANIFEST, SEGMENTS = "manifest.json", "segments"  # in a folder of results: what it is, and the sounds cut out


def find_recordings(paths: Paths) -> list[str]:
    """The recordings meant, each once; a missing file that is named among others is kept, to be listed as an error.

    Raises
    ------
    BirdfastError
        If there is nothing at `paths`, or nothing in them.
    """
    if isinstance(paths, (str, Path)):
        if not is_url(paths) and not Path(paths).exists():
            raise BirdfastError(f"there is no recording and no folder at {paths}")
        paths = [paths]
    found = [file for path in paths for file in _recordings_at(path)]
    if not found:
        raise BirdfastError("no recordings to predict: give a file, a folder or a list of either")
    return list(dict.fromkeys(str(file) for file in found))


def _recordings_at(path: str | Path) -> list[str | Path]:
    """A recording itself, or those in a folder."""
    if is_url(path) and not is_audio(path):
        files = list_files(str(path), recurse=True)
        return [file for file in files if is_audio(file) and not is_nobodys(file_name(file))]
    if is_url(path):
        return [path]
    return _without_cuts(get_audio_files(path), Path(path)) if Path(path).is_dir() else [path]


def _without_cuts(files: list[Path], folder: Path) -> list[str | Path]:
    """The files but those that an earlier prediction, into a folder below, cut out of them."""
    inside = {place for file in files for place in file.parents if place.name == SEGMENTS and folder in place.parents}
    cut = {place for place in inside if (place.parent / MANIFEST).is_file()}
    kept = [file for file in files if cut.isdisjoint(file.parents)]
    if len(kept) < len(files):
        note(f"left out: {len(files) - len(kept):,} sounds that were cut out of recordings, in {min(cut)}")
    return [*kept]


def read_durations(paths: list[str], *, workers: int) -> tuple[dict[str, float], dict[str, str]]:
    """The length in s of each recording, and the reason for each that cannot be read."""
    headers = read_headers(paths, workers=workers)
    bad = headers["error"].notna()
    durations = dict(zip(headers["path"][~bad], headers["duration"][~bad].astype(float), strict=True))
    return durations, dict(zip(headers["path"][bad], headers["error"][bad], strict=True))
