"""How long until something happens? Imports, `--help`, the first batch, a mistake in each verb; each in a fresh process.

    python benchmarks/startup.py FOLDER [OTHER]

FOLDER takes 64 sound files of 60 s and a bundle. OTHER is the checkout of another birdfast, measured in turn with this one.
Medians of RUNS, after one that is left out of count (cold disk).
"""

from __future__ import annotations

import os
import shlex
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from audio_set import recordings
from common import measure

RUNS = 3
FIRST_BATCH = """
import sys, pandas as pd
from birdfast import bird_dls
bird_dls(pd.read_csv(sys.argv[1]), device="cpu", num_workers=0).train.one_batch()
"""
IMPORTS = {
    "python alone": "pass",
    "import birdfast": "import birdfast",
    "import torch": "import torch",
    "import torch, timm": "import torch, timm",
    "import torch, timm, fastai.learner": "import torch, timm, fastai.learner",
    "import torch, timm, fastai.vision.all": "import torch, timm, fastai.vision.all",
    "from birdfast import bird_dls": "from birdfast import bird_dls",
    "from birdfast import Predictor": "from birdfast import Predictor",
}
HELP = ["--help", "train --help", "predict --help"]
# A path that is not there, then something else that is wrong, for each verb. {data}: csv of the sound files, {model}: a bundle.
MISTAKES = [
    "synth {data}",
    "synth {folder}/new --year 1999",
    "doctor {folder}/nowhere",
    "doctor {data} --recipe improvd",
    "train {folder}/nowhere",
    "train {data} --set mixup_alfa=1",
    "train {data} --recipe improvd",
    "train {data} --export bets",
    "train {data} --cache wavform",
    "folds {folder}/nowhere",
    "folds {data} --set mixup_alfa=1",
    "pseudo {folder}/nowhere",
    "pseudo {data} --set mixup_alfa=1",
    "cache {folder}/nowhere",
    "cache {data} --kind wavform",
    "evaluate {folder}/none.safetensors {data}",
    "evaluate {model} {folder}/nowhere",
    "evaluate {model} {model} {data} --blend means",
    "ladder {folder}/nowhere --out {folder}/ladder",
    "ladder {data} --out {folder}/ladder --rungs smal",
    "ladder {data} --out {folder}/ladder --score aucc",
    "predict {folder}/none.safetensors {folder}",
    "predict {model} {folder}/nowhere",
    "predict {model} {folder} --out {folder}/out --as ravne",
    "predict {model} {folder} --out {folder}/out --engine spark",
    "export {folder}/none.safetensors {folder}/birds.onnx",
    "export {model} {folder}/birds.pt",
    "budget {folder}/none.safetensors",
    "budget {model} --limit 0",
]


def make_model(file: Path) -> None:
    """A bundle that was never trained."""
    from birdfast import Bundle, LogMel, create_model, get_recipe, save_bundle

    recipe = get_recipe("small", weights="random")
    save_bundle(Bundle(create_model(recipe, 2).eval(), LogMel.from_recipe(recipe), ["a", "b"], recipe), file)


def seconds(words: list[str], package: Path, status: set[int]) -> float:
    """What one process took that finds birdfast in `package`."""
    began = time.perf_counter()
    how = {
        "cwd": package,
        "env": os.environ | {"PYTHONPATH": str(package)},
    }  # Python looks in the working directory first
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, **how)
    assert done.returncode in status, done.stderr
    return time.perf_counter() - began


def main(folder: Path, other: Path | None = None) -> None:
    """Measure each."""
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    places = {"folder": folder, "data": folder / "startup.csv", "model": folder / "birds.safetensors"}
    recordings(folder, 64).to_csv(places["data"], index=False)
    make_model(places["model"])
    words: dict[str, tuple[list[str], set[int]]] = {name: (["-c", code], {0}) for name, code in IMPORTS.items()}
    words |= {f"birdfast {text}": (["-m", "birdfast", *text.split()], {0}) for text in HELP}
    words["first batch"] = (["-c", FIRST_BATCH, str(places["data"])], {0})
    for text in MISTAKES:
        short = text.format(folder="FOLDER", data="DATA", model="MODEL")
        words[f"birdfast {short}"] = (["-m", "birdfast", *shlex.split(text.format(**places))], {1})
    packages = {"": Path(__file__).parent.parent} | ({} if other is None else {"before_": other.resolve()})

    def run(what: str) -> dict[str, Any]:
        taken: dict[str, list[float]] = {name: [] for name in packages}
        for _ in range(1 + RUNS):
            for name, package in packages.items():
                taken[name].append(seconds(words[what][0], package, words[what][1]))
        found = {}
        for name, each in taken.items():
            found |= {
                f"{name}seconds": round(statistics.median(each[1:]), 3),
                f"{name}slowest": round(max(each[1:]), 3),
            }
        return found

    typed = "python benchmarks/startup.py FOLDER" + " OTHER" * (other is not None)
    print(measure("startup", [{"what": name} for name in words], run, command=typed).to_string())


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
