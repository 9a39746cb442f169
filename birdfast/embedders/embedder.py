"""What every embedder can do, and what it refuses."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from birdfast.errors import BirdfastError

Floats = NDArray[np.float32]


class Embedder(Protocol):
    """A frozen, pretrained model of sound. It pickles as its name and is loaded again where it is unpickled.

    Attributes
    ----------
    source
        What :func:`~birdfast.embedders.load.load_embedder` finds it by.
    sample_rate, window, step
        In Hz and s: what it hears at once, and how far apart its windows lie where nothing else is asked.
    size
        Values of an embedding.
    classes, common_names
        The species it knows, by scientific name, and their common names ("" where there is none); empty where it has
        no logits.
    sha256
        Of its file.
    licence
        Of its file, in a few words.
    """

    name: str
    source: str
    sample_rate: int
    window: float
    step: float
    size: int
    classes: tuple[str, ...]
    common_names: tuple[str, ...]
    sha256: str
    licence: str

    def embed(self, waveforms: Floats) -> Floats:
        """Waveforms ``(n, time)``, -1 to 1, to embeddings ``(n, size)``."""
        ...

    def logits(self, waveforms: Floats) -> Floats:
        """Waveforms ``(n, time)`` to the model's own logits ``(n, n_classes)``."""
        ...

    def run(self, waveforms: Floats) -> tuple[Floats, Floats]:
        """Embeddings and logits in one pass."""
        ...

    def last_layer(self) -> tuple[Floats, Floats] | None:
        """Weights ``(n_classes, size)`` and bias ``(n_classes,)`` that make logits of embeddings; None if none are known."""
        ...


def logits_of(embedder: Embedder, embeddings: Floats) -> Floats:
    """The embedder's own logits ``(n, n_classes)`` of embeddings made before: its last layer alone.

    Raises
    ------
    BirdfastError
        If its last layer cannot be read from its file.
    """
    layer = embedder.last_layer()
    if layer is None:
        raise BirdfastError(f"the last layer of {embedder.name} cannot be read: keep its logits with the embeddings")
    weights, bias = layer
    return embeddings @ weights.T + bias


def check_waveforms(waveforms: Floats, *, name: str, sample_rate: int, window: float) -> Floats:
    """`waveforms` as a model takes them: float32, in one piece, ``(n, time)`` of its window.

    Raises
    ------
    BirdfastError
        If they are of another length or no numbers.
    """
    n_samples = round(sample_rate * window)
    if waveforms.ndim != 2 or waveforms.shape[1] != n_samples:
        raise BirdfastError(
            f"{name} hears windows of {window:g} s at {sample_rate} Hz, (n, {n_samples}); it was given "
            f"{waveforms.shape}: read them at its rate and window"
        )
    if not np.isfinite(waveforms).all():
        raise BirdfastError(f"{name} was given samples that are NaN or Inf: leave those windows out")
    return np.ascontiguousarray(waveforms, np.float32)


def check_hearing(embedder: Embedder, *, sample_rate: int | None = None, window: float | None = None) -> None:
    """Refuse, before any sound is read, a rate (Hz) or window (s) that is not the embedder's.

    Raises
    ------
    BirdfastError
        If one differs.
    """
    for what, given, own, unit in (
        ("rate", sample_rate, embedder.sample_rate, "Hz"),
        ("window", window, embedder.window, "s"),
    ):
        if given is not None and given != own:
            raise BirdfastError(
                f"{embedder.name} hears at a {what} of {own:g} {unit} and no other: leave out {given:g} {unit}"
            )
