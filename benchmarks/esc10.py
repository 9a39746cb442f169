"""ESC-10: accuracy of baseline and improved on the five official folds, 10 epochs from ImageNet weights.

    python benchmarks/esc10.py <folder of esc10>

The figures are the last epoch's: no epoch is picked on the fold it is scored on.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import pandas as pd
import soundfile
from common import VARIANTS, measure, spread, train

from birdfast import get_recipe, read_clip

EPOCHS = 10


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


def main(folder: str) -> None:
    """Measure every recipe on every fold."""
    with tempfile.TemporaryDirectory() as out:
        source = resampled(Path(folder), Path(out))

        def run(variant: str, fold: int) -> dict[str, float]:
            learn = train(source, fold=fold, epochs=EPOCHS, **VARIANTS[variant])
            with learn.no_bar():
                scores = learn.scores()
            chosen = {name: scores[name] for name in ("accuracy", "roc_auc")}
            return {"epochs": EPOCHS, **chosen, "lr": learn.lr_used, "seconds": round(learn.seconds)}

        keys = [{"variant": variant, "fold": fold} for variant in VARIANTS for fold in range(5)]
        table = measure("esc10", keys, run, command="python benchmarks/esc10.py ESC10_FOLDER")
        print(spread(table, ["variant"], ["accuracy", "seconds"]))


if __name__ == "__main__":
    main(sys.argv[1])
