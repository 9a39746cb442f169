"""`birdfast train`: a source and a recipe in, the folder of a run out."""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Mapping
from contextlib import nullcontext
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from birdfast import __version__
from birdfast.audio.bad_files import BadFiles
from birdfast.commands.tables import save_plot, write_tables
from birdfast.errors import BirdfastError, unknown
from birdfast.notes import note
from birdfast.recipe.recipe import Recipe
from birdfast.sources.read import read_source
from birdfast.splits.run_files import BUNDLE, DATA, PICKLE, RECIPE, whole_sides

STATE, SUMMARY = "state.json", "summary.json"


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
        With `resume`, the run's own: :func:`birdfast.commands.options.resumed_recipe`.
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
    from birdfast.models.backbone import check_hub
    from birdfast.splits.pseudo import check_pseudo
    from birdfast.training.checkpoint import EXPORTS, check_epochs, read_state
    from birdfast.training.dataloaders import bird_dls, check_request
    from birdfast.training.learner import bird_learner
    from birdfast.training.progress import quiet_unless_watched

    out, started = Path(out), time.monotonic()
    check_out(out, resume=resume)
    if export not in EXPORTS:
        raise unknown("weights to export", export, EXPORTS)
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


def train_counts(dls: Any) -> pd.Series:
    """Training recordings of each class, classes without any included."""
    labels = dls.plan.clips.loc[~dls.plan.clips["is_valid"], "primary_label"]
    return labels.value_counts().reindex(list(dls.vocab), fill_value=0)


def write_results(learn: Any, out: Path, *, export: str, seconds: float) -> dict[str, Any]:
    """Both exports, the tables, the plots and the summary of a learner that was trained into `out`."""
    from birdfast.evaluation import metrics
    from birdfast.plots.run import plot_class_counts
    from birdfast.scoring.bundle import as_bundle, save_bundle

    epoch = learn.load_epoch(export, out)
    counts = train_counts(learn.dls)
    bundle = as_bundle(learn)
    bundle.extra["train_counts"] = {name: int(count) for name, count in counts.items()}
    targets, probabilities = learn.recording_scores()
    bundle.extra |= _fit_calibration(targets, probabilities, bundle.classes)
    save_bundle(bundle, out / BUNDLE)
    learn.export(PICKLE)
    write_tables(out, targets, probabilities, learn.classes, counts[learn.classes])
    save_plot(plot_class_counts(counts), out / "class_counts.png")
    _write_history(out)
    bad = learn.dls.plan.bad_files.table()
    if len(bad):
        bad.to_csv(out / "bad_files.csv", index=False)
        note(f"{len(bad)} files could not be used, they are listed in {out / 'bad_files.csv'}")
    exported = {"exported": export, "exported_epoch": epoch + 1}
    summary = _summary(learn, out, exported, metrics.summary(targets, probabilities), seconds)
    (out / SUMMARY).write_text(json.dumps(summary, indent=2) + "\n")
    return summary


def _fit_calibration(targets: np.ndarray, probabilities: np.ndarray, classes: list[str]) -> dict[str, Any]:
    """Thresholds and calibration for the bundle; nothing where validation holds a single class."""
    from birdfast.evaluation.calibration import fit_calibration

    try:
        return {"calibration": fit_calibration(targets, probabilities, classes).to_dict()}
    except BirdfastError as error:
        note(f"no thresholds and no calibration in {BUNDLE}: {error}")
        return {}


def _write_history(out: Path) -> None:
    from birdfast.plots.run import plot_history

    if (out / "history.csv").exists():
        save_plot(plot_history(pd.read_csv(out / "history.csv")), out / "history.png")


def _summary(
    learn: Any, out: Path, exported: Mapping[str, Any], scores: Mapping[str, float], seconds: float
) -> dict[str, Any]:
    """What summary.json holds; epochs are counted from 1, as people do, not from 0 as fastai in history.csv."""
    data, state = json.loads((out / DATA).read_text()), json.loads((out / STATE).read_text())
    packages = ("torch", "fastai", "timm", "numpy")
    return {
        "recipe": learn.recipe.name,
        "backbone": learn.recipe.backbone,
        "lr": state["lr"],
        "epochs": state["epoch"] + 1,
        "best_epoch": state["best_epoch"] + 1 if "best_epoch" in state else None,
        **exported,
        "metrics": {name: round(float(value), 6) for name, value in scores.items()},
        "n_classes": data["n_classes"],
        "n_train": data["n_train"],
        "n_valid": data["n_valid"],
        "n_bad_files": len(learn.dls.plan.bad_files),
        "seconds": round(seconds, 1),
        "device": str(learn.dls.device),
        "versions": {
            "birdfast": __version__,
            "python": platform.python_version(),
            **{name: version(name) for name in packages},
        },
    }
