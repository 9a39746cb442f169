"""A miniature BirdCLEF of real recordings: macro ROC-AUC against solution.csv, three seeds.

    python benchmarks/mini_birdclef.py <folder of mini_birdclef>

Every recording but the held-out fold trains; the test soundscapes are scored once, after the last epoch.
"""

from __future__ import annotations

import sys

from common import VARIANTS, measure, spread, train

from birdfast.evaluation.metrics import cmap, roc_auc
from birdfast.studies.scores import soundscape_sides

EPOCHS = 10


def main(folder: str) -> None:
    """Measure every recipe with every seed."""

    def run(variant: str, seed: int) -> dict[str, float]:
        learn = train(folder, seed=seed, epochs=EPOCHS, **VARIANTS[variant])
        truth, probabilities = (side.to_numpy() for side in soundscape_sides(learn))
        return {
            "epochs": EPOCHS,
            "roc_auc": roc_auc(truth, probabilities),
            "cmap": cmap(truth, probabilities),
            "lr": learn.lr_used,
            "seconds": round(learn.seconds),
        }

    keys = [{"variant": variant, "seed": seed} for seed in range(3) for variant in VARIANTS]
    table = measure("mini_birdclef", keys, run, command="python benchmarks/mini_birdclef.py MINI_BIRDCLEF_FOLDER")
    print(spread(table, ["variant"], ["roc_auc", "cmap"]))


if __name__ == "__main__":
    main(sys.argv[1])
