"""What training and validation share, and whether there is enough to learn from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from birdfast.doctor.findings import Finding, first_few
from birdfast.errors import BirdfastError
from birdfast.recipe.advice import epoch_steps, lr_too_low
from birdfast.recipe.recipe import Recipe
from birdfast.sources.source import RECORDING
from birdfast.splits.folds import LeakReport, leak_report, official_folds
from birdfast.splits.sides import split_both


def check_split(recordings: pd.DataFrame, recipe: Recipe) -> Iterator[Finding]:
    """What training and validation share, and whether there is enough of both."""
    try:
        is_valid = split_both(recordings, recipe)
    except BirdfastError as error:
        yield Finding("split", "fail", str(error))
        return
    leaks = leak_report(recordings, is_valid, group=recipe.group, audio=True)
    n_train, n_valid = int(np.sum(~is_valid)), int(np.sum(is_valid))
    text = f"{n_train} to train, {n_valid} to validate (fold {recipe.fold} of {recipe.n_folds}); {leaks.line()}"
    found = leaks.to_dict()
    remedy = _against_leaks(leaks, official=official_folds(recordings[recordings["kind"] == RECORDING]) is not None)
    yield Finding("split", "ok" if leaks.ok else "warn", text + _examples(found), "" if leaks.ok else remedy, found)
    yield _check_batch(n_train, recipe)


def _check_batch(n_train: int, recipe: Recipe) -> Finding:
    """Whether an epoch has steps enough to learn from."""
    steps, smaller = epoch_steps(n_train, recipe.batch_size)
    message, remedy = f"{steps} (batch_size={recipe.batch_size})", f"--batch-size {smaller}, or more recordings"
    if n_train < recipe.batch_size:
        message = f"{n_train} training recordings are fewer than batch_size={recipe.batch_size}"
        return Finding("batch", "fail", message, remedy)
    if smaller:
        return Finding("batch", "warn", f"{message}: few to learn from", remedy)
    return Finding("batch", "ok", message)


def _against_leaks(leaks: LeakReport, *, official: bool) -> str:
    """What to do about a split that leaks, or of which nobody can tell."""
    if not leaks.known:
        return (
            "name the column of recordists (--author), or train with --set group=COLUMN, whose equal values then stay on "
            "one side; a folder needs a csv for either. Without, the validation figures may be too good"
        )
    if official and len(leaks.shared_authors):
        return (
            "the official folds (the column fold) part recordings of one recordist: --fold-column none leaves them and "
            "keeps recordists together; or accept figures that are too good, comparable to others' on these folds"
        )
    return "the validation figures will be too good: remove the copies, or name the column of recordists (--author)"


def _examples(leaks: dict[str, Any]) -> str:
    """The first of each kind of leak, by name."""
    shown = []
    for kind in ("shared_recordings", "shared_authors", "identical_files", "same_audio"):
        rows = [row for row in leaks[kind] or [] if not row.get("harmless")]
        shown += [f"{kind.replace('_', ' ')}: " + first_few(" = ".join(_names(row)) for row in rows)] if rows else []
    return "".join(f"; {text}" for text in shown)


def _names(row: Mapping[str, Any]) -> list[str]:
    return [str(value) for key, value in row.items() if key in ("recording", "author", "train", "valid")]


def check_rate_of_learning(n: int, recipe: Recipe) -> Finding:
    if recipe.lr == "auto":
        return Finding("lr", "ok", "lr_find will choose the learning rate")
    if recipe.lr == "backbone":
        return Finding("lr", "ok", f"the learning rate is the default of {recipe.backbone}")
    if lr_too_low(recipe.lr, n):
        message = f"lr={recipe.lr:g} suits tens of thousands of recordings, these are {n}"
        return Finding("lr", "warn", message, "train with --lr auto, or --recipe small")
    return Finding("lr", "ok", f"lr={recipe.lr:g} for {n} recordings")
