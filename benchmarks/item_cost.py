"""What does it cost to read a random clip of 5 s? From files of 60 and 600 s, and from the cache; against decoding it all.

    python benchmarks/item_cost.py FOLDER [REPEATS]

FOLDER takes the sound files and the caches (0.3 GB). Files of 32 kHz are not resampled; those of 44.1 kHz are.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from audio_set import sound, write
from common import measure

from birdfast import RECIPES, read_clip
from birdfast.audio.cache import cache_waveforms
from birdfast.audio.read import read_headers
from birdfast.training.cached import ReadLevels, ReadPcm, cache_spectrograms

DURATION = 5.0
SUFFIXES = (".ogg", ".mp3", ".flac", ".wav")
RECIPE = RECIPES["improved"]


def readers(file: Path, folder: Path) -> dict[str, Callable[[float], Any]]:
    """Each way to a clip, as a function of its start."""
    table = read_headers([file])
    pcm = ReadPcm(RECIPE, cache_waveforms(table, folder / "cache", sample_rate=RECIPE.sample_rate, progress=False))
    levels = ReadLevels(RECIPE, cache_spectrograms(table, RECIPE, folder / "cache", progress=False))
    return {
        "birdfast, from the file": lambda start: read_clip(file, start_time=start, duration=DURATION),
        "birdfast, waveform cache": lambda start: pcm.read(str(file), start, DURATION),
        "birdfast, spectrogram cache": lambda start: levels.read(str(file), start, DURATION),
        "librosa.load": lambda start: _librosa(file, start),
        "soundfile, the whole file": lambda start: soundfile.read(file),
    }


def _librosa(file: Path, start: float) -> np.ndarray:
    import librosa

    return librosa.load(file, sr=RECIPE.sample_rate, offset=start, duration=DURATION)[0]


def main(folder: Path, repeats: int) -> None:
    """Measure every way from every kind of file."""

    def run(way: str, suffix: str, seconds: int, rate: int) -> dict[str, Any]:
        file = write(folder / f"{seconds}s-{rate}{suffix}", sound(seconds, 0, rate), rate)
        read = readers(file, folder)[way]
        starts = np.random.default_rng(0).uniform(0, seconds - DURATION, repeats)
        read(starts[0])
        taken = []
        for start in starts:
            began = time.perf_counter()
            read(float(start))
            taken.append(1e3 * (time.perf_counter() - began))
        return {
            "ms": round(float(np.median(taken)), 3),
            "ms_90": round(float(np.quantile(taken, 0.9)), 3),
            "n": repeats,
        }

    ways = ["birdfast, from the file", "birdfast, waveform cache", "birdfast, spectrogram cache", "librosa.load",
            "soundfile, the whole file"]  # fmt: skip
    kinds = [(60, 32_000), (600, 32_000), (60, 44_100)]
    keys = [{"way": way, "suffix": suffix, "seconds": seconds, "rate": rate}
            for seconds, rate in kinds for suffix in SUFFIXES for way in ways]  # fmt: skip
    table = measure("item_cost", keys, run, command="python benchmarks/item_cost.py FOLDER")
    print(table.pivot_table("ms", "way", ["seconds", "rate", "suffix"], sort=False).to_string())


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 50)
