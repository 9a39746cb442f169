"""What a study's folder was made of: it goes on with the same recipe and data, and with no other."""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Any

import pandas as pd

from birdfast.errors import BirdfastError
from birdfast.recipe import Recipe
from birdfast.recordings.source import Source

STUDY = "study.json"
_ROWS = ("path", "primary_label", "secondary_labels", "author", "start_time", "end_time", "fold")
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
    others = [f"{name} ({before.get(name)!r} to {after[name]!r})" for name in after if before.get(name) != after[name]]
    if others:
        raise BirdfastError(f"{out} holds another study, you changed {', '.join(others[:3])}: {remedy}")


def digest_rows(source: Source) -> str:
    """A short text that changes with the rows of a source, its labelled soundscapes and its classes."""
    rows = source.recordings[[name for name in _ROWS if name in source.recordings]]
    tables = [rows] if source.soundscapes is None else [rows, source.soundscapes]
    return digest(json.dumps([source.classes, *(_text(table) for table in tables)]))


def digest(text: str | bytes) -> str:
    """A short fingerprint."""
    return blake2b(text.encode() if isinstance(text, str) else text, digest_size=8).hexdigest()


def _text(table: pd.DataFrame) -> str:
    return table.to_csv(index=False)
