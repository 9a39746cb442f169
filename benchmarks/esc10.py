"""ESC-10: accuracy of each recipe on the five official folds, 10 epochs from ImageNet weights; and of three models together.

    python benchmarks/esc10.py <folder of esc10> [variants: all unless named]

The figures are the last epoch's: no epoch is picked on the fold it is scored on.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

import ladder
import numpy as np
import pandas as pd
import soundfile
from common import BATCH, VARIANTS, measure, spread, train

from birdfast import RUNGS, get_recipe, read_clip
from birdfast.evaluation.metrics import accuracy, roc_auc

EPOCHS = 10
OVER_SMALL = {
    rung.name: {"recipe": "small", **rung.changes, **BATCH} for rung in (RUNGS["small + min-max"], *ladder.LARGER)
}
SMALL, MIN_MAX = VARIANTS["small"], OVER_SMALL["small + min-max"]
FINER = {"n_fft": 1024, "win_length": 1024, "hop_length": 320}  # in time
TOGETHER = {
    "small, 3 seeds together": [{**SMALL, "seed": n} for n in range(3)],
    "small, 3 spectrograms together": [SMALL, MIN_MAX, {**MIN_MAX, **FINER}],
}
# A head on BirdNET, alone and with a CNN beside it: the mean of their probabilities.
HEAD = {"recipe": "birdnet", "epochs": 40}
TOGETHER["head"] = [HEAD]
TOGETHER["head + small"] = [HEAD, SMALL]
# The same once more, with another number of threads, whose sums are rounded otherwise: how large chance is.
TOGETHER["small, 3 spectrograms together, again"] = TOGETHER["small, 3 spectrograms together"]


def resampled(folder: Path, out: Path) -> Path:
    """A copy of the data at the recipe's rate, so that a hundred epochs do not resample each clip a hundred times."""
    metadata = pd.read_csv(folder / "metadata.csv")
    rate = get_recipe("improved").sample_rate
    for name in metadata["filename"]:
        path = (out / name).with_suffix(".wav")
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, read_clip(folder / name, sample_rate=rate), rate, subtype="FLOAT")
    metadata.assign(filename=metadata["filename"].str.replace(".ogg", ".wav")).to_csv(out / "metadata.csv", index=False)
    return out / "metadata.csv"


def main(folder: str, *variants: str) -> None:
    """Measure every recipe, or those named, on every fold."""
    known = {**VARIANTS, **OVER_SMALL}
    with tempfile.TemporaryDirectory() as out:
        source = resampled(Path(folder), Path(out))

        def together(fold: int, members: list[dict[str, Any]]) -> dict[str, float]:
            learns = [train(source, fold=fold, **({"epochs": EPOCHS} | member)) for member in members]
            sides = [learn.recording_scores() for learn in learns]
            targets, mean = sides[0][0], np.mean([probabilities for _, probabilities in sides], axis=0)
            chosen = {"accuracy": accuracy(targets, mean), "roc_auc": roc_auc(targets, mean)}
            return {"epochs": EPOCHS, **chosen, "seconds": round(sum(learn.seconds for learn in learns))}

        def run(variant: str, fold: int) -> dict[str, float]:
            if variant in TOGETHER:
                return together(fold, TOGETHER[variant])
            learn = train(source, fold=fold, epochs=EPOCHS, **known[variant])
            with learn.no_bar():
                scores = learn.scores()
            chosen = {name: scores[name] for name in ("accuracy", "roc_auc")}
            return {"epochs": EPOCHS, **chosen, "lr": learn.lr_used, "seconds": round(learn.seconds)}

        wanted = variants or [*known, *TOGETHER]
        keys = [{"variant": variant, "fold": fold} for variant in wanted for fold in range(5)]
        table = measure("esc10", keys, run, command="python benchmarks/esc10.py ESC10_FOLDER")
        print(spread(table, ["variant"], ["accuracy", "seconds"]))


if __name__ == "__main__":
    main(*sys.argv[1:])
