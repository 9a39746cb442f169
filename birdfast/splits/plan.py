"""The plan of a training: which clips train and which validate, how they are drawn, what is mixed in. No torch here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from birdfast.audio.bad_files import BadFiles
from birdfast.errors import BirdfastError
from birdfast.notes import note
from birdfast.recipe.recipe import Recipe
from birdfast.sources.labels import check_labels
from birdfast.sources.no_call import with_no_call
from birdfast.sources.soundscapes import site_of
from birdfast.sources.source import WINDOW, Source
from birdfast.splits.clips import clips_table, readable
from birdfast.splits.leaks import LeakReport, leak_report
from birdfast.splits.messages import lines
from birdfast.splits.pools import Pool, labelled_pool, pseudo_pool
from birdfast.splits.pseudo import Pseudo, not_validated, read_pseudo
from birdfast.splits.sampling import sampling_weights
from birdfast.splits.sides import known_sides, split_both, with_windows


@dataclass(frozen=True)
class Plan:
    """What a training does with its data, before anything is trained.

    Attributes
    ----------
    recipe, source
        What it was made of. The source has the class of clips without a call where the recipe learns it.
    recordings
        Every row that can be read: the recordings table with `duration`, `sample_rate` and `is_valid`.
    clips
        A row an item: `path`, `start_time`, `end_time` (s), `kind` ("recording"; of soundscapes "window" or "no_call"),
        `is_valid`, `recording` (which rows belong together), and the columns of the recordings table.
    pools
        Windows of soundscapes that are mixed into clips of recordings.
    weights
        How likely each training clip is to be drawn; None: all alike.
    leaks
        What training and validation share.
    n_files
        Files of the source, those that cannot be read included.
    bad_files
        The list of those.
    given
        What a person typed to read the source, for the folder of a run.
    """

    recipe: Recipe
    source: Source
    recordings: pd.DataFrame = field(repr=False)
    clips: pd.DataFrame = field(repr=False)
    pools: tuple[Pool, ...]
    weights: np.ndarray | None = field(repr=False)
    leaks: LeakReport = field(repr=False)
    n_files: int
    bad_files: BadFiles = field(repr=False)
    given: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def train(self) -> pd.DataFrame:
        """The clips that train."""
        return self.clips[~self.clips["is_valid"]]

    def lines(self, *, device: str = "", processes: int = 1) -> list[str]:
        """All there is to say of it, a sentence each; of `processes` each trains on its share."""
        return lines(self, device=device, processes=processes)

    def mixed_in(self) -> list[str]:
        """The files of windows that are only mixed into others' clips."""
        return sorted({str(path) for pool in self.pools for path in pool.windows[0]} - set(self.clips["path"]))

    def __str__(self) -> str:
        counts = self.clips.groupby(["kind", "is_valid"], as_index=False).size()
        rows = counts.itertuples(index=False, name=None)
        parts = [f"{n} of kind {kind!r} to {'validate' if valid else 'train'}" for kind, valid, n in rows]
        return "\n".join([f"plan of recipe {self.recipe.name!r}: clips are {', '.join(parts)}", *self.lines()])


def plan_training(
    source: Source,
    recipe: Recipe,
    *,
    pseudo: Pseudo | None = None,
    sides: Mapping[str, bool] | None = None,
    bad_files: BadFiles | None = None,
) -> Plan:
    """Read the headers of a source's recordings and decide what each is for.

    Parameters
    ----------
    pseudo
        Soft labels of soundscapes, see :func:`~birdfast.splits.pseudo.read_pseudo`.
    sides
        Whether each path validates, of a run that goes on; what it does not name trains.
    bad_files
        The list to add files to that cannot be read; a new one unless given.

    Raises
    ------
    BirdfastError
        If there is nothing to train on or to validate, or too much cannot be read.
    """
    source = with_no_call(source) if recipe.no_call else source
    check_labels(source.recordings, source.classes)
    soft = read_pseudo(pseudo, source, recipe)
    table = with_windows(source) if recipe.hears_soundscapes else source.recordings
    bad_files = BadFiles() if bad_files is None else bad_files
    rows = readable(table, recipe, bad_files)
    is_valid = split_both(rows, recipe) if sides is None else known_sides(rows, sides)
    if recipe.hears_soundscapes:
        _check_windows(table, rows, is_valid)
    if soft is not None:
        soft = not_validated(soft, rows, is_valid, recipe.soundscape_group)
    every = clips_table(rows, is_valid, recipe)
    clips = _without_pool(every, recipe)
    recipe = _fitted(recipe, int((~clips["is_valid"]).sum()))
    leaks = leak_report(*_all_heard(rows, is_valid, soft), group=recipe.group)
    pools, weights = _pools(every, soft, source.classes, recipe), _weights(clips[~clips["is_valid"]], recipe)
    rows = rows.assign(is_valid=is_valid)
    return Plan(
        recipe, source, rows, clips, pools, weights, leaks, table["path"].nunique(), bad_files, _given(source, pseudo)
    )


