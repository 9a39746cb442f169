"""Recordings as a stream of embedded windows: threads decode ahead of the model, and memory does not grow."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from birdfast.audio.windows import Job, Piece, decode
from birdfast.embedders.embedder import Embedder, Floats

BATCH = 32  # windows of several recordings embedded together


@dataclass(frozen=True)
class Ear:
    """What an embedder hears of a recording, in a recipe's words; `pad` is how a window at its end is filled."""

    sample_rate: int
    duration: float  # s
    pad: str = "repeat"
    reach: float = 0.0

    @property
    def n_samples(self) -> int:
        return round(self.sample_rate * self.duration)


@dataclass(frozen=True)
class Embedded:
    """Neighbouring windows of one recording, embedded.

    With a reason, there are none: the recording cannot be read (to its end), and what was given of it is void.
    """

    job: Job
    starts: np.ndarray  # s, (n,)
    embeddings: Floats  # (n, size)
    logits: Floats | None = None  # (n, n_classes)
    reason: str = ""


def embed_jobs(
    jobs: Iterable[Job],
    embedder: Embedder,
    *,
    workers: int,
    logits: bool = False,
    pad: str = "repeat",
    batch_size: int = BATCH,
) -> Iterator[Embedded]:
    """The embeddings of the jobs' windows in order, as they come; what is given of a recording stands together.

    Parameters
    ----------
    workers
        Threads that decode.
    logits
        Whether the embedder's own logits are wanted, too.
    """
    broken: dict[str, str] = {}
    waiting: list[tuple[Piece, list[np.ndarray]]] = []
    ear = Ear(embedder.sample_rate, embedder.window, pad)
    for piece, decoded in decode(jobs, ear, workers=workers, skip=broken):
        if isinstance(decoded, Exception):
            broken[piece.job.path] = getattr(decoded, "reason", str(decoded))
            yield from _embedded(waiting, embedder, logits)
            waiting = []
            nothing = np.empty((0, embedder.size), np.float32)
            yield Embedded(piece.job, piece.starts[:0], nothing, reason=broken[piece.job.path])
            continue
        waiting.append((piece, decoded))
        if sum(len(clips) for _, clips in waiting) >= batch_size:
            yield from _embedded(waiting, embedder, logits)
            waiting = []
    yield from _embedded(waiting, embedder, logits)


def _embedded(waiting: list[tuple[Piece, list[np.ndarray]]], embedder: Embedder, logits: bool) -> Iterator[Embedded]:
    """The pieces that wait, embedded together and told apart again."""
    if not waiting:
        return
    waveforms = np.stack([clip for _, clips in waiting for clip in clips])
    embeddings, scores = embedder.run(waveforms) if logits else (embedder.embed(waveforms), None)
    done = 0
    for piece, clips in waiting:
        rows = slice(done, done + len(clips))
        yield Embedded(piece.job, piece.starts, embeddings[rows], None if scores is None else scores[rows])
        done += len(clips)
