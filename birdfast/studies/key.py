"""What a study's folder was made of: it goes on with the same recipe and data, and with no other."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Any

import pandas as pd

from birdfast.errors import BirdfastError
from birdfast.files.writing import replacing
from birdfast.recipe.recipe import Recipe
from birdfast.sources.soundscapes import SOLUTION
from birdfast.sources.source import Source

STUDY = "study.json"
_ROWS = ("path", "primary_label", "secondary_labels", "author", "start_time", "end_time", "fold", "labels")
_FREE = ("fold", "name")  # knobs that each training of a study has for itself, or that change nothing


def begin(out: Path, recipe: Recipe, source: Source, **more: Any) -> None:
    """Mark `out` as the folder of this study.

    Parameters
    ----------
    more
        What else decides the results, as JSON can hold it.

    Raises
    ------
    BirdfastError
        If the folder is that of another recipe, of other rows, or of other values of `more`.
    """
    wanted = {"recipe": _knobs(recipe), "rows": digest_rows(source), **more}
    file = out / STUDY
    if file.is_file():
        _check_same(out, json.loads(file.read_text()), json.loads(json.dumps(wanted)))
        return
    out.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(wanted, indent=2) + "\n")


def _knobs(recipe: Recipe) -> dict[str, Any]:
    return {name: value for name, value in recipe.to_dict().items() if name not in _FREE}


def _check_same(out: Path, before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    remedy = f"go on with what {out / STUDY} names, or give another folder"
    old, new = before["recipe"], after["recipe"]
    changed = [f"{name} ({old.get(name)!r} to {value!r})" for name, value in new.items() if old.get(name) != value]
    if changed:
        raise BirdfastError(f"{out} holds a study by another recipe, you changed {', '.join(changed[:3])}: {remedy}")
    if before["rows"] != after["rows"]:
        raise BirdfastError(f"{out} holds a study of other recordings or labels: {remedy}")
    others = [
        f"{name} ({before.get(name)!r} to {after[name]!r})"
        for name in after
        if before.get(name, after[name]) != after[name]
    ]
    if others:
        raise BirdfastError(f"{out} holds another study, you changed {', '.join(others[:3])}: {remedy}")


def digest_rows(source: Source) -> str:
    """A short text that changes with the rows, the classes and the truth of a source, not with the place it lies in."""
    parts = [json.dumps(source.classes), _text(source.recordings, source.root)]
    if source.soundscapes is not None:
        parts.append(_text(source.soundscapes, source.root))
    if source.root is not None and (source.root / SOLUTION).is_file():
        parts.append((source.root / SOLUTION).read_text())
    return digest("\n".join(parts))


def digest(text: str | bytes) -> str:
    """A short fingerprint."""
    return blake2b(text.encode() if isinstance(text, str) else text, digest_size=6).hexdigest()


def digest_paths(root: Path | None, paths: Iterable[str]) -> str:
    """A fingerprint of which files there are, not of the place that they lie in."""
    return digest("\n".join(below(root, paths)))


def below(root: Path | None, paths: Iterable[str]) -> list[str]:
    """Paths as they are seen from the folder of a source."""
    return [str(path) if root is None else str(path).removeprefix(f"{root}/") for path in paths]


def write_table(table: pd.DataFrame, path: Path) -> None:
    """A Parquet that is whole or not there."""
    with replacing(path) as temporary:
        table.to_parquet(temporary, index=False)


def _text(table: pd.DataFrame, root: Path | None) -> str:
    rows = table[[name for name in _ROWS if name in table]]
    return rows.assign(path=below(root, rows["path"])).to_csv(index=False)
