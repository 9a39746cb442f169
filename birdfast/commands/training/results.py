"""What a run leaves once it is trained: both exports, tables, plots and summary."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from birdfast import __version__
from birdfast.commands.shared.tables import save_plot, write_tables
from birdfast.errors import BirdfastError
from birdfast.notes import note
from birdfast.sources.source import Source
from birdfast.splits.run_files import BUNDLE, DATA, NOISE, PICKLE

STATE, SUMMARY = "state.json", "summary.json"


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
    bundle.extra |= _scientific_names(learn.dls.plan.source)
    targets, probabilities = learn.recording_scores()
    bundle.extra |= _fit_calibration(targets, probabilities, bundle.classes)
    save_bundle(bundle, out / BUNDLE)
    learn.export(PICKLE)
    _score_noise(bundle, out)
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


def _scientific_names(source: Source) -> dict[str, Any]:
    """Of the classes, where the taxonomy has them: by these a place's species are known."""
    taxonomy = source.taxonomy
    if taxonomy is None or "scientific_name" not in taxonomy:
        return {}
    named = taxonomy.dropna(subset=["scientific_name"]).set_index("primary_label")["scientific_name"]
    return {"scientific_names": {name: str(named[name]) for name in source.classes if name in named.index}}


def _fit_calibration(targets: np.ndarray, probabilities: np.ndarray, classes: list[str]) -> dict[str, Any]:
    """Thresholds and calibration for the bundle; nothing where validation holds a single class."""
    from birdfast.evaluation.calibration import fit_calibration

    try:
        return {"calibration": fit_calibration(targets, probabilities, classes).to_dict()}
    except BirdfastError as error:
        note(f"no thresholds and no calibration in {BUNDLE}: {error}")
        return {}


def _score_noise(bundle: Any, out: Path) -> None:
    """What the model calls where no bird sings, above its thresholds: noise.csv, and a line."""
    from birdfast.evaluation.calibration import Calibration
    from birdfast.prediction.noise import noise_line, noise_table
    from birdfast.scoring.engines.load import load_engine

    stored = bundle.extra.get("calibration")
    limits: dict[str, float] = {}
    if stored:
        fitted = Calibration.from_dict(stored).threshold("f1", bundle.classes)
        limits = dict(zip(bundle.classes, map(float, fitted), strict=True))
    table = noise_table(load_engine(bundle), limits)
    table.to_csv(out / NOISE, index=False)
    note(noise_line(table))


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
