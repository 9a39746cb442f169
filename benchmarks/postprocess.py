"""What do the switches of prediction gain? Macro ROC-AUC and cmAP of the test soundscapes, by model and switch.

    python benchmarks/postprocess.py FOLDER MODEL...

FOLDER is a BirdCLEF folder with a sample submission and its solution.csv, MODEL the bundles of trainings on it that are
alike but for their seed; several are also scored together.
"""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd
from common import measure

from birdfast import Predictor, cmap, roc_auc
from birdfast.prediction.postprocess import KERNEL, PostProcess

SWITCHES = {
    "none": PostProcess(),
    "shift 2.5": PostProcess(shift=2.5),
    "smooth": PostProcess(smooth=KERNEL),
    "file top 1": PostProcess(file_top=1),
    "shift 2.5, smooth": PostProcess(shift=2.5, smooth=KERNEL),
    "shift 2.5, file top 1": PostProcess(shift=2.5, file_top=1),
}


def main(folder: Path, models: list[str]) -> None:
    """Score each model, and all of them together, with each switch."""
    truth = pd.read_csv(folder / "solution.csv", dtype={"row_id": str}).set_index("row_id")
    named: dict[str, Any] = {str(number): model for number, model in enumerate(models)}
    if len(models) > 1:
        named["together"] = models

    def run(data: str, model: str, switch: str) -> dict[str, float]:
        with TemporaryDirectory() as out:
            table = Predictor(named[model]).submission(
                folder / "test_soundscapes", folder / "sample_submission.csv", out=Path(out) / "submission.csv",
                post=SWITCHES[switch], progress=False,
            ).set_index("row_id")  # fmt: skip
        sides = truth.loc[table.index, table.columns].to_numpy(), table.to_numpy()
        return {"roc_auc": round(roc_auc(*sides), 4), "cmap": round(cmap(*sides), 4)}

    keys = [{"data": folder.name, "model": model, "switch": switch} for model in named for switch in SWITCHES]
    table = measure("postprocess", keys, run, command="python benchmarks/postprocess.py FOLDER MODEL...")
    scores = table[table["data"] == folder.name].pivot_table("roc_auc", "switch", "model", sort=False)
    print(scores.sub(scores.loc["none"]).assign(mean=lambda t: t.mean(axis=1)).round(4))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
