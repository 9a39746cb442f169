"""The mel scale and its filters, in NumPy: what the front end multiplies by, and how a frequency axis is labelled."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

from birdfast.errors import unknown

_KNEE = 1000.0  # Hz: Slaney's scale is linear below, logarithmic above
_STEP = 200.0 / 3  # Hz a mel below the knee
_LOG = np.log(6.4) / 27


def hz_to_mel(hz: ArrayLike, *, mel_scale: str = "slaney") -> NDArray[np.float64]:
    """Frequencies in Hz on the mel scale.

    "slaney": linear below 1 kHz, logarithmic above (Slaney 1998, Auditory Toolbox); "htk": 2595 log10(1 + f / 700).
    """
    frequency = np.asarray(hz, dtype=np.float64)
    if _is_htk(mel_scale):
        return 2595.0 * np.log10(1.0 + frequency / 700.0)
    above = _KNEE / _STEP + np.log(np.maximum(frequency, _KNEE) / _KNEE) / _LOG
    return np.where(frequency < _KNEE, frequency / _STEP, above)


def mel_to_hz(mel: ArrayLike, *, mel_scale: str = "slaney") -> NDArray[np.float64]:
    """The inverse of :func:`hz_to_mel`."""
    place = np.asarray(mel, dtype=np.float64)
    if _is_htk(mel_scale):
        return 700.0 * (10.0 ** (place / 2595.0) - 1.0)
    knee = _KNEE / _STEP
    above = _KNEE * np.exp(_LOG * (np.maximum(place, knee) - knee))
    return np.where(place < knee, place * _STEP, above)


def mel_filterbank(
    *,
    sample_rate: int,
    n_fft: int,
    n_mels: int,
    fmin: float,
    fmax: float,
    mel_scale: str = "slaney",
    mel_norm: str = "slaney",
) -> NDArray[np.float32]:
    """Triangular filters, float32 ``(n_mels, 1 + n_fft // 2)``; equal to ``librosa.filters.mel``.

    ``mel_norm="slaney"`` gives each triangle unit area, ``"none"`` unit height.
    """
    bins = np.fft.rfftfreq(n_fft, 1 / sample_rate)
    low, high = hz_to_mel([fmin, fmax], mel_scale=mel_scale)
    edges = mel_to_hz(np.linspace(low, high, n_mels + 2), mel_scale=mel_scale)
    widths = np.diff(edges)
    rising = (bins[None, :] - edges[:-2, None]) / widths[:-1, None]
    falling = (edges[2:, None] - bins[None, :]) / widths[1:, None]
    filters = np.maximum(0.0, np.minimum(rising, falling))
    if mel_norm == "slaney":
        filters *= (2.0 / (edges[2:] - edges[:-2]))[:, None]
    return filters.astype(np.float32)


def bands(filters: NDArray[np.float32], *, n_groups: int = 8) -> list[tuple[slice, slice]]:
    """Groups of neighbouring filters and the bins that they reach: a few small products in place of one full of zeros.

    For 128 filters on 1,025 bins, eight groups hold an eighth of the numbers and take a quarter of the time.
    """
    edges = np.unique(np.linspace(0, len(filters), n_groups + 1).round().astype(int))
    found = []
    for first, last in pairwise(edges):
        reached = np.flatnonzero(filters[first:last].any(axis=0))
        low, high = (int(reached[0]), int(reached[-1]) + 1) if len(reached) else (0, 1)
        found.append((slice(int(first), int(last)), slice(low, high)))
    return found


def _is_htk(mel_scale: str) -> bool:
    if mel_scale not in ("slaney", "htk"):
        raise unknown("mel_scale", mel_scale, ["htk", "slaney"])
    return mel_scale == "htk"
