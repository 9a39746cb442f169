"""What decoders write to the terminal is caught and counted: broken MP3 frames are a line of doctor's, not hundreds."""

from __future__ import annotations

import os
import re
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any

# How libmpg123, the one decoder of libsndfile's that writes to the terminal, begins its lines.
_LINE = re.compile(
    rb"(?:\[src/lib[^\]\n]*\] (?:error|warning): |\nWarning: (?=Xing )|(?:Warning|Note|Error): (?=Illegal |Trying |Skipped |"
    rb"Big change|Hit end|Found |Giving up|Unable|Junk))([^\n]*)\n"
)


class Complaints:
    """Catches standard error, the descriptor, while somebody decodes; what is no decoder's goes on to where it was sent.

    One for a process; :data:`complaints`. Python's own output, which other threads may write meanwhile, comes through
    when the slice is decoded.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._decoding: Counter[str] = Counter()
        self._caught: dict[str, Counter[str]] = {}
        self._true: int | None = None  # where standard error goes, while it is caught
        self._file: Any = None
        self._read = 0
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(
                before=self._lock.acquire, after_in_parent=self._lock.release, after_in_child=self._after_fork
            )

    @contextmanager
    def caught(self, path: str) -> Iterator[None]:
        """Catch what is written to standard error, and count lines of decoders for `path`."""
        with self._lock:
            self._begin(path)
        try:
            yield
        finally:
            with self._lock:
                self._end(path)

    def of(self, path: str) -> Counter[str]:
        """What decoders said while this file was decoded, and how often. Others decoded at the same time share it."""
        return self._caught.get(path, Counter())

    def forget(self, path: str) -> None:
        """Count anew."""
        self._caught.pop(path, None)

    def _begin(self, path: str) -> None:
        if self._true is None:
            if self._file is None:  # it has no name, and vanishes with the process, however that ends
                self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115
            self._true = os.dup(2)
            os.dup2(self._file.fileno(), 2)
        self._decoding[path] += 1

    def _end(self, path: str) -> None:
        last = self._decoding.total() == 1
        if last and self._true is not None:
            os.dup2(self._true, 2)
        self._drain()
        self._decoding -= Counter([path])
        if last and self._true is not None:
            os.close(self._true)
            self._true, self._read = None, 0
            self._file.seek(0)
            self._file.truncate(0)

    def _drain(self) -> None:
        """Count the lines of decoders that have come, and pass the rest on."""
        size = os.fstat(self._file.fileno()).st_size
        if size == self._read:
            return
        content = _read(self._file.fileno(), self._read, size)
        self._read = size
        for line in _LINE.findall(content):
            for path in self._decoding:
                self._caught.setdefault(path, Counter())[line.decode(errors="replace").strip()] += 1
        rest = _LINE.sub(b"", content)
        if rest and self._true is not None:
            os.write(self._true, rest)

    def _after_fork(self) -> None:
        """In a child: its own standard error again, whoever was decoding in the parent."""
        if self._true is not None:
            os.dup2(self._true, 2)
            os.close(self._true)
            self._true = None
        self._decoding.clear()
        self._file, self._read = None, 0
        self._lock.release()


def _read(file: int, start: int, stop: int) -> bytes:
    """Bytes of a file that others write to."""
    if hasattr(os, "pread"):
        return os.pread(file, stop - start, start)
    os.lseek(file, start, os.SEEK_SET)
    return os.read(file, stop - start)  # which leaves the file at its end


complaints = Complaints()
