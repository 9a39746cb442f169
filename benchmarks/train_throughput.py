"""How many clips a second does training make on a CPU? From Ogg files of 60 s, from the caches, and the model alone.

    python benchmarks/train_throughput.py FOLDER [STEPS] [OTHER_PYTHON]

FOLDER takes 128 Ogg files (60 s, 32 kHz) and their caches, 1 GB. STEPS of 32 clips are timed after three that are not.
OTHER_PYTHON is the interpreter of an environment with OpenSoundscape; without it that row is left out.
Goals: 0.95 of the model alone from the spectrogram cache, 0.90 from the waveform cache, 0.80 from the files.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
from audio_set import recordings
from common import measure
from throughput import learner_speed, model_speed

from birdfast import RECIPES, bird_dls, bird_learner

BACKBONES = ("tf_efficientnet_lite0", "tf_efficientnet_b0")
WAYS = ("model alone", "spectrogram cache", "waveform cache", "files", "plain fastai with librosa")
WARMUP, BATCH = 3, 32


def learner(table: pd.DataFrame, folder: Path, backbone: str, cache: str | None, workers: int) -> Any:
    """A birdfast learner on the table, random weights: they cost the same."""
    recipe = RECIPES["improved"].with_(backbone=backbone, weights="random", batch_size=BATCH)
    dls = bird_dls(table, recipe, device="cpu", num_workers=workers, cache=cache, cache_dir=folder / "cache")
    return bird_learner(dls)


def plain_learner(table: pd.DataFrame, backbone: str) -> Any:
    """What a notebook would write: librosa in get_x, a timm model, fastai's defaults."""
    import librosa
    import numpy as np
    import timm
    import torch
    from fastai.vision.all import CategoryBlock, ColReader, DataBlock, Learner, TensorImageBW, TransformBlock

    def spectrogram(row):  # fasttransform looks types up in the module: none here
        start = np.random.uniform(0, 55)
        wave, rate = librosa.load(row["path"], sr=32_000, offset=start, duration=5)
        mel = librosa.power_to_db(
            librosa.feature.melspectrogram(y=wave, sr=rate, n_fft=2048, hop_length=512, n_mels=128)
        )
        return TensorImageBW(torch.from_numpy((mel - mel.mean()) / mel.std())[None].float())

    block = DataBlock((TransformBlock, CategoryBlock), get_x=spectrogram, get_y=ColReader("primary_label"))
    dls = block.dataloaders(table, bs=BATCH, num_workers=0)
    return Learner(dls, timm.create_model(backbone, in_chans=1, num_classes=dls.c))


# OpenSoundscape's defaults but for the backbone: 224 x 224 x 3, its own augmentations. Prints seconds of two training lengths.
OPENSOUNDSCAPE = """
import json, sys, time, warnings
warnings.simplefilter("ignore")
import pandas as pd, timm
from opensoundscape import CNN
table, backbone, steps, batch = pd.read_csv(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
classes = sorted(table["primary_label"].unique())
names = ["file", "start_time", "end_time"]
index = pd.MultiIndex.from_arrays([table["path"], [10.0] * len(table), [15.0] * len(table)], names=names)
labels = pd.get_dummies(table["primary_label"]).set_index(index)[classes].astype(int)
def seconds(n):
    net = timm.create_model(backbone, num_classes=len(classes))
    model = CNN(net, classes=classes, sample_duration=5.0, sample_rate=32000)
    began = time.time()
    options = dict(log_interval=10**6, validation_interval=10**6, reload_best_at_end=False)
    model.train(labels, labels[:2], steps=n, batch_size=batch, num_workers=0, save_path=sys.argv[5], **options)
    return time.time() - began
short, long = seconds(2), seconds(2 + steps)
print(json.dumps({"clips_s": round(steps * batch / (long - short), 2), "steps": steps}))
"""


def opensoundscape(python: str, table: pd.DataFrame, folder: Path, backbone: str, steps: int) -> dict[str, Any]:
    """Clips a second by the other environment's OpenSoundscape."""
    table.to_csv(folder / "table.csv", index=False)
    words = [python, "-c", OPENSOUNDSCAPE, str(folder / "table.csv"), backbone, str(steps), str(BATCH), str(folder)]
    result = subprocess.run(words, capture_output=True, text=True)
    if result.returncode:
        print(f"OpenSoundscape failed: {result.stderr.strip().splitlines()[-1]}")
        return {"clips_s": float("nan"), "steps": 0}
    return json.loads(result.stdout.strip().splitlines()[-1])


def main(folder: Path, steps: int, other: str | None) -> None:
    """Measure each way with each backbone."""
    table = recordings(folder, 128).assign(author=lambda t: [f"recordist{i}" for i in range(len(t))])

    def run(way: str, backbone: str, workers: int) -> dict[str, Any]:
        if way == "OpenSoundscape":
            return opensoundscape(str(other), table, folder, backbone, steps)
        if way == "plain fastai with librosa":
            return learner_speed(plain_learner(table, backbone), warmup=WARMUP, steps=steps)
        cache = {"waveform cache": "waveform", "spectrogram cache": "spectrogram"}.get(way)
        learn = learner(table, folder, backbone, cache, workers)
        return (model_speed if way == "model alone" else learner_speed)(learn, warmup=WARMUP, steps=steps)

    ways = [*WAYS, "OpenSoundscape"] if other else WAYS
    if not other:
        print("OpenSoundscape is left out: name the python of an environment that holds it")
    keys = [{"way": way, "backbone": backbone, "workers": 0} for backbone in BACKBONES for way in ways]
    keys += [{"way": "files", "backbone": backbone, "workers": 1} for backbone in BACKBONES]
    found = measure(
        "train_throughput", keys, run, command="python benchmarks/train_throughput.py FOLDER STEPS OTHER_PYTHON"
    )
    print(found.pivot_table("clips_s", ["way", "workers"], "backbone", sort=False).to_string())


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 20, sys.argv[3] if len(sys.argv) > 3 else None)
