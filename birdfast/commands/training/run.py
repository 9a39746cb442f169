"""A source and a recipe in, the folder of a run out."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from contextlib import nullcontext
from importlib import import_module
from pathlib import Path
from typing import Any

from birdfast.audio.bad_files import BadFiles
from birdfast.commands.training.results import STATE, SUMMARY, write_results
from birdfast.errors import BirdfastError, unknown
from birdfast.notes import loading
from birdfast.recipe.recipe import Recipe
from birdfast.sources.read import read_source
from birdfast.splits.run_files import EXPORTS, RECIPE, whole_sides


def train_run(
    source: Any,
    recipe: Recipe,
    out: str | Path,
    *,
    resume: bool = False,
    export: str = "last",
    columns: Mapping[str, Any] | None = None,
    num_workers: int | None = None,
    device: str | None = None,
    cache: str | None = None,
    cache_dir: str | Path | None = None,
    pseudo: str | Path | None = None,
) -> dict[str, Any]:
    """Train and write everything a run leaves behind into the folder `out`; returns what summary.json holds.

    Epochs count from 1 in what is shown and in summary.json, from 0 in history.csv, as in fastai's own tables.

    Started by `accelerate launch`, the processes share the training; the first writes, the others return nothing.

    Parameters
    ----------
    source, columns
        What :func:`~birdfast.sources.read.read_source` takes.
    recipe
        With `resume`, the run's own: :func:`birdfast.commands.shared.typed.resumed_recipe`.
    resume
        Go on after the last epoch that ended. Without it, a folder that holds a run is an error.
    export
        Whose weights are exported and scored: "last", or "best" for the epoch of the highest validation ROC-AUC.
    cache, cache_dir, pseudo
        "waveform" or "spectrogram", and pseudo-labels to mix in, see :func:`~birdfast.training.dataloaders.bird_dls`.

    Raises
    ------
    BirdfastError
        For a folder that is taken or not to be resumed, and for data that cannot be trained on.
    """
    out, started = Path(out), time.monotonic()
    check_out(out, resume=resume)
    if export not in EXPORTS:
        raise unknown("weights to export", export, EXPORTS)
    with loading():
        from birdfast.models.backbone import check_hub
        from birdfast.splits.pseudo import check_pseudo
        from birdfast.training.checkpoint import check_epochs, read_state
        from birdfast.training.dataloaders import bird_dls, check_request
        from birdfast.training.learner import bird_learner
        from birdfast.training.progress import quiet_unless_watched

    done = read_state(out)[0].get("epoch", -1) + 1 if resume else 0
    check_epochs(out, done, recipe.epochs)
    check_request(recipe, cache)
    check_pseudo(pseudo, recipe)
    check_hub(recipe)
    found = read_source(source, **(columns or {}))
    out.mkdir(parents=True, exist_ok=True)
    with _processes() as is_first:
        bad_files = BadFiles(out / "bad_files.jsonl")
        if is_first:
            bad_files.forget()  # those of the run before it was stopped: files may be mended
        sides = whole_sides(out, found.root) if resume else None
        more = {"cache": cache, "cache_dir": cache_dir, "pseudo": pseudo, "sides": sides}
        dls = bird_dls(found, recipe, num_workers=num_workers, device=device, bad_files=bad_files, **more)
        learn = bird_learner(dls, path=out)
        with quiet_unless_watched(learn) as cbs, _shared(learn):
            learn.fit_recipe(run=out, resume=resume, cbs=cbs)
        seconds = _seconds_before(out) + (time.monotonic() - started) * (recipe.epochs > done)
        with _alone():
            return write_results(learn, out, export=export, seconds=seconds) if is_first else {}


def _seconds_before(out: Path) -> float:
    """What the run took until it last ended; to export it again does not count."""
    summary = out / SUMMARY
    return float(json.loads(summary.read_text())["seconds"]) if summary.exists() else 0.0


def _n_processes() -> int:
    """How many processes `accelerate launch` started."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def _processes() -> Any:
    """The processes of `accelerate launch` as a group; gives whether this is the first, or the only one."""
    if _n_processes() < 2:
        return nullcontext(True)
    from birdfast.training.learner import import_distributed

    return import_distributed().joined()


def _shared(learn: Any) -> Any:
    """The training of `learn`, shared out to the processes where there are several."""
    return learn.distrib_ctx() if _n_processes() > 1 else nullcontext()


def _alone() -> Any:
    """What one process does while the others wait for it."""
    return import_module("birdfast.training.distributed").alone() if _n_processes() > 1 else nullcontext()


def check_out(out: Path, *, resume: bool) -> None:
    """Refuse to write over a run, and to resume what is none."""
    if out.exists() and not out.is_dir():
        raise BirdfastError(f"{out} is a file: give a folder for the run with --out")
    if resume and not (out / RECIPE).is_file():
        raise BirdfastError(f"there is no run to resume in {out}: give its folder with --out, or leave out --resume")
    if not resume and (out / STATE).exists():
        raise BirdfastError(f"{out} already holds a run: go on with it by --resume, or give another folder with --out")
