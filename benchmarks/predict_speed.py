"""Prediction from Ogg files: recording-hours a minute in each engine, where the time goes, and do the engines agree.

    python benchmarks/predict_speed.py BUNDLE MINI_BIRDCLEF_FOLDER [--minutes 60] [--opensoundscape PYTHON]

The test soundscapes are predicted over and over until `minutes` of sound are reached, on all cores. `ratio` is the
windows a second from files over those of PyTorch's model alone on spectrograms that lie ready, channels-last and with
memory kept; `ratio_to_folded` over those with its batch norms folded, too. Shares are of processor time on one thread.
`roc_auc` is that of the submission. OpenSoundscape needs torch 2.11 and an environment of its own, with timm: name its
python, else that row is left out.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from common import measure
from torch import nn

from birdfast import Bundle, Predictor, load_bundle, read_clip, roc_auc
from birdfast.models.batch_memory import keep_batch_memory
from birdfast.scoring.bundle import clone
from birdfast.scoring.engines.load import KINDS, load_engine
from birdfast.scoring.engines.torch import fold_batch_norm

ENGINES = ["PyTorch", "ONNX Runtime", "OpenVINO"]
BATCH = 32

OPENSOUNDSCAPE = """
import json, sys, time, torch, timm
from opensoundscape import CNN
files, backbone, n = json.loads(sys.argv[1]), sys.argv[2], int(sys.argv[3])
net = timm.create_model(backbone, num_classes=n, in_chans=3)
net.classifier_layer = "classifier"
model = CNN(architecture=net, classes=[str(i) for i in range(n)], sample_duration=5, sample_rate=32000)
model.device = "cpu"
model.predict(files[:1], batch_size=32, num_workers=2)
started = time.perf_counter()
scores = model.predict(files, batch_size=32, num_workers=2)
print(json.dumps({"windows": len(scores), "seconds": time.perf_counter() - started}))
"""


def made(engine: str, bundle: Any, folder: Path) -> Any:
    """What a Predictor takes for that engine."""
    if engine == "PyTorch":
        return bundle
    suffix, write = next((suffix, kind.write) for suffix, kind in KINDS.items() if kind.what == engine and kind.write)
    return write(bundle, folder / f"model{suffix}")


def seconds(call: Callable[[], Any], clock: Callable[[], float], rounds: int = 5) -> float:
    """The median of several rounds, after one that warms up."""
    call()
    spent = []
    for _ in range(rounds):
        started = clock()
        call()
        spent.append(clock() - started)
    return statistics.median(spent)


def models_alone(bundle: Any, sound: np.ndarray) -> dict[str, float]:
    """Windows a second of the model on ready spectrograms, on all cores: as it was trained, and with batch norms folded."""
    logmel, model = clone(bundle).to(memory_format=torch.channels_last)
    keep_batch_memory()
    with torch.inference_mode():
        ready = logmel(torch.from_numpy(sound)[:, None]).contiguous(memory_format=torch.channels_last)
        nets = {"model_alone_per_s": model, "folded_alone_per_s": fold_batch_norm(model, ready)}
        spent = {name: seconds(partial(net, ready), time.perf_counter, rounds=30) for name, net in nets.items()}
    return {name: round(len(sound) / each, 1) for name, each in spent.items()}


def shares(engine: str, bundle: Any, folder: Path, file: str, sound: np.ndarray) -> dict[str, float]:
    """Milliseconds of processor time a window on one thread, and their shares."""
    threads, kept = torch.get_num_threads(), os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)
    front = Bundle(nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()), bundle.logmel, bundle.classes, bundle.recipe)
    whole, spectrogram = load_engine(made(engine, bundle, folder)), load_engine(made(engine, front, folder))
    n, rate = len(sound), bundle.recipe.sample_rate
    windows = read_clip(file, sample_rate=rate).size / bundle.recipe.n_samples
    spent = {
        "decode_ms": seconds(lambda: read_clip(file, sample_rate=rate), time.process_time) / windows,
        "spectrogram_ms": seconds(lambda: spectrogram.run(sound), time.process_time) / n,
        "model_ms": seconds(lambda: whole.run(sound), time.process_time) / n,
    }
    spent["model_ms"] -= spent["spectrogram_ms"]
    torch.set_num_threads(threads)
    os.environ.pop("OMP_NUM_THREADS") if kept is None else os.environ.update(OMP_NUM_THREADS=kept)
    total = sum(spent.values())
    found = {name: round(1000 * value, 2) for name, value in spent.items()}
    return found | {name.replace("_ms", "_share"): round(value / total, 3) for name, value in spent.items()}


def macro_auc(model: Any, data: Path) -> float:
    """Of the submission for the test soundscapes."""
    with tempfile.TemporaryDirectory() as out:
        places = data / "test_soundscapes", data / "sample_submission.csv", Path(out) / "submission.csv"
        table = Predictor(model).submission(*places, progress=False).set_index("row_id")
    truth = pd.read_csv(data / "solution.csv").set_index("row_id").loc[table.index, table.columns]
    return roc_auc(truth.to_numpy(), table.to_numpy())


def opensoundscape(python: str, files: list[str], bundle: Any) -> float:
    """Its windows a second, with the same backbone on the same files."""
    words = [python, "-c", OPENSOUNDSCAPE, json.dumps(files), bundle.recipe.backbone, str(len(bundle.classes))]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"OpenSoundscape failed:\n{done.stderr[-2000:]}")
    result = json.loads(done.stdout.strip().splitlines()[-1])
    return result["windows"] / result["seconds"]


def main() -> None:
    """A row an engine, and one of OpenSoundscape."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--opensoundscape", metavar="PYTHON")
    given = parser.parse_args()
    bundle = load_bundle(given.bundle)
    ogg = sorted((given.folder / "test_soundscapes").glob("*.ogg"))

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        # The same sound under many names: a Predictor reads each path once.
        files = [folder / f"{i}.ogg" for i in range(max(1, round(given.minutes)))]
        for link, file in zip(files, islice(cycle(ogg), len(files)), strict=True):
            link.symlink_to(file.absolute())
        paths = [str(file) for file in files]
        rate, size = bundle.recipe.sample_rate, bundle.recipe.n_samples
        cut = (read_clip(file, sample_rate=rate) for file in ogg)
        sound = np.concatenate([clip[: len(clip) // size * size].reshape(-1, size) for clip in cut])[:BATCH]
        alone = models_alone(bundle, sound)
        hours = bundle.recipe.scored / 60  # recording-hours a minute of one window a second

        def run(engine: str, minutes: float) -> dict[str, float]:
            if engine == "OpenSoundscape":
                rate = opensoundscape(given.opensoundscape, paths, bundle)
                return {"windows_per_s": round(rate, 1), "hours_per_minute": round(rate * hours, 3)}
            model = made(engine, bundle, folder)
            predictor = Predictor(model)
            predictor.predict(paths[:4], progress=False)
            started = time.perf_counter()
            n = len(predictor.predict(paths, progress=False))
            rate = n / (time.perf_counter() - started)
            figures = {"windows_per_s": round(rate, 1), "hours_per_minute": round(rate * hours, 3)}
            figures |= alone | {"ratio": round(rate / alone["model_alone_per_s"], 3)}
            figures |= {"ratio_to_folded": round(rate / alone["folded_alone_per_s"], 3)}
            figures |= shares(engine, bundle, folder, paths[0], sound)
            return figures | {"roc_auc": macro_auc(made(engine, bundle, folder), given.folder)}

        engines = [*ENGINES, *(["OpenSoundscape"] if given.opensoundscape else [])]
        if not given.opensoundscape:
            print("OpenSoundscape is not measured: name the python of its environment with --opensoundscape")
        keys = [{"engine": engine, "minutes": given.minutes} for engine in engines]
        command = f"python benchmarks/predict_speed.py BUNDLE MINI_BIRDCLEF_FOLDER --minutes {given.minutes:g}"
        table = measure("predict_speed", keys, run, command=command)
    found = table.loc[table["roc_auc"].notna(), "roc_auc"]
    print(f"macro ROC-AUC differs by {found.max() - found.min():.1e} between the engines")


if __name__ == "__main__":
    main()
