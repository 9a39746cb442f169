"""A classifier on a frozen embedder: waveform to embeddings of windows, and those to logits."""

from __future__ import annotations

from collections import OrderedDict
from hashlib import blake2b
from threading import Lock

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from birdfast.embedders.embedder import Embedder
from birdfast.embedders.load import shared_embedder
from birdfast.errors import BirdfastError, unknown
from birdfast.recipe.recipe import Recipe

_KEPT = 4096  # embeddings that are remembered: 16 MB of BirdNET's
_LOOKING = Lock()
_RECENT: dict[str, OrderedDict[bytes, NDArray[np.float32]]] = {}
JOINS = ("lse", "max", "mean", "attention")


class EmbedWindows(nn.Module):
    """Waveform ``(..., time)`` to embeddings ``(..., windows, size)``: the front end of an embedder, as LogMel is a backbone's.

    Windows begin `step` s apart. One that holds nothing but digital silence, as where a clip reaches beyond its
    recording, is not there: NaN. The embedder is not part of the state dict; a copy or a pickle loads its file again.

    Parameters
    ----------
    name
        What :func:`~birdfast.embedders.load.load_embedder` takes.
    step
        Seconds from window to window.
    sha256
        Of the embedder's file, where another one must be refused.
    """

    def __init__(self, name: str, *, step: float = 1.0, sha256: str = "") -> None:
        super().__init__()
        self.name, self.step, self.sha256 = name, step, sha256
        self.sample_rate, self.window, self.size = self.embedder.sample_rate, self.embedder.window, self.embedder.size

    @property
    def embedder(self) -> Embedder:
        """The embedder, one in a process whoever asks for it."""
        return shared_embedder(self.name, self.sha256)

    @property
    def identity(self) -> dict[str, str]:
        """The embedder's name and the SHA-256 of its file, by which a bundle finds it again."""
        return {"name": self.embedder.name, "sha256": self.embedder.sha256}

    def extra_repr(self) -> str:
        return f"{self.name!r}, {self.sample_rate} Hz, windows of {self.window:g} s, step={self.step:g}"

    def forward(self, waveform: Tensor) -> Tensor:
        sound = waveform.detach().float().cpu().numpy()
        windows = self.cut(sound.reshape(-1, sound.shape[-1]))
        embedded = self.embed(windows.reshape(-1, windows.shape[-1]))
        return torch.from_numpy(embedded).reshape(*waveform.shape[:-1], windows.shape[1], self.size).to(waveform.device)

    def cut(self, sound: NDArray[np.float32]) -> NDArray[np.float32]:
        """Waveforms ``(n, time)`` to their windows ``(n, windows, samples)``, the last one filled up with silence."""
        length, hop = round(self.window * self.sample_rate), round(self.step * self.sample_rate)
        n = 1 + max(0, -(-(sound.shape[-1] - length) // hop))
        missing = (n - 1) * hop + length - sound.shape[-1]
        padded = np.pad(sound, ((0, 0), (0, missing))) if missing > 0 else sound
        return np.lib.stride_tricks.sliding_window_view(padded, length, axis=1)[:, ::hop][:, :n]

    def embed(self, windows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Windows ``(n, samples)`` to embeddings ``(n, size)``; NaN for digital silence.

        Windows with the same samples are embedded once, also those that a call before has seen: neighbouring clips share
        most of theirs, and so do the members of an ensemble.
        """
        out = np.full((len(windows), self.size), np.nan, np.float32)
        heard = np.flatnonzero(windows.any(1))
        keys = {int(i): blake2b(windows[i].tobytes(), digest_size=16).digest() for i in heard}
        recent = _RECENT.setdefault(self.embedder.sha256, OrderedDict())
        with _LOOKING:
            known = {key: recent[key] for key in keys.values() if key in recent}
        first = {key: i for i, key in reversed(keys.items()) if key not in known}
        if first:
            new = dict(
                zip(first, self.embedder.embed(np.ascontiguousarray(windows[list(first.values())])), strict=True)
            )
            known |= new
            with _LOOKING:
                recent.update(new)
                while len(recent) > _KEPT:
                    recent.popitem(last=False)
        for i, key in keys.items():
            out[i] = known[key]
        return out


class EmbeddingModel(nn.Module):
    """Embeddings ``(batch, windows, size)`` to logits ``(batch, n_classes)``: each window by one linear layer, then joined.

    Windows that are NaN are not there.

    Parameters
    ----------
    join
        Over the windows of a clip: "lse", the logarithm of the mean of exp(logits), between mean and maximum; "max";
        "mean"; "attention", learned (as :class:`~birdfast.models.heads.SedHead`).
    hidden
        Units of a layer with ReLU whose output is added to the linear one's; 0: none. It begins at nothing.
    """

    scale: Tensor

    def __init__(self, size: int, n_classes: int, *, join: str = "lse", hidden: int = 0, dropout: float = 0.0) -> None:
        super().__init__()
        if join not in JOINS:
            raise unknown("join", join, JOINS)
        self.join = join
        self.linear = nn.Linear(size, n_classes)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)
        self.attention = nn.Linear(size, n_classes) if join == "attention" else None
        self.mlp = _mlp(size, hidden, n_classes, dropout) if hidden else None
        # Root mean square norm of the embeddings: with it, one learning rate suits every embedder.
        self.register_buffer("scale", torch.tensor(1.0))

    def forward(self, embeddings: Tensor) -> Tensor:
        if embeddings.ndim == 4:  # of a waveform with its channel
            embeddings = embeddings.flatten(1, 2)
        there = ~embeddings[..., 0].isnan()
        there = there | ~there.any(-1, keepdim=True)  # of nothing but silence, the silence counts
        x = embeddings.nan_to_num() / self.scale
        logits = self.linear(x) if self.mlp is None else self.linear(x) + self.mlp(x)
        return self._joined(logits, x, there[..., None])

    def _joined(self, logits: Tensor, x: Tensor, there: Tensor) -> Tensor:
        n = there.sum(-2)
        if self.attention is not None:
            weights = torch.tanh(self.attention(x)).masked_fill(~there, -torch.inf).softmax(-2)
            return (weights * logits).sum(-2)
        if self.join == "mean":
            return logits.masked_fill(~there, 0.0).sum(-2) / n
        heard = logits.masked_fill(~there, -torch.inf)
        return heard.amax(-2) if self.join == "max" else heard.logsumexp(-2) - n.log()

    @torch.no_grad()
    def start_at(self, weight: Tensor, bias: Tensor, *, scale: float) -> None:
        """Begin the linear layer at rows ``(n_classes, size)`` and biases ``(n_classes,)`` for embeddings as they are."""
        self.scale.fill_(scale)
        self.linear.weight.copy_(weight * scale)
        self.linear.bias.copy_(bias)


def _mlp(size: int, hidden: int, n_classes: int, dropout: float) -> nn.Module:
    last = nn.Linear(hidden, n_classes)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    return nn.Sequential(nn.Linear(size, hidden), nn.ReLU(), nn.Dropout(dropout), last)


def create_embedding_model(recipe: Recipe, n_logits: int) -> EmbeddingModel:
    """The head that `recipe` describes, all zeros; :meth:`EmbeddingModel.start_at` gives it a start."""
    size = shared_embedder(recipe.backbone).size
    return EmbeddingModel(size, n_logits, join=recipe.join, hidden=recipe.hidden, dropout=recipe.dropout)


def check_embedder(recipe: Recipe) -> None:
    """Refuse a recipe that its embedder cannot serve, before any data are read.

    Raises
    ------
    BirdfastError
        If what the embedder needs is not installed, or rate or duration are not the embedder's.
    """
    embedder = shared_embedder(recipe.backbone)
    if recipe.sample_rate != embedder.sample_rate:
        raise BirdfastError(
            f"{recipe.backbone} hears sound at {embedder.sample_rate} Hz: set sample_rate={embedder.sample_rate} "
            f"(it is {recipe.sample_rate})"
        )
    if recipe.duration < embedder.window:
        raise BirdfastError(
            f"{recipe.backbone} hears windows of {embedder.window:g} s: set duration={embedder.window:g} or more "
            f"(it is {recipe.duration:g})"
        )
