"""Sound files to measure with: made once in a folder, seeded, faint noise with calls in it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import soundfile

RATE = 32_000


def sound(seconds: float, seed: int, rate: int = RATE) -> np.ndarray:
    """Noise with a sweep every second, float32 (time,)."""
    rng = np.random.default_rng(seed)
    t = np.arange(round(seconds * rate)) / rate
    sweep = np.sin(2 * np.pi * (2000 + 200 * (seed % 10)) * t + 800 * np.cos(2 * np.pi * t))
    return (0.2 * sweep * (t % 1 < 0.4) + 0.02 * rng.standard_normal(len(t))).astype(np.float32)


def write(path: Path, samples: np.ndarray, rate: int = RATE) -> Path:
    """Write a file of the suffix's format, in blocks: libsndfile's Vorbis encoder wants no long ones."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f"part-{path.name}")
        with soundfile.SoundFile(part, "w", rate, 1) as file:
            for block in np.array_split(samples, max(1, len(samples) // rate)):
                file.write(block)
        part.replace(path)
    return path


def recordings(folder: Path, n: int, *, seconds: float = 60, suffix: str = ".ogg", classes: int = 8) -> pd.DataFrame:
    """A table of `n` recordings of `seconds` s in `classes` species, the files of which it makes where they are missing."""
    files = [write(folder / f"{seconds:g}s" / f"{i}{suffix}", sound(seconds, i)) for i in range(n)]
    return pd.DataFrame({"path": [str(f) for f in files], "primary_label": [f"species{i % classes}" for i in range(n)]})
