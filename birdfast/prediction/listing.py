"""The list of what was written beside a store: by it outdated files are told from good ones, and from the user's own."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from birdfast.audio.per_recording import digest_text
from birdfast.errors import BirdfastError
from birdfast.files.places import below, is_url, open_url, remove, version_of
from birdfast.files.writing import placing
from birdfast.notes import note

OUTPUTS = "outputs.csv"
_COLUMNS = ["file", "form", "recording", "settings", "version"]
_DIGEST = "sha256 "  # begins the version of what people mend: a copy without its times is no other file

_Listed = dict[str, tuple[str, ...]]  # the other columns of each file


@dataclass
class Listing:
    """The files in `folder` that are listed and those that are written now, by their place in it."""

    folder: str
    settings: Mapping[str, str]  # of each form
    listed: _Listed
    written: _Listed = field(default_factory=dict)
    kept: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._places = {(form, recording): file for file, (form, recording, *_) in self.listed.items()}

    def add(self, form: str, recording: str, files: list[str]) -> None:
        """List files that were written."""
        for file in files:
            self.written[file] = (form, recording, self.settings[form], _version(self.folder, file))

    def put(self, form: str, recording: str, pattern: str, name: str, text: str) -> None:
        """Write and list the one file of a recording: where it is listed, else by `name` in `pattern`, if that is free.

        One that others made or changed, as a selection table mended in Raven, stays.
        """
        new = pattern.format(name if self._is_free(pattern.format(name)) else f"{name}-{digits(recording)}")
        file = self._places.get((form, recording), new)
        version, now = _digest(text.encode()), _digest_of(self.folder, file)
        if now not in ("", version, self.listed.get(file, ("",))[-1]):
            self.kept.append(file)
            return
        with placing(below(self.folder, file)) as temporary:
            temporary.write_text(text, encoding="utf-8", newline="")
        self.written[file] = (form, recording, self.settings[form], version)

    def _is_free(self, file: str) -> bool:
        return file not in self.listed and file not in self.written

    def version_now(self, file: str) -> str:
        """The version of a listed file as it is now, "" if it is gone."""
        return (_digest_of if self.listed[file][-1].startswith(_DIGEST) else _version)(self.folder, file)

    def beside(self, recordings: Collection[str]) -> set[str]:
        """Recordings other than these that have files here."""
        return {recording for _, recording, *_ in self.listed.values()} - {*recordings, ""}


@contextmanager
def listing(
    folder: str, settings: Mapping[str, str], forms: Collection[str], recordings: Collection[str]
) -> Iterator[Listing]:
    """Gives the list of a folder, to which is added what is written.

    At the end listed files of the `forms` asked for are removed that were not written again: those of other `settings`, and
    those of these `recordings`. What was changed by others since stays. Files of other forms stay, too; a note says if
    another model scored them. If anything fails before, all stay.

    Raises
    ------
    BirdfastError
        If there is an ``outputs.csv`` of another kind.
    """
    files = Listing(folder, settings, _read(folder))
    listed = files.listed
    try:
        yield files
        outdated = {
            file: files.version_now(file)
            for file, (form, recording, by, _) in listed.items()
            if form in forms and file not in files.written and (by != settings[form] or recording in recordings)
        }
        ours = [file for file, version in outdated.items() if version == listed[file][-1]]
        for file in ours:
            _remove(folder, file)
        for file in [*ours, *(file for file, version in outdated.items() if not version)]:
            del listed[file]
        if ours:
            note(f"removed {len(ours):,} files that an earlier run wrote into {folder}, the first {ours[0]}")
        if files.kept:
            note(
                f"{len(files.kept):,} files in {folder} were changed since they were written, or are not birdfast's, the first "
                f"{files.kept[0]}: they stay; move them away to have them written anew"
            )
        others = [file for file, (form, _, by, _) in listed.items() if form not in forms and by != settings[form]]
        if others:
            note(
                f"{len(others):,} files in {folder} are of other scores or thresholds, the first {others[0]}: they stay"
            )
    finally:
        _write(folder, listed | files.written)


def digits(path: str) -> str:
    """A few by which files of recordings of one name are told apart."""
    return digest_text(path, 8)


def _version(folder: str, name: str) -> str:
    try:
        return version_of(below(folder, name))
    except OSError:
        return ""


def _read(folder: str) -> _Listed:
    place = below(folder, OUTPUTS)
    try:
        with open_url(place) if is_url(place) else Path(place).open("rb") as file:
            table = pd.read_csv(file, dtype=str, keep_default_na=False)
            rows = list(zip(*(table[column] for column in _COLUMNS)))
    except FileNotFoundError:
        return {}
    except (KeyError, ValueError) as error:  # ParserError, EmptyDataError and UnicodeDecodeError are ValueErrors
        raise BirdfastError(f"{place} is no list of birdfast's: rename it, or choose another folder") from error
    return {name: tuple(row) for name, *row in rows if _inside(name)}


def _digest(content: bytes) -> str:
    return _DIGEST + hashlib.sha256(content).hexdigest()


def _digest_of(folder: str, name: str) -> str:
    place = below(folder, name)
    try:
        with open_url(place) if is_url(place) else Path(place).open("rb") as file:
            return _digest(file.read())
    except FileNotFoundError:
        return ""


def _inside(name: str) -> bool:
    """Not in a list of birdfast's are places elsewhere: they must not be removed."""
    return not Path(name).is_absolute() and ".." not in Path(name).parts


def _remove(folder: str, name: str) -> None:
    """A file, and folders that it leaves empty."""
    remove(below(folder, name))
    if not is_url(folder):
        for parent in list(Path(name).parents)[:-1]:
            with suppress(OSError):
                Path(folder, parent).rmdir()


def _write(folder: str, listed: _Listed) -> None:
    rows = [(name, *listed[name]) for name in sorted(listed)]
    with placing(below(folder, OUTPUTS)) as temporary:
        pd.DataFrame(rows, columns=_COLUMNS).to_csv(temporary, index=False)
