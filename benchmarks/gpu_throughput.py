"""How many clips a second does training make on a GPU? B0, bf16, batch 128, from each source, against the model alone.

    python benchmarks/gpu_throughput.py FOLDER [STEPS] [WORKERS]

Skips itself without a GPU. FOLDER takes 512 Ogg files of 60 s and their caches (4 GB). Also extrapolates to 28,000
recordings for 10 epochs, and counts in the profile of ten steps how often Python waited for the device.
Goal: 0.95 of the model alone from the waveform cache.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch
from audio_set import recordings
from common import measure
from throughput import Stopwatch, learner_speed, model_speed

from birdfast import RECIPES, bird_dls, bird_learner

RECIPE = RECIPES["improved"].with_(backbone="tf_efficientnet_b0", weights="random", batch_size=128)
WARMUP = 20


def waits(learn: Any) -> int:
    """Waits for the device in ten steps of the training, by the profiler."""
    from torch.profiler import ProfilerActivity, profile

    with learn.no_bar(), learn.no_logging(), profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as found:
        learn.fit(1, 1e-3, cbs=[Stopwatch(0, 10)])
    print(found.key_averages().table(sort_by="self_cuda_time_total", row_limit=15))
    names = ("cudaStreamSynchronize", "cudaDeviceSynchronize", "aten::_local_scalar_dense")
    return sum(row.count for row in found.key_averages() if row.key in names)


def main(folder: Path, steps: int, workers: int) -> None:
    """Measure each source."""
    if not torch.cuda.is_available():
        print("no GPU here: nothing to measure")
        return
    table = recordings(folder, 512).assign(author=lambda t: [f"recordist{i}" for i in range(len(t))])

    def run(way: str, compiled: bool) -> dict[str, Any]:
        cache = {"waveform cache": "waveform", "spectrogram cache": "spectrogram"}.get(way)
        dls = bird_dls(table, RECIPE, num_workers=workers, cache=cache, cache_dir=folder / "cache")
        learn = bird_learner(dls, compile=compiled)
        if way == "model alone":
            return model_speed(learn, warmup=WARMUP, steps=steps)
        speed = learner_speed(learn, warmup=WARMUP, steps=steps)
        minutes = round(28_000 * 10 / speed["clips_s"] / 60, 1)
        return speed | {"minutes_for_28000_x_10": minutes, "waits_in_10_steps": waits(learn), "workers": workers}

    ways = ("model alone", "spectrogram cache", "waveform cache", "files")
    keys = [{"way": way, "compiled": compiled} for compiled in (False, True) for way in ways]
    print(measure("gpu_throughput", keys, run, command="python benchmarks/gpu_throughput.py FOLDER"))


if __name__ == "__main__":
    numbers = [int(n) for n in sys.argv[2:]]
    main(Path(sys.argv[1]), *(numbers + [100, 12][len(numbers) :]))
