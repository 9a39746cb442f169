"""Files that tables name as another system, program or person wrote them: separators, drives, case, suffixes, accents."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path
from unicodedata import normalize

from birdfast.audio.listing import is_audio
from birdfast.errors import BirdfastError
from birdfast.files.places import expanded, is_url
from birdfast.notes import note

_DRIVE = re.compile(r"^[A-Za-z]:$")
_SHOWN = 5


def find_files(names: Iterable[str], root: Path, where: str) -> list[str]:
    r"""The absolute path of each file that the table `where` names; relative names begin at `root`.

    A name that is no file is looked for with the separators of the other system (``sub0\r0.wav``), below `root` in place of
    a drive or folder of another machine (``D:\day1\r0.wav``), in another case or Unicode form, and without its suffix where
    one sound file has that stem. A note tells how many were found so. What is not found stays as named.

    Raises
    ------
    BirdfastError
        Several files fit a name.
    """
    finder, base = _Finder(where), root.expanduser().absolute()
    named = [str(name).strip() for name in names]
    found = {name: finder.find(name, base) for name in dict.fromkeys(named)}
    if finder.loose:
        first = next(iter(finder.loose))
        note(
            f"{where}: {len(finder.loose)} files are named otherwise than they are on the disk, and were found; the first: "
            f"{first!r} is {finder.loose[first]}"
        )
    return [found[name] for name in named]


class _Finder:
    """Looks into each folder once."""

    def __init__(self, where: str) -> None:
        self.where = where
        self.loose: dict[str, str] = {}  # names that are not the file's own, and the file's
        self._folders: dict[str, dict[str, bool]] = {}  # what is in a folder, and whether it is one
        self._keys: dict[str, dict[str, list[str]]] = {}

    def find(self, name: str, base: Path) -> str:
        if is_url(name):
            return name
        plain = str(base / expanded(name))
        if self._is_there(plain):
            return plain
        for folder, parts in _readings(plain, str(base)):
            if found := self._walk(name, folder, parts):
                self.loose[name] = found
                return found
        return plain if os.name == "nt" else _slashes(plain)

    def _is_there(self, path: str) -> bool:
        folder, name = os.path.split(path)
        if name in (".", "..") or not name:
            return Path(path).exists()
        return name in self._list(folder)

    def _list(self, folder: str) -> dict[str, bool]:
        if folder not in self._folders:
            try:
                self._folders[folder] = {entry.name: entry.is_dir() for entry in os.scandir(folder or ".")}
            except OSError:
                self._folders[folder] = {}
        return self._folders[folder]

    def _walk(self, name: str, folder: str, parts: list[str]) -> str | None:
        """The file that `parts` mean below a folder; None if there is none."""
        places = [folder]
        for k, part in enumerate(parts):
            last = k == len(parts) - 1
            places = [str(Path(place, match)) for place in places for match in self._matches(place, part, last)]
        if len(places) > 1:
            listed = ", ".join(sorted(places)[:_SHOWN]) + (", ..." if len(places) > _SHOWN else "")
            raise BirdfastError(f"{self.where}: {name!r} may be any of {len(places)} files, name the one: {listed}")
        return places[0] if places else None

    def _matches(self, folder: str, part: str, last: bool) -> list[str]:
        """What a folder holds under a name: that itself, else what differs by its writing, else (of files) by its suffix."""
        there = self._list(folder)
        if part in there or part == "..":
            return [part]
        if alike := self._by_key(folder, whole=True).get(_key(part), []):
            exact = [other for other in alike if normalize("NFC", other) == normalize("NFC", part)]
            return exact or alike
        return self._by_key(folder, whole=False).get(_key(part), []) if last else []

    def _by_key(self, folder: str, *, whole: bool) -> dict[str, list[str]]:
        """Names of a folder by what they have in common with other writings of them; or its sound files by their stems."""
        kept = f"{folder}\0{whole}"
        if kept not in self._keys:
            found: dict[str, list[str]] = {}
            for name, is_folder in self._list(folder).items():
                if whole:
                    found.setdefault(_key(name), []).append(name)
                elif not is_folder and is_audio(name) and not name.startswith("."):
                    found.setdefault(_key(Path(name).stem), []).append(name)
            self._keys[kept] = found
        return self._keys[kept]


def _key(name: str) -> str:
    return normalize("NFC", normalize("NFC", name).casefold())


def _slashes(path: str) -> str:
    r"""With / in place of \, if it has none but those of the folder before it: the way that an error shows it."""
    return path.replace("\\", "/") if "\\" in path else path


def _readings(path: str, base: str) -> list[tuple[str, list[str]]]:
    """Where to begin and what to follow: the path as it is, and below `base` the ends of one from elsewhere, longest first."""
    inside = path == base or path.startswith(base.rstrip(os.sep) + os.sep)
    rest = path[len(base) :] if inside else path
    parts = [part for part in rest.replace("\\", "/").split("/") if part not in ("", ".")]
    drive = max((k for k, part in enumerate(parts) if _DRIVE.match(part)), default=None)
    if drive is not None:
        parts = parts[drive + 1 :]
    elif inside:
        return [(base, parts)]
    ends = [(base, parts[k:]) for k in range(len(parts))]
    return ends if drive is not None else [("/", parts), *ends[1:]]
