"""A folder of Parquet files, one a recording: the file's name says what it was made from, so that none is stale.

``<recording>-<path>-<version>-<settings>.parquet``, the last three as short digests. A file is put in place whole, hence
its being there means that its recording is done; this needs no journal, works on object storage, and lets many machines
write into one folder.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from birdfast.audio.read import NOT_UTF8
from birdfast.files.places import absolute, below, file_name, is_url, list_files, remove, version_of
from birdfast.files.writing import placing

RECORDINGS, ERRORS = "recordings.csv", "errors.csv"
_ABANDONED = 24 * 3600  # s after which a file half written is nobody's any more
_NAME = re.compile(r"-([0-9a-f]{16})-([0-9a-f]{12})-([0-9a-f]{12})\.parquet$")


@dataclass(frozen=True)
class Recording:
    """A recording to work on: its path or URL, the version of the file, and what the store holds of it that is stale."""

    path: str
    version: str
    stale: tuple[str, ...] = ()


class PerRecording:
    """A folder with a file a recording, made with its first file.

    Parameters
    ----------
    place
        A folder, or a URL that fsspec opens.
    kind
        What the files hold, which is the name of the folder in `place` that they lie in: "scores", "embeddings".
    digest
        Of all that decides a file besides its recording, 12 digits. Files of other digests are stale: those of a
        recording are replaced with its new one.
    """

    def __init__(self, place: str | Path, *, kind: str, digest: str) -> None:
        self.place, self.kind, self.digest = absolute(place), kind, digest
        self._folder = below(self.place, kind)

    def plan(self, paths: Iterable[str]) -> tuple[dict[str, str], list[Recording], dict[str, str]]:
        """Which of the recordings are done, which are to be worked on, and the reason for each that is not there.

        Returns
        -------
        done
            The version of each, by path.
        """
        there = self._by_path()
        done: dict[str, str] = {}
        waiting: list[Recording] = []
        gone: dict[str, str] = {}
        for path in paths:
            try:
                version = version_of(path)
                name, found = self.name_of(path, version), there.get(digest_text(path, 16), [])
            except OSError as error:
                gone[path] = f"cannot be opened ({error.strerror or error}): check the path"
                continue
            except UnicodeEncodeError:
                gone[path] = NOT_UTF8
                continue
            if name in found:
                done[path] = version
            else:
                waiting.append(Recording(path, version, tuple(found)))
        return done, waiting, gone

    def name_of(self, path: str, version: str) -> str:
        """The name of a recording's file."""
        stem = re.sub(r"[^\w.]+", "_", Path(file_name(path)).stem)
        stem = stem.lstrip("._")[:60]  # pandas passes over files whose names begin so
        return f"{stem}-{digest_text(path, 16)}-{digest_text(version, 12)}-{self.digest}.parquet"

    def place_of(self, path: str, version: str) -> str:
        """Where the file of a recording is or will be."""
        return below(self._folder, self.name_of(path, version))

    def clear_abandoned(self) -> None:
        """Clear away what a killed run left half written, a day after it was touched last.

        What is younger may be what another process is writing now.
        """
        if is_url(self.place):
            return
        for file in Path(self._folder).glob(".*.tmp"):
            with suppress(FileNotFoundError):  # put in place meanwhile
                if time.time() - file.stat().st_mtime > _ABANDONED:
                    file.unlink()

    def remove_stale(self, recording: Recording) -> None:
        """Remove the files of a recording that its new one replaces."""
        for name in recording.stale:
            remove(below(self._folder, name))

    def finish(self, done: dict[str, str], errors: dict[str, str], gone: Collection[str]) -> None:
        """Write the lists of what is done and what cannot be read, and remove what is stale.

        Of recordings that are `gone`, files stay: they may be back with the disk that they are on.
        """
        names = {path: self.name_of(path, version) for path, version in done.items()}
        listed = pd.DataFrame({"path": list(done), "version": list(done.values()), self.kind: list(names.values())})
        self.write_text(RECORDINGS, listed.to_csv(index=False))
        broken = pd.DataFrame({"path": list(errors), "reason": list(errors.values())}, dtype=str)
        self.write_text(ERRORS, broken.to_csv(index=False))
        asked = {digest_text(path, 16) for path in [*done, *errors] if path not in gone}
        wanted = set(names.values())
        for key, found in self._by_path().items():
            for name in found:
                foreign = not name.endswith(f"-{self.digest}.parquet")
                if foreign or (key in asked and name not in wanted):
                    remove(below(self._folder, name))

    def _by_path(self) -> dict[str, list[str]]:
        """The names of the files, by the digest of their recording's path."""
        names: dict[str, list[str]] = {}
        for place in list_files(self._folder):
            if (match := _NAME.search(place)) and not file_name(place).startswith("."):
                names.setdefault(match[1], []).append(file_name(place))
        return names

    def write_text(self, name: str, text: str) -> None:
        """Put a text file into the folder, whole."""
        with placing(below(self.place, name)) as temporary:
            temporary.write_text(text, encoding="utf-8")


def digest_text(text: str, length: int) -> str:
    """The first digits of the SHA-256 of a text."""
    return hashlib.sha256(text.encode()).hexdigest()[:length]
