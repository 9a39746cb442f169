"""Recordings as a stream of windows: threads decode a little ahead of the model, and no more than that."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from birdfast.errors import BirdfastError
from birdfast.recipe import Recipe
from birdfast.recordings.audio import AudioError, fit, get_audio_files, read_clip, read_headers

CHUNK = 60.0  # s decoded in one go: long enough to make seeking cheap, short enough to hold many in memory

Paths = str | Path | Iterable[str | Path]


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
    row: int  # of the first window, counted over all jobs
    starts: np.ndarray

    @property
    def hours(self) -> float:
        """The piece's share of the recording."""
        return self.job.duration / 3600 * len(self.starts) / len(self.job.starts)


def find_recordings(paths: Paths) -> list[str]:
    """The recordings meant, each once; a missing file that is named among others is kept, to be listed as an error.

    Raises
    ------
    BirdfastError
        If there is nothing at `paths`, or nothing in them.
    """
    if isinstance(paths, (str, Path)):
        if not Path(paths).exists():
            raise BirdfastError(f"there is no recording and no folder at {paths}")
        paths = [paths]
    found = [file for path in paths for file in (get_audio_files(path) if Path(path).is_dir() else [path])]
    if not found:
        raise BirdfastError("no recordings to predict: give a file, a folder or a list of either")
    return list(dict.fromkeys(str(file) for file in found))


def read_durations(paths: list[str], *, workers: int) -> tuple[dict[str, float], dict[str, str]]:
    """The length in s of each recording, and the reason for each that cannot be read."""
    headers = read_headers(paths, workers=workers)
    bad = headers["error"].notna()
    durations = dict(zip(headers["path"][~bad], headers["duration"][~bad].astype(float), strict=True))
    return durations, dict(zip(headers["path"][bad], headers["error"][bad], strict=True))


def cut(jobs: list[Job], *, window: float) -> Iterator[Piece]:
    """Cut each job where a piece would exceed CHUNK, or where a wide gap is better skipped than decoded."""
    row = 0
    for job in jobs:
        first = 0
        for k in range(1, len(job.starts) + 1):
            if k < len(job.starts):
                too_long = job.starts[k] + window - job.starts[first] > CHUNK
                if not too_long and job.starts[k] - job.starts[k - 1] <= 2 * window:
                    continue
            yield Piece(job, row + first, job.starts[first:k])
            first = k
        row += len(job.starts)


def read_piece(piece: Piece, recipe: Recipe) -> list[np.ndarray]:
    """Decode the piece once and cut its windows, float32 ``(n_samples,)`` each.

    Raises
    ------
    AudioError
        If it cannot be decoded, or breaks off.
    """
    first, end = float(piece.starts[0]), float(piece.starts[-1]) + recipe.duration
    span = None if end >= piece.job.duration else end - first  # None: to the end of the file
    waveform = read_clip(piece.job.path, start_time=first, duration=span, sample_rate=recipe.sample_rate)
    offsets = [round((start - first) * recipe.sample_rate) for start in piece.starts]
    return [fit(waveform[at : at + recipe.n_samples], recipe.n_samples, pad=recipe.pad) for at in offsets]


def decode(
    jobs: list[Job], recipe: Recipe, *, workers: int, skip: Mapping[str, str]
) -> Iterator[tuple[Piece, list[np.ndarray] | Exception]]:
    """Each piece in order, with its windows or the reason why it cannot be read.

    Two pieces a thread are held at most, however long the recordings. What is in `skip`, which may grow, is left out.
    """
    pieces = (piece for piece in cut(jobs, window=recipe.duration) if piece.job.path not in skip)
    ahead: deque[tuple[Piece, Future[list[np.ndarray]]]] = deque()
    pool = ThreadPoolExecutor(workers, thread_name_prefix="birdfast-decode")
    try:
        while True:
            for piece in islice(pieces, 2 * workers - len(ahead)):
                ahead.append((piece, pool.submit(read_piece, piece, recipe)))
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
