"""Which files are the same?"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path

import pandas as pd

from birdfast.doctor.findings import Finding


def check_duplicates(recordings: pd.DataFrame) -> Iterator[Finding]:
    """Files of the same bytes, and whether they agree on who sings."""
    labels = {str(path): sorted(set(names)) for path, names in recordings.groupby("path")["primary_label"]}
    groups = _identical(list(labels))
    if not groups:
        yield Finding("duplicates", "ok", "no two files are the same")
        return
    extra = sum(len(group) - 1 for group in groups)
    example = " = ".join(groups[0][:2])
    remedy = "keep one of each: `details` of --json lists them"
    yield Finding("duplicates", "warn", f"{extra} files are copies of others: {example}", remedy, {"groups": groups})
    odd = [group for group in groups if len({tuple(labels[path]) for path in group}) > 1]
    if odd:
        first = "; ".join(f"{path}: {', '.join(labels[path])}" for path in odd[0][:2])
        message = f"{len(odd)} recordings appear under different labels: {first}"
        remedy = "decide which label is right, and remove the other copy"
        yield Finding("contradictions", "warn", message, remedy, {"groups": odd})


def _identical(paths: list[str]) -> list[list[str]]:
    """Groups of files with the same content; only those of equal size are read."""
    by_size = pd.Series(paths, index=[Path(path).stat().st_size for path in paths])
    groups: dict[bytes, list[str]] = {}
    for path in by_size[by_size.index.duplicated(keep=False)]:
        with Path(path).open("rb") as file:
            digest = blake2b(digest_size=16)
            while block := file.read(1 << 20):
                digest.update(block)
        groups.setdefault(digest.digest(), []).append(path)
    return [group for group in groups.values() if len(group) > 1]
