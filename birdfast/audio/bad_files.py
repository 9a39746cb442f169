"""The list of files that could not be used, shared by every worker process of a run."""

from __future__ import annotations

import json
from pathlib import Path
from uuid import uuid4

import pandas as pd

from birdfast.files.scratch import scratch


class BadFiles:
    """An append-only list on disk, one JSON line an entry, so that worker processes may all add to it.

    The first entry makes the file: a list of nothing leaves nothing behind.

    Parameters
    ----------
    path
        The file of the list; when not given, one that vanishes with the process.
    """

    def __init__(self, path: str | Path | None = None) -> None:
        if path is None:
            path = scratch() / f"bad-files-{uuid4().hex}.jsonl"
        self.path = str(path)

    def add(self, path: str | Path, reason: str, *, start_time: float = 0.0) -> None:
        """Note that the clip of `path` at `start_time` (s) could not be used, and why."""
        line = json.dumps({"path": str(path), "reason": reason, "start_time": start_time}) + "\n"
        # One write of one short line in append mode is atomic: lines of several processes do not mix.
        with Path(self.path).open("a") as file:
            file.write(line)

    def forget(self) -> None:
        """Begin the list anew."""
        Path(self.path).unlink(missing_ok=True)

    def table(self) -> pd.DataFrame:
        """One row a file: `path`, `reason` of its first entry; in order of first appearance."""
        return self._entries().drop_duplicates("path")[["path", "reason"]].reset_index(drop=True)

    def clips(self) -> set[tuple[str, float]]:
        """The `(path, start_time)` of every clip that could not be used."""
        entries = self._entries()
        return set(zip(entries["path"], entries["start_time"], strict=True))

    def __len__(self) -> int:
        """How many files are listed."""
        return len(self.table()) if self.n_bytes() else 0

    def n_bytes(self) -> int:
        """Bytes of the list on disk: it has grown if they have."""
        try:
            return Path(self.path).stat().st_size
        except FileNotFoundError:
            return 0

    def _entries(self) -> pd.DataFrame:
        file = Path(self.path)
        lines = file.read_text().splitlines() if file.exists() else []
        return pd.DataFrame([json.loads(line) for line in lines], columns=["path", "reason", "start_time"])
