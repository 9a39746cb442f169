"""Peak memory of `birdfast predict` on one recording of 1 h and one of 24 h: `python benchmarks/predict_memory.py`.

The memory is that of the whole process, Python and PyTorch included. Hours may be given: `... predict_memory.py 0.1`.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import soundfile
from common import measure

from birdfast import RECIPES, Bundle, LogMel, save_bundle
from birdfast.models import create_model

BACKBONE, CLASSES, RATE = "tf_efficientnet_lite0", 206, 32_000


def write_recording(path: Path, hours: float) -> None:
    """Faint noise and a tone, a minute at a time."""
    rng = np.random.default_rng(0)
    tone = 0.01 * np.sin(2 * np.pi * 2000 * np.arange(RATE * 60) / RATE)
    with soundfile.SoundFile(path, "w", RATE, 1, format="FLAC") as file:
        for _ in range(round(hours * 60)):
            file.write((tone + 1e-4 * rng.standard_normal(RATE * 60)).astype(np.float32))


def write_model(path: Path) -> None:
    """Memory does not depend on what the weights say."""
    recipe = RECIPES["improved"].with_(backbone=BACKBONE, weights="random")
    model = create_model(recipe, CLASSES, weights="random").eval()
    save_bundle(Bundle(model, LogMel.from_recipe(recipe), [f"species{i}" for i in range(CLASSES)], recipe), path)


def predict(hours: float) -> dict[str, Any]:
    """Peak memory and time of a fresh process."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        write_recording(folder / "long.flac", hours)
        write_model(folder / "birds.safetensors")
        words = ["predict", str(folder / "birds.safetensors"), str(folder / "long.flac"), "--out", str(folder / "out")]
        started = time.time()
        process = subprocess.Popen([sys.executable, "-m", "birdfast", *words])
        peak = 0
        while process.poll() is None:
            peak = max(peak, peak_memory(process.pid))
            time.sleep(0.05)
        seconds = time.time() - started
    if process.returncode:
        raise SystemExit(f"birdfast predict ended with status {process.returncode}")
    return {"backbone": BACKBONE, "peak_mb": round(peak / 1024), "seconds": round(seconds, 1)}


def peak_memory(pid: int) -> int:
    """kB so far. Not by wait4: a child's figure there begins with the memory of the parent that it was forked from."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next((int(line.split()[1]) for line in lines if line.startswith("VmHWM")), 0)


if __name__ == "__main__":
    asked = [float(word) for word in sys.argv[1:]] or [1.0, 24.0]
    measure("predict_memory", [{"hours": h} for h in asked], predict, command="python benchmarks/predict_memory.py")
