"""A head on BirdNET beside the recipes that learn birds from scratch: real recordings, paired seeds, each seed its own split.

    python benchmarks/heads.py mini FOLDER_OF_MINI_BIRDCLEF [variants: all unless named]
    python benchmarks/heads.py field FOLDER_OF_FIELD [variants]

A row a training: macro ROC-AUC of the test soundscapes, accuracy of the recordings held out and, of field, of its test
recordings. BirdNET may have been trained on the xeno-canto recordings among them; `unknown` is the ROC-AUC of the species
that it does not know. `noise` is the share of windows without a bird in which any class reaches 0.5.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from common import measure, spread

from birdfast import Predictor, bird_dls, bird_learner
from birdfast.embedders.load import shared_embedder
from birdfast.embedders.matching import match_species
from birdfast.evaluation.metrics import roc_auc
from birdfast.prediction.noise import noise_table
from birdfast.scoring.engines.load import load_engine
from birdfast.studies.scores import score_learner, soundscape_sides
from birdfast.training.progress import NoValidation

VIEWS = {
    "views": 2,
    "background": "soundscapes",
    "background_p": 1.0,
    "background_snr_low": -3.0,
    "background_snr_high": 20.0,
}
HEAD = {"recipe": "birdnet"}
CNN = {"epochs": 15, "batch_size": 16}
VARIANTS: dict[str, dict[str, Any]] = {
    "BirdNET as it is": {**HEAD, "epochs": 1, "lr": 1e-9},  # the start of the head, in the same windows
    "head": HEAD,
    "head from zero": {**HEAD, "start": "zero"},
    "head + labelled soundscapes": {**HEAD, "soundscape_share": 0.25},
    "head + views": {**HEAD, **VIEWS},
    "baseline": {"recipe": "baseline", **CNN},
    "small": {"recipe": "small", **CNN},
    "improved, lr=auto": {"recipe": "improved", "lr": "auto", **CNN},
    "first_place": {"recipe": "first_place", **CNN},
}


def main(data: str, folder: str, *variants: str) -> None:
    """Measure what is missing."""
    root = Path(folder)

    def run(data: str, variant: str, seed: int) -> dict[str, Any]:
        knobs = VARIANTS[variant]
        learn = bird_learner(bird_dls(root, seed=seed, **knobs, **_cached(knobs)))
        started = time.time()
        with learn.no_bar():
            learn.fit_recipe(cbs=[NoValidation()])
        seconds = time.time() - started
        with learn.no_bar(), learn.no_logging():
            scores = score_learner(learn)
            row = {name: scores[name] for name in ("soundscape_roc_auc", "accuracy")}
            row |= _unknown(learn) | _test_recordings(learn, root)
        noise = noise_table(load_engine(learn))
        return row | {
            "noise": float(np.average(noise["called"], weights=noise["windows"])),
            "seconds": round(seconds, 1),
        }

    keys = [{"data": data, "variant": name, "seed": seed} for name in (variants or VARIANTS) for seed in range(5)]
    table = measure("heads", keys, run, command="python benchmarks/heads.py NAME FOLDER")
    print(spread(table, ["data", "variant"], ["soundscape_roc_auc", "accuracy", "test_right", "noise", "seconds"]))


def _cached(knobs: dict[str, Any]) -> dict[str, Any]:
    return {"cache": "embedding" if knobs["recipe"] == "birdnet" else "waveform", "cache_dir": CACHE}


def _unknown(learn: Any) -> dict[str, float]:
    """ROC-AUC of the species that BirdNET does not know, in the test soundscapes."""
    source = learn.dls.plan.source
    found = match_species(source.classes, shared_embedder("birdnet"), source.taxonomy)
    strangers = [name for name, i in zip(source.classes, found.index) if i < 0]
    sides = soundscape_sides(learn)
    if not strangers or sides is None:
        return {"unknown": float("nan")}
    truth, scores = sides
    return {"unknown": roc_auc(truth[strangers].to_numpy(), scores[strangers].to_numpy())}


def _test_recordings(learn: Any, root: Path) -> dict[str, float]:
    """How many of field's test recordings are called right, by the mean of their windows."""
    if not (root / "test_recordings.csv").is_file():
        return {"test_right": float("nan"), "test_n": float("nan")}
    wanted = pd.read_csv(root / "test_recordings.csv")
    paths = [str((root / "test_audio" / name).absolute()) for name in wanted["filename"]]
    scores = Predictor(learn).predict(paths, progress=False).groupby("path").mean()
    right = scores.loc[paths].idxmax(axis=1).to_numpy() == wanted["primary_label"].to_numpy()
    return {"test_right": int(right.sum()), "test_n": len(right)}


if __name__ == "__main__":
    CACHE = Path(sys.argv[2]).resolve().name + "-cache"
    main(*sys.argv[1:])
