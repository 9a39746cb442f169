"""The spectrum by matrix products is the spectrum."""

import numpy as np
import pytest
import torch

from birdfast.spectrogram.dft import MatmulLogMel
from birdfast.spectrogram.logmel import LogMel
from birdfast.spectrogram.mel import bands, mel_filterbank


def tones(n: int, time: int) -> torch.Tensor:
    """Sweeps over noise, none like another."""
    rng = np.random.default_rng(0)
    t = np.arange(time) / 8000
    sweep = [np.sin(2 * np.pi * (200 + 300 * k + 400 * t) * t) for k in range(n)]
    return torch.from_numpy((np.stack(sweep) + 0.05 * rng.standard_normal((n, time))).astype(np.float32))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"n_fft": 2048, "win_length": 2048, "hop_length": 512, "n_mels": 128},
        {"n_fft": 1536, "win_length": 1200, "hop_length": 717},  # no power of two, hardly a block in common
        {"n_fft": 250, "hop_length": 100},
        {"n_fft": 255, "win_length": 255},  # odd
        {"n_fft": 251, "win_length": 251, "hop_length": 50},  # prime
        {"power": 1.0, "normalize": "none"},
        {"normalize": "minmax", "mel_scale": "htk", "mel_norm": "none"},
    ],
)
@pytest.mark.parametrize("time", [8000, 8191])
def test_equals_the_fft(changes, time):
    settings = {"sample_rate": 8000, "n_fft": 256, "win_length": None, "hop_length": 128, "n_mels": 32, "fmax": 4000.0}
    settings |= changes
    ours, theirs = MatmulLogMel(**settings), LogMel(**settings)
    waveform = tones(3, time)[:, None]
    found, wanted = ours(waveform), theirs(waveform)
    assert found.shape == wanted.shape
    scale = float(wanted.abs().max())
    np.testing.assert_allclose(found / scale, wanted / scale, atol=2e-4)


def test_bands_leave_nothing_out():
    filters = mel_filterbank(sample_rate=32_000, n_fft=2048, n_mels=128, fmin=20, fmax=16_000)
    found = np.zeros_like(filters)
    for rows, bins in bands(filters):
        found[rows, bins] = filters[rows, bins]
    np.testing.assert_array_equal(found, filters)
    assert sum((r.stop - r.start) * (b.stop - b.start) for r, b in bands(filters)) < filters.size / 6
    few = mel_filterbank(sample_rate=8000, n_fft=256, n_mels=3, fmin=20, fmax=4000)
    assert [rows for rows, _ in bands(few)] == [slice(0, 1), slice(1, 2), slice(2, 3)]
