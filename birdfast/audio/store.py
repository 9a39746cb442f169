"""Arrays of many recordings in few large files: appended, indexed, mapped into memory. What a kill leaves can be used."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from birdfast.errors import BirdfastError
from birdfast.notes import note

VERSION = 1  # of the format: raise it and older caches are left aside
SHARD_BYTES = 1 << 30  # at which a new file is begun
COMMIT_EVERY = 32  # arrays between two syncs to the disk: at most so many are made twice after a power cut


class Stamp(NamedTuple):
    """What tells that a source file is still the one that was read: its size (bytes) and time of change (ns)."""

    size: int
    mtime: int


def stamp(path: str | Path) -> Stamp | None:
    """The stamp of a file; None if it is not there."""
    try:
        status = Path(path).stat()
    except OSError:
        return None
    return Stamp(status.st_size, status.st_mtime_ns)


class Entry(NamedTuple):
    """Where the array of a recording lies: file, first row, rows; `scale` gives back its full range."""

    shard: int
    first: int
    length: int
    scale: float
    source: Stamp


class Store:
    """A folder of one kind of array: ``settings.json``, ``index.jsonl`` and ``<n>.bin``.

    The folder's name holds a hash of the settings, so that arrays made in another way are never found. Safe to fork and
    to pickle; the files are mapped where they are first read.

    Parameters
    ----------
    root
        The folder of all caches.
    settings
        How the arrays are made: `kind`, `dtype`, `width` (values a row, 1 for a waveform) and what else matters.
    """

    def __init__(self, root: str | Path, settings: Mapping[str, Any]) -> None:
        self.settings = {"version": VERSION, **settings}
        self.dtype, self.width = np.dtype(self.settings["dtype"]), int(self.settings["width"])
        digest = blake2b(json.dumps(self.settings, sort_keys=True).encode(), digest_size=4).hexdigest()
        self.folder = Path(root).absolute() / f"{self.settings['kind']}-{digest}"
        self.row_bytes = self.dtype.itemsize * self.width
        self._maps: dict[int, np.ndarray] = {}
        self.index = self._read_index()

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_maps": {}}

    def get(self, path: str | Path) -> Entry | None:
        """The entry of a recording, whether or not its file has changed since; None where there is none."""
        return self.index.get(str(path))

    def sort(self, paths: Iterable[str]) -> tuple[list[str], list[str]]:
        """Of `paths`, those whose files changed since they were stored, and those that were never stored."""
        changed, missing = [], []
        for path in dict.fromkeys(paths):
            entry = self.index.get(path)
            if entry is None:
                missing.append(path)
            elif entry.source != stamp(path):
                changed.append(path)
        return changed, missing

    def forget(self, paths: Iterable[str]) -> None:
        """Take recordings out of the index in memory, so that they are read from their files."""
        for path in paths:
            self.index.pop(path, None)

    def rows(self, entry: Entry, start: int, stop: int) -> np.ndarray:
        """Rows `start` to `stop` of an array, straight from the map: ``(rows,)``, or ``(rows, width)`` if wider than 1."""
        first = entry.first + max(0, start)
        return self._map(entry.shard)[first : entry.first + min(stop, entry.length)]

    def _map(self, shard: int) -> np.ndarray:
        if shard not in self._maps:
            flat = np.memmap(self._file(shard), self.dtype, mode="r")
            rows = len(flat) // self.width
            self._maps[shard] = flat if self.width == 1 else flat[: rows * self.width].reshape(rows, self.width)
        return self._maps[shard]

    def _file(self, shard: int) -> Path:
        return self.folder / f"{shard:05d}.bin"

    def _read_index(self) -> dict[str, Entry]:
        """The index as it lies on the disk, without what a kill or a lost file made useless."""
        file = self.folder / "index.jsonl"
        if not file.is_file():
            return {}
        found = {}
        for line in file.read_text(encoding="utf-8").splitlines(keepends=True):
            if line.endswith("\n"):  # a torn last line has none
                path, shard, first, length, scale, size, mtime = json.loads(line)
                found[path] = Entry(shard, first, length, scale, Stamp(size, mtime))
        held = {shard: self._size(shard) // self.row_bytes for shard in {entry.shard for entry in found.values()}}
        whole = {path: entry for path, entry in found.items() if entry.first + entry.length <= held[entry.shard]}
        if len(whole) < len(found):
            note(f"{len(found) - len(whole)} recordings of {self.folder} are gone from its files: they are made anew")
        return whole

    def _size(self, shard: int) -> int:
        found = stamp(self._file(shard))
        return found.size if found else 0

    @contextmanager
    def writer(self) -> Iterator[Callable[[str, np.ndarray, float, Stamp], None]]:
        """A function ``add(path, rows, scale, stamp)`` that appends; one process at a time, others wait their turn."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with _locked(self.folder / "lock"):
            self.index = self._read_index()  # what another process has added meanwhile
            (self.folder / "settings.json").write_text(json.dumps(self.settings, indent=2) + "\n")
            appender = _Appender(self)
            try:
                yield appender.add
            finally:
                appender.close()
                self._maps = {}


