"""206 long-tailed synthetic species: baseline against improved at equal epochs, and who wins on the rare third.

    python benchmarks/synth206.py <empty folder for the data>

Scores are those of held-out recordists and of the test soundscapes; "rare" is the third of the classes with the
fewest training recordings.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from common import VARIANTS, measure, spread, train

from birdfast import synth
from birdfast.studies.scores import score_learner

EPOCHS = 15  # as the notebook that failed; some 600 steps here


def main(folder: str) -> None:
    """Synthesise, then measure every recipe."""
    data = Path(folder)
    if not (data / "synth.json").exists():
        synth(data, n_classes=206, n_recordings=800, n_labelled=2, n_unlabelled=0, n_test=24, seed=0)

    def run(variant: str, seed: int) -> dict[str, float]:
        learn = train(data, seed=seed, epochs=EPOCHS, **VARIANTS[variant])
        return {"epochs": EPOCHS, **score_learner(learn), "lr": learn.lr_used, "seconds": round(learn.seconds)}

    seeds = range(3 if torch.cuda.is_available() else 1)
    keys = [{"variant": variant, "seed": seed} for seed in seeds for variant in VARIANTS]
    table = measure("synth206", keys, run, command="python benchmarks/synth206.py FOLDER")
    print(
        spread(
            table,
            ["variant"],
            ["accuracy", "roc_auc", "rare_accuracy", "soundscape_roc_auc", "rare_soundscape_roc_auc"],
        )
    )


if __name__ == "__main__":
    main(sys.argv[1])
