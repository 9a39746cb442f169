"""The scripts in recipes/ as a person runs them: what each prints last, and how long it takes.

    python benchmarks/recipes.py <folder of mini_birdclef>

One seed, all folds where the script trains them; the ladders (benchmarks/ladder.py) compare recipes, with several seeds.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from common import measure

RECIPES = Path(__file__).parents[1] / "recipes"
SCRIPTS = {"baseline": [], "improved": [], "first_place": [], "pseudo_labels": ["--rounds", "1"]}
OPTIONS = ["--epochs", "10", "--batch-size", "16"]


def main(folder: str) -> None:
    """Run the scripts that have no row yet."""

    def run(variant: str) -> dict[str, object]:
        options, started = [*OPTIONS, *SCRIPTS[variant]], time.time()
        with tempfile.TemporaryDirectory() as out:
            words = [sys.executable, str(RECIPES / f"{variant}.py"), folder, "--out", out, *options]
            said = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True).stdout
        (score,) = re.findall(r"macro ROC-AUC of the test soundscapes: (\S+)", said)
        return {"options": " ".join(options), "roc_auc": float(score), "seconds": round(time.time() - started)}

    measure("recipes", [{"variant": script} for script in SCRIPTS], run, command="python benchmarks/recipes.py FOLDER")


if __name__ == "__main__":
    main(sys.argv[1])