class MemoryStore(Store):
    """A store in memory, for arrays that nobody wants to keep."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        super().__init__("", settings)
        self.arrays: list[np.ndarray] = []

    def _read_index(self) -> dict[str, Entry]:
        return {}

    def rows(self, entry: Entry, start: int, stop: int) -> np.ndarray:
        return self.arrays[entry.shard][max(0, start) : min(stop, entry.length)]

    @contextmanager
    def writer(self) -> Iterator[Callable[[str, np.ndarray, float, Stamp], None]]:
        def add(path: str, rows: np.ndarray, scale: float, source: Stamp) -> None:
            self.index[path] = Entry(len(self.arrays), 0, len(rows), scale, source)
            self.arrays.append(rows)

        yield add


class _Appender:
    """Writes arrays to the end of the last file, and their index lines once the arrays are safe on the disk."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.added: dict[str, Entry] = {}
        self.index = (store.folder / "index.jsonl").open("a+b")
        _drop_torn_line(self.index)
        self.shard = max((entry.shard for entry in store.index.values()), default=0)
        self._open()

    def _open(self) -> None:
        """Go on in the file, behind all that the index knows: what was being written at a kill is written over."""
        self.file = self.store._file(self.shard).open("r+b" if self.store._file(self.shard).exists() else "w+b")
        entries = (entry for entry in self.store.index.values() if entry.shard == self.shard)
        self.row = max((entry.first + entry.length for entry in entries), default=0)
        self.file.truncate(self.row * self.store.row_bytes)
        self.file.seek(self.row * self.store.row_bytes)

    def add(self, path: str, rows: np.ndarray, scale: float, source: Stamp) -> None:
        if rows.dtype != self.store.dtype:
            raise BirdfastError(f"{path}: the store holds {self.store.dtype}, not {rows.dtype}")
        if self.row and self.row * self.store.row_bytes + rows.nbytes > SHARD_BYTES:
            self.commit()
            self.file.close()
            self.shard += 1
            self._open()
        self.file.write(np.ascontiguousarray(rows).data)
        self.added[path] = Entry(self.shard, self.row, len(rows), scale, source)
        self.row += len(rows)
        if len(self.added) >= COMMIT_EVERY:
            self.commit()

    def commit(self) -> None:
        _sync(self.file)
        for path, entry in self.added.items():
            line = [path, entry.shard, entry.first, entry.length, entry.scale, *entry.source]
            self.index.write((json.dumps(line) + "\n").encode())
        _sync(self.index)
        self.store.index |= self.added
        self.added = {}

    def close(self) -> None:
        self.commit()
        self.file.close()
        self.index.close()


def _sync(file: Any) -> None:
    file.flush()
    os.fsync(file.fileno())


def _drop_torn_line(index: Any) -> None:
    """Cut off a last line that a kill tore, so that the next one stands alone."""
    index.seek(0)
    text = index.read()
    index.truncate(text.rfind(b"\n") + 1)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold the file's lock; the kernel gives it back when the process ends, however it ends."""
    try:
        import fcntl
    except ImportError:  # Windows: one process at a time is up to the user
        yield
        return
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            note(f"another process writes {path.parent}: waiting for it")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