def _given(source: Source, pseudo: Pseudo | None) -> dict[str, Any]:
    """What a person typed, pseudo-labels included; nothing of a table in memory."""
    return source.given and {**source.given, "pseudo": str(pseudo) if isinstance(pseudo, (str, Path)) else None}


def _pools(clips: pd.DataFrame, soft: pd.DataFrame | None, classes: list[str], recipe: Recipe) -> tuple[Pool, ...]:
    """Labelled windows, which are few and true; then pseudo-labelled ones, for clips that got none."""
    labelled = [labelled_pool(clips[~clips["is_valid"]], classes, recipe)] if recipe.soundscape_mix else []
    return (*labelled,) if soft is None else (*labelled, pseudo_pool(soft, classes, recipe))


def _without_pool(clips: pd.DataFrame, recipe: Recipe) -> pd.DataFrame:
    """The clips of which batches are made: without a share in them, training windows are only mixed in."""
    only_mixed = (clips["kind"] == WINDOW) & ~clips["is_valid"] & (recipe.soundscape_share == 0)
    return clips[~only_mixed.to_numpy()].reset_index(drop=True)


def _weights(train: pd.DataFrame, recipe: Recipe) -> np.ndarray | None:
    """How likely each training clip is to be drawn; labelled windows have a share of the batch of their own."""
    if not recipe.sampling_power:
        return None
    windows, weights = (train["kind"] == WINDOW).to_numpy(), np.zeros(len(train))
    labels = train["primary_label"][~windows]
    how = {"power": recipe.sampling_power, "floor": recipe.sampling_floor, "cap": recipe.sampling_cap}
    weights[~windows] = sampling_weights(labels, **how)
    return weights


def _all_heard(rows: pd.DataFrame, is_valid: np.ndarray, soft: pd.DataFrame | None) -> tuple[pd.DataFrame, np.ndarray]:
    """Every file that is trained on or validates, for the leak report."""
    if soft is None:
        return rows, is_valid
    paths = soft["path"].drop_duplicates().to_numpy()
    more = pd.DataFrame(
        {"path": paths, "primary_label": "", "author": pd.NA, "site": [site_of(path) for path in paths]}
    )
    return pd.concat([rows, more], ignore_index=True), np.append(is_valid, np.zeros(len(more), bool))


def _fitted(recipe: Recipe, n_train: int) -> Recipe:
    """The recipe with a batch that the training clips can fill; says so where it shrinks."""
    if n_train >= recipe.batch_size:
        return recipe
    smaller = 2 ** max(1, n_train.bit_length() - 1) if n_train > 1 else 1
    note(
        f"batch_size={smaller} in place of {recipe.batch_size}: only {n_train} clips train, few to learn from and to judge by"
    )
    return recipe.with_(batch_size=smaller)


def _check_windows(table: pd.DataFrame, rows: pd.DataFrame, is_valid: np.ndarray) -> None:
    """Labelled windows of soundscapes that the recipe wants must be there to train on."""
    windows = (rows["kind"] == WINDOW).to_numpy()
    if not (windows & ~is_valid).any():
        n = int((table["kind"] == WINDOW).sum())
        raise BirdfastError(
            f"no labelled window of a soundscape is left to train on: of {n}, {n - windows.sum()} lie in soundscapes that "
            f"cannot be read, and {(windows & is_valid).sum()} validate. Put the soundscapes in their place, take another "
            "fold, or set soundscape_share and soundscape_mix to 0"
        )
