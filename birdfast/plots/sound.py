"""A spectrogram, with frequencies where people look for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from birdfast.errors import BirdfastError
from birdfast.plots.axes import new_axes
from birdfast.spectrogram.mel import hz_to_mel, mel_filterbank

if TYPE_CHECKING:
    from matplotlib.axes import Axes


# Where a frequency axis may be labelled, the most welcome first: octaves, then what lies between.
KHZ = [1, 2, 4, 8, 16, 0.5, 32, 64, 128, 0.25, 0.1, 3, 6, 12, 24, 48, 96, 1.5, 5, 7, 10, 20]


def plot_spectrogram(
    spectrogram: ArrayLike,
    *,
    sample_rate: int,
    hop_length: int,
    fmin: float,
    fmax: float,
    mel_scale: str = "slaney",
    ax: Axes | None = None,
    title: str = "",
) -> Axes:
    """A mel spectrogram ``(n_mels, frames)`` over time in s and frequency in kHz, spaced as its mel bands are.

    `sample_rate`, `fmin` and `fmax` are in Hz, `hop_length` in samples; frames are centred on their time.
    """
    picture = np.asarray(spectrogram)
    if picture.ndim != 2 or not picture.size:
        raise BirdfastError(f"a spectrogram is (n_mels, frames), not {picture.shape}: take one item and one channel")
    ax = new_axes(ax, (7, 3))
    n_mels, frames = picture.shape
    step = hop_length / sample_rate
    ax.imshow(
        picture,
        origin="lower",
        aspect="auto",
        interpolation="nearest",
        cmap="magma",
        extent=(-step / 2, (frames - 0.5) * step, -0.5, n_mels - 0.5),
    )
    ax.set_yticks(*_khz_ticks(n_mels, fmin, fmax, mel_scale))
    ax.set(xlabel="time (s)", ylabel="frequency (kHz)", title=title)
    return ax


def plot_sound(waveform: ArrayLike, *, sample_rate: int, ax: Axes | None = None, title: str = "") -> Axes:
    """The mel spectrogram of a waveform ``(time,)``, in dB down to 70 below the loudest, made without PyTorch."""
    sound, n_fft = np.asarray(waveform, dtype=np.float32), 1024
    hop = n_fft // 2
    padded = np.pad(sound, (hop, n_fft))
    frames = np.lib.stride_tricks.sliding_window_view(padded, n_fft)[: len(sound) + hop : hop]
    energy = np.abs(np.fft.rfft(frames * np.hanning(n_fft), axis=1)) ** 2
    band = {"sample_rate": sample_rate, "fmin": 50.0, "fmax": sample_rate / 2}
    mel = mel_filterbank(n_fft=n_fft, n_mels=96, **band) @ energy.T  # type: ignore[arg-type]
    decibels = 10 * np.log10(np.maximum(mel, max(float(mel.max()), 1e-10) * 1e-7))
    return plot_spectrogram(decibels, hop_length=hop, ax=ax, title=title, **band)  # type: ignore[arg-type]


def _khz_ticks(n_mels: int, fmin: float, fmax: float, mel_scale: str) -> tuple[list[float], list[str]]:
    """Places (in mel bands, 0 is the centre of the lowest) and labels in kHz, at least a twelfth of the axis apart."""
    kept: dict[float, float] = {}
    for khz in KHZ:
        if fmin <= 1000 * khz <= fmax:
            place = _mel_band(1000 * khz, n_mels, fmin, fmax, mel_scale)
            if all(abs(place - other) >= n_mels / 12 for other in kept.values()):
                kept[khz] = place
    if len(kept) < 2:
        kept = {hz / 1000: _mel_band(hz, n_mels, fmin, fmax, mel_scale) for hz in np.linspace(fmin, fmax, 5)}
    ticks = sorted(kept.items())
    return [place for _, place in ticks], [f"{khz:g}" for khz, _ in ticks]


def _mel_band(hz: float, n_mels: int, fmin: float, fmax: float, mel_scale: str) -> float:
    """The place of a frequency on the axis of bands, kept on the picture.

    Band i is centred on point i + 1 of n_mels + 2 points even in mel, from fmin to fmax.
    """
    low, high, mel = hz_to_mel([fmin, fmax, hz], mel_scale=mel_scale)
    return float(np.clip((mel - low) / (high - low) * (n_mels + 1) - 1, -0.5, n_mels - 0.5))
