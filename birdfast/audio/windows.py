"""Recordings as a stream of decoded windows: threads decode a little ahead of who takes them, and no more."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

import numpy as np
import soundfile

from birdfast.audio.read import AudioError, fit, open_audio, read_clip
from birdfast.errors import BirdfastError

CHUNK = 60.0  # s decoded in one go: long enough to make seeking cheap, short enough to hold many in memory


class Hearing(Protocol):
    """What of a recipe decides what a model hears of a window: `duration` s at `sample_rate` Hz, beginning `reach` s early."""

    @property
    def sample_rate(self) -> int: ...
    @property
    def duration(self) -> float: ...
    @property
    def reach(self) -> float: ...
    @property
    def n_samples(self) -> int: ...
    @property
    def pad(self) -> str: ...


def check_spacing(step: float | None) -> None:
    """BirdfastError for a time between windows that is not above 0; None is the length of one."""
    if step is not None and not step > 0:
        raise BirdfastError(f"step is the time from window to window in s and must be above 0, not {step}")


@dataclass(frozen=True)
class Job:
    """One recording and the windows wanted of it."""

    path: str
    duration: float  # s, of the recording
    starts: np.ndarray  # s, rising


@dataclass(frozen=True)
class Piece:
    """Neighbouring windows of one recording, decoded in one go."""

    job: Job
    first: int  # of the job's windows
    starts: np.ndarray


def cut(jobs: Iterable[Job], *, window: float) -> Iterator[Piece]:
    """Cut each job where a piece would exceed CHUNK, or where a wide gap is better skipped than decoded."""
    for job in jobs:
        first = 0
        for k in range(1, len(job.starts) + 1):
            if k < len(job.starts):
                too_long = job.starts[k] + window - job.starts[first] > CHUNK
                if not too_long and job.starts[k] - job.starts[k - 1] <= 2 * window:
                    continue
            yield Piece(job, first, job.starts[first:k])
            first = k


class _Open(threading.local):
    """The sound file that a thread read last, still open: of an MP3, seeking on is cheap and opening anew is not."""

    path: str | None = None
    file: soundfile.SoundFile | None = None

    def __call__(self, path: str) -> soundfile.SoundFile:
        if self.file is None or path != self.path:
            self.file, self.path = None, None
            self.file, self.path = open_audio(path), path
        return self.file


def read_piece(piece: Piece, recipe: Hearing, opened: _Open) -> list[np.ndarray]:
    """Decode the piece once and cut its windows, float32 ``(n_samples,)`` each: what the model hears around each of them.

    Raises
    ------
    AudioError
        If it cannot be decoded, or breaks off.
    """
    job, heard, rate = piece.job, piece.starts - recipe.reach, recipe.sample_rate
    first, end = max(0.0, float(heard[0])), float(heard[-1]) + recipe.duration
    span = None if end >= job.duration else end - first  # None: to the end of the file
    file = opened(job.path)
    waveform = read_clip(job.path, start_time=first, duration=span, sample_rate=recipe.sample_rate, file=file)
    clips = []
    for start in heard:
        at, late = round((max(0.0, start) - first) * rate), round(max(0.0, -start) * rate)
        cut, lead = waveform[at : at + recipe.n_samples - late], late if recipe.reach else None
        clips.append(fit(cut, recipe.n_samples, pad=recipe.pad, lead=lead))
    return clips


def decode(
    jobs: Iterable[Job], recipe: Hearing, *, workers: int, skip: Mapping[str, str]
) -> Iterator[tuple[Piece, list[np.ndarray] | Exception]]:
    """Each piece in order, with its windows or the reason why it cannot be read.

    Two pieces a thread are held at most, however long the recordings. What is in `skip`, which may grow, is left out.
    """
    pieces = (piece for piece in cut(jobs, window=recipe.duration) if piece.job.path not in skip)
    ahead: deque[tuple[Piece, Future[list[np.ndarray]]]] = deque()
    pool, opened = ThreadPoolExecutor(workers, thread_name_prefix="birdfast-decode"), _Open()
    try:
        while True:
            for piece in islice(pieces, 2 * workers - len(ahead)):
                ahead.append((piece, pool.submit(read_piece, piece, recipe, opened)))
            if not ahead:
                return
            piece, future = ahead.popleft()
            if piece.job.path in skip:
                continue
            error = future.exception()
            if error is not None and not isinstance(error, (AudioError, OSError)):
                raise error
            yield piece, error if isinstance(error, (AudioError, OSError)) else future.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
