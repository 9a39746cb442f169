"""What a plan has to say to a person, in one place."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

import pandas as pd

from birdfast.recipe.advice import epoch_steps, lr_too_low
from birdfast.recipe.recipe import Recipe
from birdfast.sources.source import WINDOW, Source
from birdfast.splits.leaks import LeakReport
from birdfast.splits.pools import Pool


class Planned(Protocol):
    """What is said of a plan is told by these of its parts."""

    @property
    def recipe(self) -> Recipe: ...
    @property
    def source(self) -> Source: ...
    @property
    def recordings(self) -> pd.DataFrame: ...
    @property
    def pools(self) -> tuple[Pool, ...]: ...
    @property
    def leaks(self) -> LeakReport: ...
    @property
    def train(self) -> pd.DataFrame: ...


def lines(plan: Planned, *, device: str = "", processes: int = 1) -> list[str]:
    """Every sentence, in the order of the data's way."""
    windows = (plan.recordings["kind"] == WINDOW).to_numpy()
    recordings, n_train = plan.recordings[~windows], len(plan.train)
    return [
        *_rate(plan.recordings, plan.recipe),
        *_soundscapes(plan.recordings[windows], plan.pools),
        *_recordings(recordings, plan.source, device),
        *_leaks(plan.leaks, plan.source),
        *_steps(n_train // processes, plan.recipe),
        *_learning_rate(len(recordings), plan.recipe),
        *_average(plan.recipe),
    ]


def _rate(rows: pd.DataFrame, recipe: Recipe) -> Iterator[str]:
    """A front end that looks above what the recordings hold sees only silence there."""
    low = rows["sample_rate"] < 2 * recipe.fmax
    if low.any() and not recipe.embeds:
        top = int(rows.loc[low, "sample_rate"].min()) // 2
        yield f"{low.sum()} of {len(rows)} recordings hold no sound up to fmax={recipe.fmax:.0f} Hz: consider fmax={top}"


def _soundscapes(windows: pd.DataFrame, pools: Sequence[Pool]) -> Iterator[str]:
    if len(windows):
        files, sites, n_valid = windows["path"].nunique(), windows["site"].nunique(), windows["is_valid"].sum()
        yield (
            f"labelled soundscapes: {len(windows)} windows of {files} files at {sites} sites "
            f"({len(windows) - n_valid} to train, {n_valid} to validate)"
        )
    if pools:
        yield f"mixed into clips of recordings: {', '.join(map(repr, pools))}"


def _recordings(rows: pd.DataFrame, source: Source, device: str) -> Iterator[str]:
    authors, n_valid = rows["author"].nunique(), int(rows["is_valid"].sum())
    by = f" by {authors} recordists" if authors else ", recordists unknown"
    yield (
        f"{source.layout}: {len(source.classes)} classes, {len(rows)} recordings "
        f"({len(rows) - n_valid} to train, {n_valid} to validate){by}{f'; device {device}' if device else ''}"
    )


def _leaks(leaks: LeakReport, source: Source) -> Iterator[str]:
    yield leaks.line()
    if not leaks.known:
        named = "name the column of recordists (author), or another whose equal values belong together (group)"
        yield "a csv with a column author can tell" if source.layout == "folder per class" else named


def _steps(n_train: int, recipe: Recipe) -> Iterator[str]:
    """How many steps an epoch has, and what to do where they are few."""
    steps, smaller = epoch_steps(n_train, recipe.batch_size)
    few = f": few to learn from, consider batch_size={smaller}" if smaller else ""
    yield f"{steps} (batch_size={recipe.batch_size}){few}"


def _learning_rate(n_recordings: int, recipe: Recipe) -> Iterator[str]:
    if lr_too_low(recipe.lr, n_recordings):
        yield (
            f"lr={recipe.lr:g} suits tens of thousands of recordings, not {n_recordings}: "
            "consider lr='auto', or recipe='small'"
        )


def _average(recipe: Recipe) -> Iterator[str]:
    """Weights that hardly move are not worth averaging."""
    if recipe.swa and recipe.schedule != "constant":
        yield (
            f"swa={recipe.swa:g} averages the last epochs, in which schedule={recipe.schedule!r} lets the rate fall to "
            "nothing, so that their weights hardly differ: consider schedule='constant'"
        )
