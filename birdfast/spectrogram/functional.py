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


def mix_levelled(waveform: Tensor, other: Tensor, weight: float = 0.5) -> Tensor:
    """`other` mixed into `waveform`, both ``(..., time)``, at equal peaks, with `weight` of it (BirdCLEF 2025, 1st place).

    The result is no louder than `waveform`, so that a quiet clip does not vanish beside a loud window. Silence on one
    side leaves the other as it is.
    """
    peak, peak_other = waveform.abs().amax(), other.abs().amax()
    if peak == 0 or peak_other == 0:
        return other.clone() if peak == 0 else waveform.clone()
    return waveform * (1 - weight) + other * (peak / peak_other * weight)
