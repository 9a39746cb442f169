"""Which labelled soundscapes a model was trained on, as its recipe tells: they do not judge it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from birdfast.errors import BirdfastError
from birdfast.inference.ensemble_engine import EnsembleEngine
from birdfast.recipe import Recipe
from birdfast.recordings.audio import read_headers
from birdfast.recordings.labelled import held_out_soundscapes, inside_files, of_soundscapes, with_windows
from birdfast.recordings.no_call import with_no_call
from birdfast.recordings.source import Source
from birdfast.studies.windows import Truth


def recipes_of(engine: Any) -> list[Recipe]:
    """The recipe of a model, or of each member of an ensemble."""
    if isinstance(engine, EnsembleEngine):
        return [recipe for member in engine.members for recipe in recipes_of(member)]
    return [engine.recipe]


def held_out(truth: Truth, recipes: Sequence[Recipe], source: Source | None) -> Truth:
    """Of labelled soundscapes those that no training by `recipes` on `source` heard; `what` says so.

    All of them where none is left, or where it cannot be known (a csv, without its source): then `what` warns.
    """
    trained = [recipe for recipe in recipes if recipe.hears_soundscapes or recipe.no_call]
    if not trained:
        return truth
    warning = "the model's recipe trains on labelled soundscapes: if on these, the figures are too good"
    try:
        heard = None if source is None else set().union(*(heard_soundscapes(source, recipe) for recipe in trained))
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


def heard_soundscapes(source: Source, recipe: Recipe) -> set[str]:
    """The files of the labelled soundscapes that train in the recipe's fold of `source`, as ``bird_dls`` deals them out."""
    found = with_no_call(source) if recipe.no_call else source
    rows = with_windows(found) if recipe.hears_soundscapes else found.recordings
    rows = rows[of_soundscapes(rows)].reset_index(drop=True)
    headers = read_headers(rows["path"])
    good = headers["error"].isna().to_numpy()  # training leaves the others out before it splits
    rows = inside_files(rows.assign(duration=headers["duration"].to_numpy())[good].reset_index(drop=True))
    return set(rows.loc[~held_out_soundscapes(rows["path"], recipe), "path"]) if len(rows) else set()
