"""The spectrum by matrix products, for runtimes whose own Fourier transform is slow or missing."""

from __future__ import annotations

from math import gcd, isqrt
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from birdfast.spectrogram.logmel import LogMel
from birdfast.spectrogram.mel import bands


class MatmulLogMel(LogMel):
    """:class:`LogMel` with a discrete Fourier transform in two steps of matrix products (Cooley and Tukey 1965).

    With ``n_fft = n1 * n2``, sample ``n2 * i + j`` and bin ``k1 + n1 * k2``: a transform of length n1 over i for each j,
    then, twiddle factors included, one of length n2 over j for each k1. A real signal needs k1 up to n1 / 2 only; the
    bins above half the rate mirror those below. 32 times fewer products than one matrix of 2048 x 2050, and both ONNX
    Runtime and OpenVINO know all of it.
    """

    one_by_one = False  # a graph takes batches of any size
    first: Tensor
    second: Tensor
    shaped: Tensor

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.n1, self.n2 = _factors(self.n_fft)
        self.n_first = self.n1 // 2 + 1
        order = _interleaved(self.n2)
        bins = np.arange(self.n_first)[None, :] + self.n1 * order[:, None]
        filters = _rearranged(self.filters.numpy(), bins.reshape(-1), self.n_fft)
        left = (self.n_fft - self.win_length) // 2
        window = np.pad(self.window.numpy(), (left, self.n_fft - self.win_length - left))
        self.register_buffer("shaped", torch.from_numpy(window.reshape(self.n1, self.n2)), persistent=False)
        self.register_buffer("first", torch.from_numpy(_first(self.n1)), persistent=False)
        self.register_buffer("second", torch.from_numpy(_second(self.n1, self.n2, order)), persistent=False)
        self.register_buffer("filters", torch.from_numpy(filters), persistent=False)
        self._bands = bands(filters)

    def forward(self, waveform: Tensor) -> Tensor:
        return self._normalise(self.decibels(waveform))

    def energy(self, waveform: Tensor) -> Tensor:
        frames = self._frames(waveform)  # (n, frames, n1, n2)
        n, count = frames.shape[:2]
        once = self.first @ (frames * self.shaped)  # (n, frames, real and imaginary of k1, n2)
        once = once.reshape(n * count, 2, self.n_first, self.n2).permute(2, 0, 1, 3)
        twice = once.reshape(self.n_first, n * count, 2 * self.n2) @ self.second
        real, imaginary = twice[..., : self.n2], twice[..., self.n2 :]
        square = (real.square() + imaginary.square()).reshape(self.n_first, n, count, self.n2)
        return self.raised(square.permute(1, 3, 0, 2).reshape(n, self.n2 * self.n_first, count))

    def _frames(self, waveform: Tensor) -> Tensor:
        """Overlapping frames, gathered in blocks as large as `n_fft` and `hop_length` have in common."""
        block = gcd(self.n_fft, self.hop_length)
        n, count = waveform.shape[0], 1 + (waveform.shape[1] - self.n_fft % 2) // self.hop_length
        padded = torch.nn.functional.pad(waveform, (self.n_fft // 2, self.n_fft // 2))
        used = padded[:, : (count - 1) * self.hop_length + self.n_fft].reshape(n, -1, block)
        start = torch.arange(count)[:, None] * (self.hop_length // block)
        index = start + torch.arange(self.n_fft // block)[None, :]
        return used[:, index].reshape(n, count, self.n1, self.n2)


def _factors(n: int) -> tuple[int, int]:
    """The two factors of `n` nearest to each other, the larger first."""
    smaller = next(d for d in range(isqrt(n), 0, -1) if n % d == 0)
    return n // smaller, smaller


def _interleaved(n2: int) -> NDArray[np.intp]:
    """0, n2 - 1, 1, n2 - 2, ...: then the bins, mirrored ones included, rise, and mel filters reach neighbours only."""
    up = np.arange(n2)
    return np.stack([up, up[::-1]], axis=1).reshape(-1)[:n2]


def _first(n1: int) -> NDArray[np.float32]:
    """``(2 * n_first, n1)``: cosines over minus sines."""
    turn = np.exp(-2j * np.pi * np.outer(np.arange(n1 // 2 + 1), np.arange(n1)) / n1)
    return np.concatenate([turn.real, turn.imag]).astype(np.float32)


def _second(n1: int, n2: int, order: NDArray[np.intp]) -> NDArray[np.float32]:
    """``(n_first, 2 * n2, 2 * n2)``: the complex product as a real one, real parts first on both sides."""
    k1, j = np.arange(n1 // 2 + 1)[:, None, None], np.arange(n2)[None, :, None]
    turn = np.exp(-2j * np.pi * (j * k1 / (n1 * n2) + j * order[None, None, :] / n2))
    upper = np.concatenate([turn.real, turn.imag], axis=2)
    lower = np.concatenate([-turn.imag, turn.real], axis=2)
    return np.concatenate([upper, lower], axis=1).astype(np.float32)


def _rearranged(filters: NDArray[np.float32], bins: NDArray[np.intp], n_fft: int) -> NDArray[np.float32]:
    """Mel filters for bins in this order; a bin that comes twice, once mirrored, counts once."""
    mirrored = np.minimum(bins, n_fft - bins)
    _, once = np.unique(mirrored, return_index=True)
    found = np.zeros((len(filters), len(bins)), dtype=np.float32)
    found[:, once] = filters[:, mirrored[once]]
    return found
