"""Pure tensor operations on batches: drawn numbers come in as arguments, so that each is easy to test."""

from __future__ import annotations

import torch
from torch import Tensor


def mask_along(spectrogram: Tensor, start: Tensor, width: Tensor, *, dim: int) -> Tensor:
    """Replace stripes by the item's mean, so that a mask carries no energy of its own (SpecAugment, Park et al. 2019).

    Parameters
    ----------
    spectrogram
        ``(batch, channel, n_mels, frames)``.
    start, width
        First position and length of each stripe, integers ``(batch, n_masks)``; a width of 0 masks nothing.
    dim
        -1 masks time, -2 frequency.

    Returns
    -------
    A new tensor of the same shape.
    """
    position = torch.arange(spectrogram.shape[dim], device=spectrogram.device)
    inside = (position >= start[..., None]) & (position < (start + width)[..., None])  # (batch, n_masks, size)
    mask = inside.any(1)[:, None, None, :] if dim == -1 else inside.any(1)[:, None, :, None]
    # Called on the spectrogram, so that a tensor subclass keeps what it knows of itself.
    return spectrogram.where(~mask, spectrogram.mean((-3, -2, -1), keepdim=True))


def mix(batch: Tensor, other: Tensor, lam: Tensor) -> Tensor:
    """``lam * batch + (1 - lam) * other`` with one `lam` an item ``(batch,)``; any shape ``(batch, ...)``."""
    lam = lam.reshape(-1, *[1] * (batch.ndim - 1))
    return batch * lam + other * (1 - lam)


def union(targets: Tensor, other: Tensor) -> Tensor:
    """Targets of two sounds heard at once: the larger of the two; unknown (NaN) unless one of them is surely present."""
    both = torch.maximum(targets.nan_to_num(-1), other.nan_to_num(-1))
    unknown = (targets.isnan() | other.isnan()) & (both < 1)
    return torch.where(unknown, torch.nan, both)


def sounding(waveform: Tensor) -> Tensor:
    """Where an item sounds, bool ``(batch, 1, time)``: from its first to its last sample that is not 0, padding left out.

    `waveform` is ``(batch, channel, time)``.
    """
    heard = (waveform != 0).any(-2, keepdim=True).to(torch.uint8)
    position = torch.arange(waveform.shape[-1], device=waveform.device)
    first, last = heard.argmax(-1, keepdim=True), waveform.shape[-1] - 1 - heard.flip(-1).argmax(-1, keepdim=True)
    return (position >= first) & (position <= last) & (heard.amax(-1, keepdim=True) > 0)


def change_gain(waveform: Tensor, db: Tensor) -> Tensor:
    """Each item ``(batch, channel, time)`` louder by its `db` ``(batch,)``."""
    return waveform * _factor(db)[:, None, None]


def filter_bands(waveform: Tensor, edges: Tensor, db: Tensor) -> Tensor:
    """Change the level of each of an item's frequency bands; what is padding stays silent.

    Parameters
    ----------
    waveform
        ``(batch, channel, time)``.
    edges
        Where bands meet, ``(batch, n_bands - 1)``, rising, as shares of the highest frequency.
    db
        Levels of the bands, from the lowest, ``(batch, n_bands)``.
    """
    spectrum = torch.fft.rfft(waveform.float())
    position = torch.linspace(0, 1, spectrum.shape[-1], device=waveform.device)
    band = (position >= edges[..., None]).sum(1)  # (batch, frequency)
    filtered = torch.fft.irfft(spectrum * _factor(db.gather(1, band))[:, None], n=waveform.shape[-1])
    return filtered.to(waveform.dtype) * sounding(waveform)


def add_background(waveform: Tensor, background: Tensor, snr: Tensor) -> Tensor:
    """Add `background` ``(batch, channel, time)`` to each item, `snr` dB ``(batch,)`` below it; padding stays silent.

    Levels are root mean squares, the item's of where it sounds. An `snr` of infinity adds nothing.
    """
    inside = sounding(waveform)
    power = (waveform**2).sum((1, 2)) / inside.sum((1, 2)).clamp(min=1)
    factor = (power / (background**2).mean((1, 2)).clamp(min=1e-20)).sqrt() * _factor(-snr)
    return waveform + background * factor[:, None, None] * inside


def mix_waves(waveform: Tensor, other: Tensor, lam: Tensor) -> Tensor:
    """``lam`` of each item and ``1 - lam`` of another, brought to the item's peak and heard only where the item sounds.

    Without the same level a quiet call would vanish below a loud one (BirdCLEF 2025, 1st). `waveform` and `other` are
    ``(batch, channel, time)``, `lam` ``(batch,)``.
    """
    peak, other_peak = (w.abs().amax((1, 2), keepdim=True) for w in (waveform, other))
    return mix(waveform, other * (peak / other_peak.clamp(min=1e-10)) * sounding(waveform), lam)


def _factor(db: Tensor) -> Tensor:
    """Decibels to a factor of the amplitude."""
    return 10 ** (db / 20)


def mix_levelled(waveform: Tensor, other: Tensor, weight: float = 0.5) -> Tensor:
    """`other` mixed into `waveform`, both ``(..., time)``, at equal peaks, with `weight` of it (BirdCLEF 2025, 1st place).

    The result is no louder than `waveform`, so that a quiet clip does not vanish beside a loud window. Silence on one
    side leaves the other as it is.
    """
    peak, peak_other = waveform.abs().amax(), other.abs().amax()
    if peak == 0 or peak_other == 0:
        return other.clone() if peak == 0 else waveform.clone()
    return waveform * (1 - weight) + other * (peak / peak_other * weight)
