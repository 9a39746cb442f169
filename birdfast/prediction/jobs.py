"""Windows of recordings to their scores, in batches that reach over the ends of recordings."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from tqdm.auto import tqdm

from birdfast.audio.windows import Job, Piece, decode
from birdfast.recipe.recipe import Recipe
from birdfast.scoring.engine import ONE_LANE, Lanes

_BAR = "{desc}: {percentage:3.0f}%|{bar}| {n:.2f}/{total:.2f} h [{elapsed}<{remaining}]"


@dataclass(frozen=True)
class Scored:
    """Neighbouring windows of one recording with their probabilities ``(n, n_classes)``.

    With a reason, there are none: the recording cannot be read (to its end), and what was given of it is void.
    """

    job: Job
    first: int
    scores: np.ndarray
    reason: str = ""


_Window = tuple[Job, int, np.ndarray]


@dataclass(frozen=True)
class _Broken:
    piece: Piece
    reason: str
    told: int  # windows of the recording that were scored before


_Work = list[_Window] | _Broken


class _HoursBar(tqdm):
    """A bar that does not pass its end: shares of hours add up to a little more than the whole."""

    def update(self, n: float = 1) -> bool | None:
        return super().update(min(n, self.total - self.n))


def hours_bar(seconds: float, n: int, *, progress: bool) -> tqdm:
    """A progress bar in recording-hours, with the time left."""
    return _HoursBar(
        total=seconds / 3600, desc=f"{n:,} recordings", bar_format=_BAR, disable=not (progress and seconds)
    )


def score(
    jobs: Iterable[Job],
    recipe: Recipe,
    run: Callable[[list[np.ndarray]], np.ndarray],
    *,
    batch_size: int,
    workers: int,
    lanes: Lanes = ONE_LANE,
    advance: Callable[[float], object] = lambda hours: None,
) -> Iterator[Scored]:
    """Probabilities of the jobs' windows in order, as they come; batches reach over the ends of recordings.

    All that is given of a recording stands together.

    Parameters
    ----------
    run
        Waveforms ``(n_samples,)`` to probabilities ``(len(clips), n_classes)``.
    lanes
        How many batches are run at once.
    advance
        Told each time how many recording-hours are done with.
    """
    ahead: deque[tuple[_Work, Future[np.ndarray] | None]] = deque()
    pool = ThreadPoolExecutor(lanes.n, thread_name_prefix="birdfast-model", initializer=lanes.start)
    try:
        for work in _batches(jobs, recipe, batch_size=batch_size, workers=workers):
            clips = [clip for _, _, clip in work] if isinstance(work, list) else []
            ahead.append((work, pool.submit(run, clips) if clips else None))
            if len(ahead) > lanes.n:
                yield from _told(*ahead.popleft(), advance)
        while ahead:
            yield from _told(*ahead.popleft(), advance)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _batches(jobs: Iterable[Job], recipe: Recipe, *, batch_size: int, workers: int) -> Iterator[_Work]:
    """Batches of windows in order; between them, where a recording breaks off, its void piece and why."""
    broken: dict[str, str] = {}
    waiting: list[_Window] = []
    for piece, decoded in decode(jobs, recipe, workers=workers, skip=broken):
        if isinstance(decoded, Exception):
            broken[piece.job.path] = getattr(decoded, "reason", str(decoded))
            others = [window for window in waiting if window[0] is not piece.job]
            told, waiting = piece.first - (len(waiting) - len(others)), []
            if others:  # now: what belongs to one recording must not be torn apart by another
                yield others
            yield _Broken(piece, broken[piece.job.path], told)
            continue
        waiting += [(piece.job, piece.first + k, clip) for k, clip in enumerate(decoded)]
        while len(waiting) >= batch_size:
            yield waiting[:batch_size]
            waiting = waiting[batch_size:]
    if waiting:
        yield waiting


def _told(work: _Work, future: Future[np.ndarray] | None, advance: Callable[[float], object]) -> Iterator[Scored]:
    """One batch, told apart by recordings; or what is broken."""
    if isinstance(work, _Broken):
        job = work.piece.job
        yield Scored(job, work.piece.first, np.empty((0, 0), np.float32), work.reason)
        advance(job.duration / 3600 * (1 - work.told / len(job.starts)))
        return
    assert future is not None
    scores, done = future.result(), 0
    for _, group in groupby(work, key=lambda window: id(window[0])):
        (job, first, _), *others = group
        n = 1 + len(others)
        yield Scored(job, first, scores[done : done + n])
        advance(job.duration / 3600 * n / len(job.starts))
        done += n
