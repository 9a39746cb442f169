"""Waveform to normalised log-mel spectrogram: the one front end of training, inference and export."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from birdfast.recipe.recipe import Recipe
from birdfast.spectrogram.mel import bands, mel_filterbank


class LogMel(nn.Module):
    """Waveform ``(..., time)`` to spectrogram ``(..., n_mels, frames)`` in dB, normalised per spectrogram.

    Frames are centred (``frames = 1 + time // hop_length`` where `n_fft` is even), zeros beyond the ends, Hann window:
    librosa's defaults. Runs in float32 whatever the autocast around it, because half precision overflows on loud power spectra.

    Parameters
    ----------
    sample_rate, fmin, fmax
        Hz.
    n_fft, win_length, hop_length
        Samples.
    power
        2 for power, 1 for magnitude spectra.
    top_db
        What lies more than this below the loudest bin of the spectrogram is lifted to it.
    normalize
        "standard": zero mean and unit variance; "minmax": 0 to 1; "none": dB as they are.
    """

    window: Tensor
    filters: Tensor
    one_by_one = True

    def __init__(
        self,
        *,
        sample_rate: int = 32_000,
        n_fft: int = 2048,
        win_length: int | None = None,
        hop_length: int = 512,
        n_mels: int = 128,
        fmin: float = 20.0,
        fmax: float = 16_000.0,
        power: float = 2.0,
        top_db: float = 80.0,
        mel_scale: str = "slaney",
        mel_norm: str = "slaney",
        normalize: str = "standard",
    ) -> None:
        super().__init__()
        self.sample_rate, self.n_fft, self.win_length, self.hop_length = (
            sample_rate,
            n_fft,
            win_length or n_fft,
            hop_length,
        )
        self.n_mels, self.fmin, self.fmax, self.power, self.top_db = n_mels, fmin, fmax, power, top_db
        self.mel_scale, self.mel_norm, self.normalize = mel_scale, mel_norm, normalize
        filters = mel_filterbank(
            sample_rate=sample_rate,
            n_fft=n_fft,
            n_mels=n_mels,
            fmin=fmin,
            fmax=fmax,
            mel_scale=mel_scale,
            mel_norm=mel_norm,
        )
        # Not part of the state dict: they follow from the recipe, and weights must not disagree with it.
        self.register_buffer("window", torch.hann_window(self.win_length), persistent=False)
        self.register_buffer("filters", torch.from_numpy(filters), persistent=False)
        self._bands = bands(filters)

    @classmethod
    def from_recipe(cls, recipe: Recipe) -> LogMel:
        """The front end that `recipe` describes."""
        names = ("sample_rate", "n_fft", "win_length", "hop_length", "n_mels", "fmin", "fmax", "power", "top_db",
                 "mel_scale", "mel_norm", "normalize")  # fmt: skip
        return cls(**{name: getattr(recipe, name) for name in names})

    def extra_repr(self) -> str:
        return (
            f"{self.sample_rate} Hz, n_fft={self.n_fft}, hop_length={self.hop_length}, n_mels={self.n_mels}, "
            f"{self.fmin:.0f}-{self.fmax:.0f} Hz, power={self.power}, top_db={self.top_db}, {self.mel_scale}, {self.normalize}"
        )

    def forward(self, waveform: Tensor) -> Tensor:
        with torch.autocast(waveform.device.type, enabled=False):
            return self.finish(self.levels(waveform.float()))

    def decibels(self, waveform: Tensor) -> Tensor:
        """Log-mel before normalisation, dB relative to 1, ``(..., n_mels, frames)``."""
        return self._limit(self.levels(waveform))

    def finish(self, levels: Tensor) -> Tensor:
        """The spectrogram of `levels`: limited to `top_db` and normalised, both over the frames that are given."""
        return self._normalise(self._limit(levels))

    def levels(self, waveform: Tensor) -> Tensor:
        """Log-mel in dB before `top_db` and normalisation, ``(..., n_mels, frames)``: what a frame is on its own."""
        flat = waveform.reshape(-1, waveform.shape[-1])
        # The spectrum of one clip stays in a CPU's cache: two thirds of the time of a whole batch at once.
        parts = flat.split(1) if self.one_by_one and flat.device.type == "cpu" else [flat]
        db = torch.cat([self._levels(part) for part in parts])
        return db.reshape(*waveform.shape[:-1], *db.shape[-2:])

    def _levels(self, waveform: Tensor) -> Tensor:
        energy = self.energy(waveform)
        mel = torch.cat([self.filters[rows, bins] @ energy[:, bins] for rows, bins in self._bands], dim=1)
        return (20.0 / self.power) * torch.log10(mel.clamp(min=1e-10))

    def _limit(self, db: Tensor) -> Tensor:
        return torch.maximum(db, db.amax((-2, -1), keepdim=True) - self.top_db)

    def energy(self, waveform: Tensor) -> Tensor:
        """Waveforms ``(n, time)`` to ``|spectrum| ** power``, ``(n, bins, frames)``: what `filters` multiply."""
        spectrum = torch.stft(
            waveform, self.n_fft, self.hop_length, self.win_length, self.window,
            center=True, pad_mode="constant", return_complex=True,
        )  # fmt: skip
        return self.raised(spectrum.real.square() + spectrum.imag.square())  # a third of the time of .abs().square()

    def raised(self, square: Tensor) -> Tensor:
        """The squared magnitude to the recipe's power."""
        return square if self.power == 2 else square.pow(self.power / 2)

    def _normalise(self, db: Tensor) -> Tensor:
        if self.normalize == "standard":
            mean, std = db.mean((-2, -1), keepdim=True), db.std((-2, -1), keepdim=True)
            return (db - mean) / (std + 1e-6)
        if self.normalize == "minmax":
            low, high = db.amin((-2, -1), keepdim=True), db.amax((-2, -1), keepdim=True)
            return (db - low) / (high - low + 1e-6)
        return db
