"""Embedders from a file of the user's, ``.onnx`` or ``.tflite``, with its settings in a TOML."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cached_property

import numpy as np

from birdfast.embedders.embedder import Floats, check_waveforms
from birdfast.embedders.lanes import Lanes, Runner, count_threads
from birdfast.embedders.onnx_file import onnx_dense, onnx_runner
from birdfast.embedders.settings import Settings, read_labels
from birdfast.embedders.tflite import Graph, read_model_file, tflite_runner
from birdfast.errors import BirdfastError, unknown

FILES = (".tflite", ".onnx")

Layer = tuple[Floats, Floats]


class FileEmbedder:
    """A model's file and what its settings say of it; an :class:`~birdfast.embedders.embedder.Embedder`.

    Raises
    ------
    BirdfastError
        If the file is missing or damaged, another than the settings name, or does not take and give what they say.
    """

    def __init__(self, settings: Settings, *, threads: int | None = None) -> None:
        self.settings, self.source, self.threads = settings, str(settings.file), count_threads(threads)
        self.name, self.licence = settings.name, settings.licence
        self.sample_rate, self.window, self.step = settings.sample_rate, float(settings.window), float(settings.step)
        content = read_model_file(settings.file)
        self.sha256 = hashlib.sha256(content).hexdigest()
        self._check_sha256()
        self._names = [name for name in (settings.embedding, settings.logits) if name]
        make, self._read_layer = _opened(content, settings, self._names, round(self.sample_rate * self.window))
        self._lanes = Lanes(make, self.threads)
        self.classes, self.common_names = _labels(settings)
        self.size = self._measure()

    def __repr__(self) -> str:
        return f"FileEmbedder({self.name}, {self.size} values, {len(self.classes)} classes, {self.threads} threads)"

    def __reduce__(self) -> tuple[type[FileEmbedder], tuple[Settings]]:
        return type(self), (self.settings,)

    def embed(self, waveforms: Floats) -> Floats:
        """Waveforms ``(n, time)`` to embeddings ``(n, size)``."""
        return self._run(waveforms)[0]

    def logits(self, waveforms: Floats) -> Floats:
        """Waveforms ``(n, time)`` to logits ``(n, n_classes)``."""
        return self.run(waveforms)[1]

    def run(self, waveforms: Floats) -> tuple[Floats, Floats]:
        """Embeddings and logits in one pass."""
        if not self.classes:
            raise BirdfastError(f"{self.name} has no logits: name them and its labels in {self.settings.place}")
        embeddings, logits = self._run(waveforms)
        return embeddings, logits

    def last_layer(self) -> Layer | None:
        """Weights ``(n_classes, size)`` and bias ``(n_classes,)``, where one dense layer makes the logits of the embedding."""
        return self._layer

    @cached_property
    def _layer(self) -> Layer | None:
        return self._read_layer() if self.settings.logits else None

    def _run(self, waveforms: Floats) -> list[Floats]:
        given = check_waveforms(waveforms, name=self.name, sample_rate=self.sample_rate, window=self.window)
        return self._lanes(given)

    def _check_sha256(self) -> None:
        wanted = self.settings.sha256.lower()
        if wanted and wanted != self.sha256:
            raise BirdfastError(
                f"{self.settings.file} is another file than {self.settings.place.name} names: its SHA-256 begins with "
                f"{self.sha256[:12]}, not {wanted[:12]}: bring the file of that version"
            )

    def _measure(self) -> int:
        """The size of an embedding, from a window of silence; all that the settings say is seen to be true."""
        found = self._run(np.zeros((1, round(self.sample_rate * self.window)), np.float32))
        for name, values in zip(self._names, found):
            if values.ndim != 2 or len(values) != 1:
                raise BirdfastError(
                    f"the output {name!r} of {self.settings.file} is {values.shape} for one window, not a row of values: "
                    f"name another in {self.settings.place}"
                )
        if self.classes and found[1].shape[1] != len(self.classes):
            raise BirdfastError(
                f"{self.settings.labels} names {len(self.classes)} classes, the output {self.settings.logits!r} has "
                f"{found[1].shape[1]} values: bring the list of this model (labels_header says if line 1 is a heading)"
            )
        return found[0].shape[1]


def _labels(settings: Settings) -> tuple[tuple[str, ...], tuple[str, ...]]:
    return read_labels(settings.labels, header=settings.labels_header) if settings.labels else ((), ())


def _opened(
    content: bytes, settings: Settings, names: list[str], n_samples: int
) -> tuple[Callable[[], Runner], Callable[[], Layer | None]]:
    """What makes runners that give the outputs `names`, and what reads the last layer."""
    file, suffix = settings.file, settings.file.suffix.lower()
    if suffix == ".onnx":
        return (
            lambda: onnx_runner(content, file, names, n_samples),
            lambda: onnx_dense(content, settings.embedding, settings.logits),
        )
    if suffix != ".tflite":
        raise unknown(f"kind of model in {settings.place}", suffix, FILES)
    graph = Graph(content, file)
    outputs = [graph.find(name) for name in names]
    dense = graph.dense(outputs[1]) if settings.logits else None
    layer = (dense[1], dense[2]) if dense and dense[0] == outputs[0] else None
    graph.set_outputs(outputs)
    changed = graph.to_bytes()
    return lambda: tflite_runner(changed, file, n_samples), lambda: layer
