"""ESC-10: accuracy of baseline and improved on the five official folds, 10 epochs from ImageNet weights.

    python benchmarks/esc10.py <folder of esc10>

The figures are the last epoch's: no epoch is picked on the fold it is scored on.
"""

from __future__ import annotations

import sys
from pathlib import Path

from common import VARIANTS, measure, spread, train

EPOCHS = 10


def main(folder: str) -> None:
    """Measure every recipe on every fold."""

    def run(variant: str, fold: int) -> dict[str, float]:
        learn = train(Path(folder) / "metadata.csv", fold=fold, epochs=EPOCHS, **VARIANTS[variant])
        with learn.no_bar():
            scores = learn.scores()
        return {
            "epochs": EPOCHS,
            "accuracy": scores["accuracy"],
            "roc_auc": scores["roc_auc"],
            "lr": learn.lr_used,
            "seconds": round(learn.seconds),
        }

    order = ["improved, lr=auto", "baseline", "improved"]
    keys = [{"variant": variant, "fold": fold} for variant in order for fold in range(5)]
    table = measure("esc10", keys, run, command="python benchmarks/esc10.py ESC10_FOLDER")
    print(spread(table, ["variant"], ["accuracy", "seconds"]))


if __name__ == "__main__":
    main(sys.argv[1])
