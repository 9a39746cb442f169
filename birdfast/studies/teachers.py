"""Pseudo-labels as a rung of a ladder: the same recipe without them, trained on the same fold, labels the soundscapes."""

from __future__ import annotations

from pathlib import Path

from birdfast.recipe.recipe import Recipe
from birdfast.sources.source import Source
from birdfast.studies.key import below, write_table
from birdfast.studies.pseudo import find_unlabelled, label_windows

_KNOBS = [name for name in Recipe().to_dict() if name.startswith("pseudo_")]


def teacher_of(recipe: Recipe) -> Recipe:
    """The recipe without pseudo-labels."""
    return recipe.with_(**{name: getattr(Recipe(), name) for name in _KNOBS})


def labels_of(teacher: Path, source: Source, device: str | None) -> Path:
    """The Parquet, beside the `teacher`'s bundle, of what it says of the unlabelled soundscapes, none of which it has heard.

    Those that it has labelled before, and that have not changed, are not labelled again.
    """
    place = teacher.with_suffix(".parquet")
    files = find_unlabelled(source, None)
    table = label_windows(teacher.with_suffix(""), [teacher], files, source.classes, device)
    write_table(table.assign(path=below(source.root, table["path"])), place)
    return place
