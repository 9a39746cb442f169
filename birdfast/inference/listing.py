"""The list of what was written beside a store: by it outdated files are told from good ones, and from the user's own."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import pandas as pd

from birdfast.errors import BirdfastError
from birdfast.inference.writers import placing
from birdfast.notes import note
from birdfast.recordings.places import below, is_url, open_url, remove, version_of

OUTPUTS = "outputs.csv"
_COLUMNS = ["file", "form", "recording", "settings", "version"]

_Listed = dict[str, tuple[str, ...]]  # the other columns of each file


@contextmanager
def listing(
    folder: str, settings: Mapping[str, str], forms: Collection[str], recordings: Collection[str]
) -> Iterator[Callable[[str, str, list[str]], None]]:
    """Gives a function that takes form, recording and files, by their place in `folder`, as they are written.

    At the end listed files of the `forms` asked for are removed that were not written again: those of other `settings`, and
    those of these `recordings`. What was changed by others since, as selections mended in Raven, stays. Files of other
    forms stay, too; a note says if another model scored them. If anything fails before, all stay.

    Raises
    ------
    BirdfastError
        If there is an ``outputs.csv`` of another kind.
    """
    listed, written = _read(folder), _Listed()

    def wrote(form: str, recording: str, files: list[str]) -> None:
        written.update(dict.fromkeys(files, (form, recording, settings[form])))

    try:
        yield wrote
        outdated = [
            file
            for file, (form, recording, by, _) in listed.items()
            if form in forms and file not in written and (by != settings[form] or recording in recordings)
        ]
        ours = [file for file in outdated if listed.pop(file)[-1] == _version(folder, file)]
        for file in ours:
            _remove(folder, file)
        if ours:
            note(f"removed {len(ours):,} files that an earlier run wrote into {folder}, the first {ours[0]}")
        others = [file for file, (form, _, by, _) in listed.items() if form not in forms and by != settings[form]]
        if others:
            note(
                f"{len(others):,} files in {folder} are of other scores or thresholds, the first {others[0]}: they stay"
            )
    finally:
        _write(folder, listed | {file: (*row, _version(folder, file)) for file, row in written.items()})


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
