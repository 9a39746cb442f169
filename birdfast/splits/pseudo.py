"""Pseudo-labels: soft labels of soundscapes that a model gave, read, checked and kept apart from what validates."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from birdfast.errors import BirdfastError
from birdfast.notes import note
from birdfast.recipe.recipe import Recipe
from birdfast.sources.columns import absolute_paths
from birdfast.sources.pseudo import check_pseudo_file
from birdfast.sources.soundscapes import site_of
from birdfast.sources.source import Source
from birdfast.splits.pools import INDEX

Pseudo = str | Path | pd.DataFrame


def check_pseudo(pseudo: Pseudo | None, recipe: Recipe) -> None:
    """Pseudo-labels and a recipe that draws from them go together; raises where there are none at their path, too."""
    if (pseudo is None) != (recipe.pseudo_mix == 0):
        remedy = (
            "needs pseudo-labels: give pseudo='pseudo.parquet' (at the shell --pseudo FILE; birdfast pseudo makes one), or "
            "set pseudo_mix=0"
            if pseudo is None
            else "uses none of the pseudo-labels: set pseudo_mix=1 (at the shell --set pseudo_mix=1), or leave them out"
        )
        raise BirdfastError(f"pseudo_mix={recipe.pseudo_mix:g} {remedy}")
    check_pseudo_file(pseudo)


def read_pseudo(pseudo: Pseudo | None, source: Source, recipe: Recipe) -> pd.DataFrame | None:
    """A table of soft labels or its Parquet, its paths absolute, without the rows that this fold holds out; None for none."""
    if pseudo is None:
        return None
    table = pseudo if isinstance(pseudo, pd.DataFrame) else _read(Path(pseudo))
    if "path" in table.index.names:
        table = table.reset_index()  # as a Predictor gives it
    if missing := [name for name in [*INDEX, *source.classes] if name not in table]:
        raise BirdfastError(
            f"the pseudo-labels lack {len(missing)} columns, the first {missing[0]!r}: are they of these classes?"
        )
    _check_probabilities(table, source.classes)
    table = _found(table, source.root or Path())
    return table[table["fold"] != recipe.fold] if "fold" in table else table


def _check_probabilities(table: pd.DataFrame, classes: Sequence[str]) -> None:
    values = table[list(classes)].to_numpy(np.float32)
    rows, columns = np.nonzero(~((values >= 0) & (values <= 1 + 1e-6)))  # NaN, too
    if len(rows):
        raise BirdfastError(
            f"the pseudo-labels hold {values[rows[0], columns[0]]:g} for {classes[columns[0]]!r} of "
            f"{table['path'].iloc[rows[0]]}, probabilities go from 0 to 1: are these logits? give their sigmoid or softmax, "
            "and leave out rows without values"
        )


def _found(table: pd.DataFrame, root: Path) -> pd.DataFrame:
    """The table with absolute paths, of which the relative ones begin at `root`; raises where a file is not there."""
    names = table["path"].drop_duplicates()
    places = dict(zip(names, absolute_paths(names, root, "the table of pseudo-labels")))
    if gone := [place for place in places.values() if not Path(place).is_file()]:
        raise BirdfastError(
            f"{len(gone)} of {len(places)} soundscapes with pseudo-labels do not exist, the first looked for is {gone[0]}: "
            f"relative paths begin at {Path(root).absolute()}; mend the column path, or leave their rows out"
        )
    return table.assign(path=table["path"].map(places))


def _read(path: Path) -> pd.DataFrame:
    try:
        return pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise BirdfastError(f"{path} is no Parquet file of pseudo-labels: {error}") from None


def not_validated(pseudo: pd.DataFrame, recordings: pd.DataFrame, is_valid: np.ndarray, group: str) -> pd.DataFrame:
    """The pseudo-labelled windows that lie in no soundscape, and at no site, that validates; says how many do."""
    valid = recordings[is_valid]
    out = pseudo["path"].isin(set(valid["path"])).to_numpy()
    if group == "site" and "site" in valid:
        sites = set(valid["site"].dropna())
        out = out | np.array([site_of(path) in sites for path in pseudo["path"]], bool)
    if out.any():
        n = pseudo.loc[out, "path"].nunique()
        note(f"{out.sum()} pseudo-labelled windows of {n} soundscapes that validation holds out are left out")
    if out.all():
        raise BirdfastError("no pseudo-labelled window is left to train on: validation holds out all their soundscapes")
    return pseudo[~out].reset_index(drop=True)
