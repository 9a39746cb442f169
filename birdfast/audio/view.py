"""Ranges of a file, and bytes of our own before or between them, read as one file."""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from mmap import mmap
from pathlib import Path
from typing import BinaryIO, overload

from birdfast.files.places import is_url, open_url

Segment = bytes | tuple[int, int]  # what is read, or from where to where in the file


class Ranged:
    """The bytes of an object behind a URL, of which those are fetched that are looked at."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._length = file.seek(0, os.SEEK_END)

    def __len__(self) -> int:
        return self._length

    @overload
    def __getitem__(self, key: int) -> int: ...
    @overload
    def __getitem__(self, key: slice) -> bytes: ...
    def __getitem__(self, key: int | slice) -> int | bytes:
        if isinstance(key, int):
            return self[key : key + 1][0]
        start, stop, _ = key.indices(self._length)
        self._file.seek(start)
        return self._file.read(max(0, stop - start))

    def find(self, sought: bytes, start: int = 0, stop: int | None = None) -> int:
        at = self[start:stop].find(sought)
        return at if at < 0 else at + start

    def rfind(self, sought: bytes, start: int = 0, stop: int | None = None) -> int:
        at = self[start:stop].rfind(sought)
        return at if at < 0 else at + start


Data = bytes | mmap | Ranged  # all that a file holds


@dataclass(frozen=True)
class Mend:
    """How to read a file whose own header does not tell its length.

    Attributes
    ----------
    parts
        What is read in the file's place, each a sound file of its own; they follow one another.
    share
        Of the sound that is there, how much the header tells of; above 1: of more. None: of the first part alone.
    """

    parts: tuple[tuple[Segment, ...], ...]
    share: float | None = None


class View:
    """A file for reading, made of `segments` of the one at `path` (a path or a URL)."""

    def __init__(self, path: str, segments: Sequence[Segment]) -> None:
        self._file: BinaryIO = open_url(path) if is_url(path) else Path(path).open("rb")  # noqa: SIM115
        self._segments = list(segments)
        lengths = [len(part) if isinstance(part, bytes) else part[1] - part[0] for part in self._segments]
        self._begins = [0, *accumulate(lengths)]
        self._at = 0

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._begins[-1]}[whence]
        self._at = max(0, base + offset)
        return self._at

    def tell(self) -> int:
        return self._at

    def read(self, n: int = -1) -> bytes:
        """The next `n` bytes, fewer at the end; all that is left where `n` is negative."""
        n = self._begins[-1] - self._at if n < 0 else n
        found = []
        while n > 0 and self._at < self._begins[-1]:
            piece = self._piece(n)
            if not piece:
                break
            found.append(piece)
            self._at += len(piece)
            n -= len(piece)
        return b"".join(found)

    def _piece(self, n: int) -> bytes:
        """Up to `n` bytes of the segment that holds the next one."""
        k = bisect_right(self._begins, self._at) - 1
        inside = self._at - self._begins[k]
        segment = self._segments[k]
        if isinstance(segment, bytes):
            return segment[inside : inside + n]
        start = segment[0] + inside
        if self._file.tell() != start:
            self._file.seek(start)
        return self._file.read(min(n, segment[1] - start))

    def write(self, data: bytes) -> int:
        raise OSError("a view is for reading")

    def close(self) -> None:
        self._file.close()
