"""Sound in which no bird sings: what a classifier must not call."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

Floats = NDArray[np.float32]
_LEVEL = 0.1  # root mean square of full scale


def silence(n_samples: int, sample_rate: int, rng: Generator) -> Floats:
    """Digital silence but for the last bit, as a recorder without a microphone writes it."""
    return (rng.integers(-1, 2, n_samples) / 32768).astype(np.float32)


def white(n_samples: int, sample_rate: int, rng: Generator) -> Floats:
    """White noise."""
    return _levelled(rng.standard_normal(n_samples))


def pink(n_samples: int, sample_rate: int, rng: Generator) -> Floats:
    """Pink noise, as wind and traffic far away: equal energy in each octave."""
    spectrum = np.fft.rfft(rng.standard_normal(n_samples))
    spectrum /= np.sqrt(np.maximum(np.arange(len(spectrum)), 1))
    return _levelled(np.fft.irfft(spectrum, n_samples))


def rain(n_samples: int, sample_rate: int, rng: Generator) -> Floats:
    """Drops on a housing: 40 short clicks a second of all levels, over faint white noise."""
    hits = rng.poisson(40 * n_samples / sample_rate)
    clicks = np.zeros(n_samples)
    clicks[rng.integers(0, n_samples, hits)] = rng.exponential(1.0, hits) * rng.choice([-1, 1], hits)
    ring = np.exp(-np.arange(round(0.003 * sample_rate)) / (0.0005 * sample_rate))
    drops = np.convolve(clicks, ring)[:n_samples]
    return _levelled(drops / drops.std() + 0.1 * rng.standard_normal(n_samples))


def hum(n_samples: int, sample_rate: int, rng: Generator) -> Floats:
    """The 50-Hz hum of the mains with its overtones."""
    t = np.arange(n_samples) / sample_rate
    overtones = [np.sin(2 * np.pi * 50 * k * t + rng.uniform(0, 6.28)) / k for k in range(1, 13)]
    return _levelled(np.sum(overtones, axis=0) + 0.001 * rng.standard_normal(n_samples))


NOISES: dict[str, Callable[[int, int, Generator], Floats]] = {
    "silence": silence, "white noise": white, "pink noise": pink, "rain-like clicks": rain, "50-Hz hum": hum,
}  # fmt: skip


def _levelled(samples: NDArray[np.float64]) -> Floats:
    return np.clip(samples / np.sqrt(np.mean(samples**2)) * _LEVEL, -1, 1).astype(np.float32)
