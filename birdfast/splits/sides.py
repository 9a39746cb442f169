"""Labelled windows of soundscapes beside the recordings, and the side of a split on which each soundscape lies."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd

from birdfast.errors import BirdfastError, unknown
from birdfast.notes import note
from birdfast.recipe.recipe import Recipe
from birdfast.sources.soundscapes import site_of
from birdfast.sources.source import RECORDING, WINDOW, Source
from birdfast.splits.folds import split

GROUPS = ("site", "file")


def with_windows(source: Source) -> pd.DataFrame:
    """The recordings table with the labelled windows of soundscapes below.

    Those have `labels` (tuple of text; empty: no call), `site`, and for `primary_label` their first label or "". A window
    without a row of labels is unknown, and not here.

    Raises
    ------
    BirdfastError
        If the source has no labelled soundscapes.
    """
    windows = source.soundscapes
    if windows is None or windows.empty:
        raise BirdfastError(
            f"{source.layout} has no labelled soundscapes (BirdCLEF 2021 and 2026 have some): set soundscape_share and "
            "soundscape_mix to 0; recipe='small' is 'first_place' without them"
        )
    windows = windows.assign(
        kind=WINDOW,
        primary_label=[labels[0] if labels else "" for labels in windows["labels"]],
        secondary_labels=[labels[1:] for labels in windows["labels"]],
        author=pd.Series(pd.NA, index=windows.index, dtype=object),
        site=[site_of(path) for path in windows["path"]],
        fold=pd.array([pd.NA] * len(windows), dtype="Int64"),
    )
    return pd.concat([source.recordings, windows], ignore_index=True)


def inside_files(recordings: pd.DataFrame) -> pd.DataFrame:
    """Without rows that begin where their file (`duration`, s) has ended; says how many there were."""
    beyond = (recordings["start_time"] >= recordings["duration"]).to_numpy()
    windows = (recordings["kind"] != RECORDING).to_numpy()
    for what, rows in {"labelled windows": beyond & windows, "rows of recordings": beyond & ~windows}.items():
        if rows.any():
            first = recordings[rows].iloc[0]
            where = f"{first['path']} at {first['start_time']:g} s, which ends at {first['duration']:g} s"
            note(f"{rows.sum()} {what} begin after the end of their file (first: {where}): left out")
    return recordings[~beyond].reset_index(drop=True)


def soundscape_groups(paths: Iterable[str], group: str) -> np.ndarray:
    """What of each soundscape must stay on one side of a split: its site, or the file."""
    if group not in GROUPS:
        raise unknown("group of soundscapes", group, GROUPS)
    return np.array([site_of(path) if group == "site" else str(path) for path in paths], dtype=object)


def soundscape_folds(
    paths: Iterable[str],
    *,
    folds: Iterable[int],
    group: str = "site",
    seed: int = 0,
    known: Mapping[str, int] | None = None,
) -> np.ndarray:
    """The fold of each row, int (n,): groups are dealt out in random order, each to the fold with the fewest rows.

    Parameters
    ----------
    paths
        The soundscape of each row.
    known
        Folds of groups that are settled.

    Raises
    ------
    BirdfastError
        If all soundscapes are of one group, so that none could be held out.
    """
    groups, known = soundscape_groups(paths, group), dict(known or {})
    distinct, counts = np.unique(groups, return_counts=True)
    if len(distinct) < 2 and not known:
        raise BirdfastError(
            f"all soundscapes are of one {group} ({', '.join(map(str, distinct)) or 'there is none'}): none can be held "
            "out" + (", set soundscape_group='file' to split by file" if group == "site" else "")
        )
    sizes = dict.fromkeys(folds, 0)
    for i in np.random.default_rng(seed).permutation(len(distinct)):
        name = distinct[i]
        if known.get(name) not in sizes:
            known[name] = min(sizes, key=lambda fold: sizes[fold])
        sizes[known[name]] += int(counts[i])
    return np.array([known[name] for name in groups], int)


def split_both(recordings: pd.DataFrame, recipe: Recipe) -> np.ndarray:
    """Which rows validate, bool (n,): recordings by :func:`~birdfast.splits.folds.split`, soundscapes by site or file."""
    windows = (recordings["kind"] != RECORDING).to_numpy()
    is_valid = np.zeros(len(recordings), bool)
    is_valid[~windows] = split(recordings[~windows].reset_index(drop=True), n_folds=recipe.n_folds, fold=recipe.fold,
                               group=recipe.group, seed=recipe.seed)  # fmt: skip
    if windows.any():
        is_valid[windows] = held_out_soundscapes(recordings.loc[windows, "path"], recipe)
    return is_valid


def known_sides(recordings: pd.DataFrame, sides: Mapping[str, bool]) -> np.ndarray:
    """Which rows validate, bool (n,), as `sides` has it by path; what it does not name trains.

    Raises
    ------
    BirdfastError
        If none of those that validate is there.
    """
    known = recordings["path"].map(sides)
    is_valid = known.eq(True).to_numpy(bool)
    if not is_valid.any():
        raise BirdfastError("none of the recordings that validate is there any more: put them back")
    if new := recordings.loc[known.isna() & ~(recordings["kind"] == WINDOW).to_numpy(), "path"].nunique():
        note(f"{new} recordings are new since the run began: they train")
    return is_valid


def held_out_soundscapes(paths: Iterable[str], recipe: Recipe) -> np.ndarray:
    """Which rows of soundscapes validate in the recipe's fold, bool (n,)."""
    return folds_of_soundscapes(paths, recipe) == recipe.fold


def folds_of_soundscapes(paths: Iterable[str], recipe: Recipe) -> np.ndarray:
    """The fold that validates each row of soundscapes, int (n,), see :func:`soundscape_folds`."""
    return soundscape_folds(paths, folds=range(recipe.n_folds), group=recipe.soundscape_group, seed=recipe.seed)
