"""The ladder: is each step worth it on your data? Recipes side by side, the same splits and seeds for all.

    python recipes/ladder.py [DATA] [--out runs/ladder] [--seeds 3]

DATA is a BirdCLEF folder of any year, a folder per species or a csv; without it a small synthetic BirdCLEF is made in data/synth.
Each rung is trained once a seed and scored after its last epoch; a finished row is kept and not run again, so stop and go on as
you like. A gain counts where its mean is more than twice its standard error. At the shell: `birdfast ladder`.

Expected (written by benchmarks/table.py from benchmarks/results):
<!-- figures: ladder -->
- mini BirdCLEF (real): 183 trainings, 25 s each (x86_64 cpu, 1 threads)
- 60 synthetic species: 135 trainings, 4 min each (x86_64 cpu, 1 threads)
- 206 synthetic species: 19 trainings, 7 min each (x86_64 cpu, 2 threads)
- gains: docs/remedies.md
<!-- end of figures -->
"""

import argparse
from pathlib import Path

from birdfast import RECIPES, RUNGS, Rung, ablation, ladder, synth

# ---- Setup

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("data", nargs="?", help="BirdCLEF folder, folder per species or csv; a synthetic one unless given")
parser.add_argument("--out", type=Path, default=Path("runs/ladder"))
parser.add_argument("--seeds", type=int, default=3, help="trainings of each rung; two are the least that tell a spread")
parser.add_argument(
    "--ablate", choices=list(RECIPES), help="in place of the rungs: this recipe less one technique each"
)
parser.add_argument("--epochs", type=int, default=12)
parser.add_argument("--batch-size", type=int, default=16, help="of hundreds of recordings; 64 suits tens of thousands")
parser.add_argument("--backbone", default="tf_efficientnet_lite0", help="any CNN of timm; lite0 trains on a CPU")
parser.add_argument("--weights", default="pretrained", help="pretrained, random or a checkpoint")

# The rungs: what birdfast knows by name, and one of your own. A rung is a recipe, its changes, and what it is compared with.
MINE = Rung(
    name="longer masks", adds="time masks twice as wide", recipe="small", changes={"time_mask_width": 40}, over="small"
)
RUNGS_TO_CLIMB = [RUNGS["baseline"], RUNGS["improved"], RUNGS["improved, lr=auto"], RUNGS["small"], MINE]


def main(asked: argparse.Namespace) -> None:
    """Measure what is missing, then compare."""

    # ---- Data: one source for all rungs

    data = asked.data or synth("data/synth", n_classes=20, n_recordings=300)

    # ---- Model and training: a row a training, appended to out/ladder.csv as it ends

    knobs = {name: getattr(asked, name) for name in ("epochs", "batch_size", "backbone", "weights")}
    rungs = ablation(asked.ablate, **knobs) if asked.ablate else RUNGS_TO_CLIMB
    measured = ladder(data, rungs, asked.out, seeds=asked.seeds, **knobs)

    # ---- Evaluation: gains over paired seeds, and what they cost in time

    print(measured)
    print(measured.table["verdict"])

    # ---- Results: table.csv, ladder.md and ladder.png beside the rows

    print(f"everything is in {measured.write()}")


if __name__ == "__main__":
    main(parser.parse_args())
