"""Which file validates in which fold: dealt out once for a study, so that files that break or are mended move no other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from birdfast.audio.bad_files import BadFiles
from birdfast.recipe.recipe import Recipe
from birdfast.sources.no_call import with_no_call
from birdfast.sources.source import RECORDING, Source
from birdfast.splits.folds import assign_folds
from birdfast.splits.sides import folds_of_soundscapes, with_windows
from birdfast.studies.key import below, write_table

DEALT = "dealt.parquet"


def training_rows(source: Source, recipe: Recipe) -> pd.DataFrame:
    """The rows of `source` that a training by `recipe` splits, as ``bird_dls`` takes them.

    Raises
    ------
    BirdfastError
        If the source has no labelled soundscapes, or no clips without a call, where the recipe trains on them.
    """
    found = with_no_call(source) if recipe.no_call else source
    return with_windows(found) if recipe.hears_soundscapes else found.recordings


def deal_soundscapes(rows: pd.DataFrame, recipe: Recipe) -> np.ndarray:
    """The fold that validates each of those `rows` that are of soundscapes, int (n,).

    Raises
    ------
    BirdfastError
        If all are of one site, or of one file, so that none could be held out.
    """
    paths = rows.loc[(rows["kind"] != RECORDING).to_numpy(), "path"]
    return folds_of_soundscapes(paths, recipe) if len(paths) else np.empty(0, int)


def deal(rows: pd.DataFrame, recipe: Recipe) -> np.ndarray:
    """The fold that validates each row, int (n,), -1 for none: of all folds at once what `split_both` says of one."""
    windows = (rows["kind"] != RECORDING).to_numpy()
    recordings = rows[~windows].reset_index(drop=True)
    folds = np.empty(len(rows), int)
    folds[~windows] = assign_folds(recordings, n_folds=recipe.n_folds, group=recipe.group, seed=recipe.seed)
    folds[windows] = deal_soundscapes(rows, recipe)
    return folds


def dealt_sides(source: Source, recipe: Recipe, out: Path) -> dict[str, bool] | None:
    """Whether each file validates in the recipe's fold, by path, for the `sides` of ``bird_dls``.

    The first call for the folder `out` of a study deals out all files that can be read then, and writes
    ``dealt.parquet``: `path`, below the source's folder, and `fold`; later calls read it. A file that could not be read
    then, and is mended later, is not in it: no fold validates it, those that are trained after it was mended train on it.

    None where an official column of folds puts rows of one file into several: these are told apart by row, not by file,
    and official folds stay what they are whatever can be read. Its labelled soundscapes are then dealt out by each fold.

    Raises
    ------
    BirdfastError
        If the first call finds too many files that cannot be read, or nothing that can be held out.
    """
    rows, place = training_rows(source, recipe), out / DEALT
    if not place.is_file():
        _write(source, rows, recipe, place)
    dealt = pd.read_parquet(place)
    if dealt["path"].duplicated().any():
        return None
    folds = dict(zip(dealt["path"], dealt["fold"], strict=True))
    names = zip(rows["path"], below(source.root, rows["path"]), strict=True)
    return {path: bool(folds[name] == recipe.fold) for path, name in names if name in folds}


def _write(source: Source, rows: pd.DataFrame, recipe: Recipe, place: Path) -> None:
    from birdfast.splits.clips import readable

    there = readable(rows, recipe, new_bad_files(place.parent))
    table = pd.DataFrame({"path": below(source.root, there["path"]), "fold": deal(there, recipe)})
    write_table(table.drop_duplicates(), place)


def new_bad_files(folder: Path) -> BadFiles:
    """The list of files in `folder` that cannot be used, without those of an earlier start: they may be mended."""
    bad_files = BadFiles(folder / "bad_files.jsonl")
    bad_files.forget()
    return bad_files
