"""What a model was trained on, as the folder it lies in tells, or its recipe: that does not judge it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from birdfast.audio.read import read_headers
from birdfast.commands.shared.models import find_bundle
from birdfast.errors import BirdfastError
from birdfast.recipe.recipe import Recipe
from birdfast.scoring.engines.ensemble import EnsembleEngine
from birdfast.sources.source import RECORDING, Source
from birdfast.splits.folds import assign_folds
from birdfast.splits.run_files import run_sides
from birdfast.splits.sides import held_out_soundscapes, inside_files
from birdfast.studies.deal import training_rows
from birdfast.studies.windows import Truth


def recipes_of(engine: Any) -> list[Recipe]:
    """The recipe of a model, or of each member of an ensemble."""
    if isinstance(engine, EnsembleEngine):
        return [recipe for member in engine.members for recipe in recipes_of(member)]
    exported = engine.extra.get("recipes")  # of an ensemble that is one graph
    return [Recipe.from_dict(knobs) for knobs in exported] if exported else [engine.recipe]


def held_out(truth: Truth, models: Sequence[Any], engine: Any, source: Source | None) -> Truth:
    """Of labelled soundscapes those that none of the `models` heard, as :func:`heard_soundscapes` has it; `what` says so.

    All of them where none is left, or where it cannot be known (a csv, without its source): then `what` warns.
    """
    trained = [
        (recipe, model if len(recipes) == 1 else None)
        for recipes, model in _members(models, engine)
        for recipe in recipes
        if recipe.hears_soundscapes or recipe.no_call
    ]
    if not trained:
        return truth
    warning = "the model's recipe trains on labelled soundscapes: if on these, the figures are too good"
    try:
        heard = None if source is None else set().union(*(heard_soundscapes(source, *each) for each in trained))
    except BirdfastError:  # this source has nothing that such a training could have held out
        heard = None
    if heard is None:
        return replace(truth, what=f"{truth.what}; {warning}")
    files = truth.windows.index.get_level_values("path")
    free = ~files.isin(heard)
    if free.all():
        return truth
    if not free.any():
        return replace(truth, what=f"{truth.what}, on all of which the model was trained: the figures are too good")
    n = files[free].nunique()
    what = f"the windows of {n} of {files.nunique()} labelled soundscapes ({source.root}), which the model held out"  # type: ignore[union-attr]
    return replace(truth, what=what, windows=truth.windows[free])


def heard_soundscapes(source: Source, recipe: Recipe, model: Any = None) -> set[str]:
    """The files of the labelled soundscapes of `source` that a model was trained on.

    By what its run or study wrote beside it, and where that does not name a file, by its recipe, as ``bird_dls`` deals the
    files out that are there now.
    """
    rows = training_rows(source, recipe)
    rows = split_rows(rows[(rows["kind"] != RECORDING).to_numpy()])
    if not len(rows):
        return set()
    heard = pd.Series(~held_out_soundscapes(rows["path"], recipe), rows.index)
    written = _written(model, rows["path"], source.root)
    return set(rows.loc[heard if written is None else written.fillna(heard).astype(bool), "path"])


def split_rows(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows that training splits: it leaves out before what cannot be read, and what begins after its file's end."""
    headers = read_headers(rows["path"])
    there = rows.assign(duration=headers["duration"].to_numpy())[headers["error"].isna().to_numpy()]
    return inside_files(there.reset_index(drop=True))


def heard_recordings(
    recordings: pd.DataFrame, models: Sequence[Any], engine: Any, root: Path | None
) -> tuple[np.ndarray, bool]:
    """Which of a source's `recordings` any of the `models` was trained on, bool (n,), and whether this is known for sure.

    For sure: written beside each model, by its run or its study. Else as a training by its recipe would split them.
    """
    heard, sure = np.zeros(len(recordings), bool), True
    for recipes, model in _members(models, engine):
        written = _written(model, recordings["path"], root) if len(recipes) == 1 else None
        sure &= written is not None
        if written is not None:
            heard |= written.to_numpy(bool, na_value=False)
            continue
        for recipe in recipes:
            heard |= _by_recipe(recordings, recipe)
    return heard, sure


def _members(models: Sequence[Any], engine: Any) -> list[tuple[list[Recipe], Any]]:
    """The recipes of each member of the engine, and the model it was made of, None where that cannot be told."""
    members = engine.members if isinstance(engine, EnsembleEngine) else [engine]
    given = [each for model in models for each in getattr(model, "models", [model])]
    named = given if len(given) == len(members) else [None] * len(members)
    return [(recipes_of(member), model) for member, model in zip(members, named, strict=True)]


def _by_recipe(recordings: pd.DataFrame, recipe: Recipe) -> np.ndarray:
    how = {"n_folds": recipe.n_folds, "group": recipe.group, "seed": recipe.seed}
    return assign_folds(recordings, **how) != recipe.fold  # type: ignore[arg-type]


def _written(model: Any, paths: pd.Series, root: Path | None) -> pd.Series | None:
    """Whether the model was trained on each of the paths, by what lies beside it; None where that names none of them.

    What the list does not name is NA: it was not there, or could not be read.
    """
    if not isinstance(model, (str, Path)):
        return None
    sides = run_sides(find_bundle(model).parent, root)
    if sides is None:
        return None
    validates = paths.map(sides).astype("boolean")
    return ~validates if validates.notna().any() else None
