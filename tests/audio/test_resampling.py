"""The fastest resampler that leaves the spectrogram as it is, to the tolerance that docs/speed.md states."""

import numpy as np
import pytest
import soundfile
import soxr
import torch

from birdfast.audio.read import read_clip
from birdfast.spectrogram.logmel import LogMel
from birdfast.spectrogram.mel import hz_to_mel, mel_to_hz

TOLERANCE = 0.02  # dB, within 60 dB of the loudest bin and below 0.9 of the Nyquist frequency


def sweep(rate: int) -> np.ndarray:
    t = np.arange(3 * rate) / rate
    call = 0.3 * np.sin(2 * np.pi * (500 * t + 0.06 * rate * t**2))
    return (call + 0.02 * np.random.default_rng(0).standard_normal(len(t))).astype(np.float32)


def worst(waveform: np.ndarray, original: np.ndarray, rate: int) -> float:
    """The largest difference (dB) to the spectrogram of the best resampling of `original`."""
    logmel = LogMel(normalize="none")
    truth = logmel.decibels(torch.from_numpy(soxr.resample(original, rate, 32_000, quality="VHQ")))
    low, high = hz_to_mel([20, 16_000])
    upper_edges = mel_to_hz(np.linspace(low, high, 130))[2:]
    heard = torch.from_numpy(upper_edges < 0.9 * min(rate, 32_000) / 2)[:, None] & (truth > truth.max() - 60)
    return float(((logmel.decibels(torch.from_numpy(waveform)) - truth).abs() * heard).max())


@pytest.mark.parametrize("rate", [16_000, 22_050, 44_100, 48_000])
def test_read_clip_keeps_the_spectrogram(tmp_path, rate):
    soundfile.write(tmp_path / "a.wav", sweep(rate), rate, subtype="FLOAT")
    assert worst(read_clip(tmp_path / "a.wav"), sweep(rate), rate) < TOLERANCE


def test_the_next_faster_quality_does_not():
    faster = soxr.resample(sweep(22_050), 22_050, 32_000, quality="MQ")
    assert worst(faster, sweep(22_050), 22_050) > TOLERANCE
