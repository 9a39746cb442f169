"""A miniature BirdCLEF of real recordings: macro ROC-AUC against solution.csv, three seeds.

    python benchmarks/mini_birdclef.py <folder of mini_birdclef>

Every recording but the held-out fold trains; the test soundscapes are scored once, after the last epoch.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import pandas as pd
from common import VARIANTS, measure, spread, train

from birdfast import Predictor
from birdfast.evaluation.metrics import cmap, roc_auc

EPOCHS = 10


def submit(learn, folder: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The truth of the test soundscapes of `folder`, and the probabilities handed in, with the same rows and columns."""
    with tempfile.TemporaryDirectory() as out:
        submission = (
            Predictor(learn)
            .submission(
                folder / "test_soundscapes",
                folder / "sample_submission.csv",
                out=Path(out) / "submission.csv",
                progress=False,
            )
            .set_index("row_id")
        )
    truth = pd.read_csv(folder / "solution.csv").set_index("row_id")
    return truth.loc[submission.index, submission.columns], submission


def score(truth: pd.DataFrame, submission: pd.DataFrame) -> dict[str, float]:
    """Macro ROC-AUC and cmAP."""
    targets, probabilities = truth.to_numpy(), submission.to_numpy()
    return {"roc_auc": roc_auc(targets, probabilities), "cmap": cmap(targets, probabilities)}


def main(folder: str) -> None:
    """Measure every recipe with every seed."""

    def run(variant: str, seed: int) -> dict[str, float]:
        learn = train(folder, seed=seed, epochs=EPOCHS, **VARIANTS[variant])
        return {
            "epochs": EPOCHS,
            **score(*submit(learn, Path(folder))),
            "lr": learn.lr_used,
            "seconds": round(learn.seconds),
        }

    keys = [{"variant": variant, "seed": seed} for seed in range(3) for variant in VARIANTS]
    table = measure("mini_birdclef", keys, run, command="python benchmarks/mini_birdclef.py MINI_BIRDCLEF_FOLDER")
    print(spread(table, ["variant"], ["roc_auc", "cmap"]))


if __name__ == "__main__":
    main(sys.argv[1])
