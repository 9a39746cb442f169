"""What does a spectrogram cost? LogMel against librosa, torchaudio and nnAudio, ms a clip of 5 s at 32 kHz.

    python benchmarks/spectrogram_cost.py [OTHER_PYTHON]

torchaudio and nnAudio are measured by OTHER_PYTHON, the interpreter of an environment that holds them (torchaudio's last
release does not import beside current torch); without it they are left out. On the GPU as well, where there is one.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

RATE, SECONDS, N_FFT, HOP, N_MELS = 32_000, 5, 2048, 512, 128
BATCHES = (1, 32)


def maker(way: str, device: str) -> Callable[[Any], Any]:
    """The function from a batch of waveforms to spectrograms in dB."""
    if way == "birdfast":
        from birdfast import LogMel

        return LogMel(normalize="none").to(device)
    if way == "librosa":
        import librosa
        import numpy as np

        options = {"sr": RATE, "n_fft": N_FFT, "hop_length": HOP, "n_mels": N_MELS, "fmin": 20, "fmax": 16_000}
        return lambda x: np.stack(
            [librosa.power_to_db(librosa.feature.melspectrogram(y=w, **options)) for w in x.numpy()]
        )
    if way == "torchaudio":
        import torch
        from torchaudio.transforms import AmplitudeToDB, MelSpectrogram

        options = {"f_min": 20, "f_max": 16_000, "norm": "slaney", "mel_scale": "slaney"}
        return torch.nn.Sequential(MelSpectrogram(RATE, N_FFT, hop_length=HOP, n_mels=N_MELS, **options),
                                   AmplitudeToDB(top_db=80)).to(device)  # fmt: skip
    from nnAudio.features.mel import MelSpectrogram as Mel

    mel = Mel(sr=RATE, n_fft=N_FFT, hop_length=HOP, n_mels=N_MELS, fmin=20, fmax=16_000, verbose=False).to(device)
    return lambda x: 10 * mel(x).clamp(min=1e-10).log10()


def cost(way: str, device: str, batch: int) -> dict[str, Any]:
    """Median ms a clip."""
    import torch

    make, x = maker(way, device), 0.1 * torch.randn(batch, RATE * SECONDS, device=device)
    taken = []
    with torch.no_grad():
        for _ in range(25):
            began = time.perf_counter()
            make(x)
            if device == "cuda":
                torch.cuda.synchronize()
            taken.append(1e3 * (time.perf_counter() - began) / batch)
    return {"ms": round(sorted(taken[5:])[10], 3), "made_with": torch.__version__}


def main(other: str | None) -> None:
    """Measure what can be measured here."""
    import torch
    from common import measure

    def run(way: str, device: str, batch: int) -> dict[str, Any]:
        if way in ("birdfast", "librosa"):
            return cost(way, device, batch)
        words = [str(other), __file__, "--one", way, device, str(batch)]
        return json.loads(subprocess.run(words, check=True, capture_output=True, text=True).stdout.splitlines()[-1])

    devices = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]
    ways = ["birdfast", "librosa", "torchaudio", "nnAudio"] if other else ["birdfast", "librosa"]
    if not other:
        print("torchaudio and nnAudio are left out: name the python of an environment that holds them")
    keys = [{"way": way, "device_used": device, "batch": batch}
            for device in devices for way in ways for batch in BATCHES if (way, device) != ("librosa", "cuda")]  # fmt: skip
    command = "python benchmarks/spectrogram_cost.py OTHER_PYTHON"
    print(
        measure("spectrogram_cost", keys, lambda way, device_used, batch: run(way, device_used, batch), command=command)
    )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        print(json.dumps(cost(sys.argv[2], sys.argv[3], int(sys.argv[4]))))
    else:
        main(sys.argv[1] if len(sys.argv) > 1 else None)
