"""A process's own folder for what nobody shall keep: gone when it ends, and swept by the next one if it was killed."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from pathlib import Path
from tempfile import mkdtemp
from typing import IO

_PREFIX = "birdfast-scratch-"
_LOCK = "in use"  # a file that is locked as long as the process, or a worker that it forked, lives

_mine: tuple[int, Path, IO[bytes]] | None = None  # whose, where, and its lock


def scratch() -> Path:
    """The folder of this process, in the system's folder for temporary files; made, and others' remains swept, at first use.

    Workers that a process starts use its folder by name, they do not call this.
    """
    global _mine
    if _mine is None or _mine[0] != os.getpid() or not _mine[1].is_dir():
        sweep()
        folder = Path(mkdtemp(prefix=_PREFIX))
        lock = (folder / _LOCK).open("wb")
        _take(lock)
        _mine = os.getpid(), folder, lock
        atexit.register(_leave, os.getpid(), folder, lock)
    return _mine[1]


def sweep() -> list[Path]:
    """Remove the folders of processes of ours that are dead, and return them; those of the living are locked."""
    swept = []
    for folder in sorted(Path(tempfile.gettempdir()).glob(f"{_PREFIX}*")):
        if _is_dead(folder):
            shutil.rmtree(folder, ignore_errors=True)  # another process may be at it
            swept.append(folder)
    return swept


def _leave(owner: int, folder: Path, lock: IO[bytes]) -> None:
    if os.getpid() == owner:  # not a worker that was forked
        lock.close()
        shutil.rmtree(folder, ignore_errors=True)


def _is_dead(folder: Path) -> bool:
    """Whether nobody holds the lock; a folder that is being made has none yet, and one of another user is not ours."""
    try:
        with (folder / _LOCK).open("r+b") as lock:
            return _take(lock)
    except OSError:
        return False


def _take(lock: IO[bytes]) -> bool:
    """Lock an open file for as long as it is open; False where another holds it."""
    try:
        if os.name == "nt":
            import msvcrt

            msvcrt.locking(lock.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
        else:
            import fcntl

            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
