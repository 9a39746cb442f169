"""Recordings as a stream of windows and their scores: threads decode a little ahead of the model, and no more."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby, islice
from pathlib import Path

import numpy as np
import soundfile
from tqdm.auto import tqdm

from birdfast.audio.read import AudioError, fit, get_audio_files, is_audio, open_audio, read_clip, read_headers
from birdfast.errors import BirdfastError
from birdfast.files.places import file_name, is_url, list_files
from birdfast.notes import note
from birdfast.recipe.recipe import Recipe
from birdfast.scoring.engine import ONE_LANE, Lanes

CHUNK = 60.0  # s decoded in one go: long enough to make seeking cheap, short enough to hold many in memory
_BAR = "{desc}: {percentage:3.0f}%|{bar}| {n:.2f}/{total:.2f} h [{elapsed}<{remaining}]"

Paths = str | Path | Iterable[str | Path]

MANIFEST, SEGMENTS = "manifest.json", "segments"  # in a folder of results: what it is, and the sounds cut out


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


def find_recordings(paths: Paths) -> list[str]:
    """The recordings meant, each once; a missing file that is named among others is kept, to be listed as an error.

    Raises
    ------
    BirdfastError
        If there is nothing at `paths`, or nothing in them.
    """
    if isinstance(paths, (str, Path)):
        if not is_url(paths) and not Path(paths).exists():
            raise BirdfastError(f"there is no recording and no folder at {paths}")
        paths = [paths]
    found = [file for path in paths for file in _recordings_at(path)]
    if not found:
        raise BirdfastError("no recordings to predict: give a file, a folder or a list of either")
    return list(dict.fromkeys(str(file) for file in found))


def _recordings_at(path: str | Path) -> list[str | Path]:
    """A recording itself, or those in a folder."""
    if is_url(path) and not is_audio(path):
        files = list_files(str(path), recurse=True)
        return [file for file in files if is_audio(file) and not file_name(file).startswith(".")]
    if is_url(path):
        return [path]
    return _without_cuts(get_audio_files(path), Path(path)) if Path(path).is_dir() else [path]


def _without_cuts(files: list[Path], folder: Path) -> list[str | Path]:
    """The files but those that an earlier prediction, into a folder below, cut out of them."""
    inside = {place for file in files for place in file.parents if place.name == SEGMENTS and folder in place.parents}
    cut = {place for place in inside if (place.parent / MANIFEST).is_file()}
    kept = [file for file in files if cut.isdisjoint(file.parents)]
    if len(kept) < len(files):
        note(f"left out: {len(files) - len(kept):,} sounds that were cut out of recordings, in {min(cut)}")
    return [*kept]


def read_durations(paths: list[str], *, workers: int) -> tuple[dict[str, float], dict[str, str]]:
    """The length in s of each recording, and the reason for each that cannot be read."""
    headers = read_headers(paths, workers=workers)
    bad = headers["error"].notna()
    durations = dict(zip(headers["path"][~bad], headers["duration"][~bad].astype(float), strict=True))
    return durations, dict(zip(headers["path"][bad], headers["error"][bad], strict=True))


class _HoursBar(tqdm):
    """A bar that does not pass its end: shares of hours add up to a little more than the whole."""

    def update(self, n: float = 1) -> bool | None:
        return super().update(min(n, self.total - self.n))


def hours_bar(seconds: float, n: int, *, progress: bool) -> tqdm:
    """A progress bar in recording-hours, with the time left."""
    return _HoursBar(
        total=seconds / 3600, desc=f"{n:,} recordings", bar_format=_BAR, disable=not (progress and seconds)
    )


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


def read_piece(piece: Piece, recipe: Recipe, opened: _Open) -> list[np.ndarray]:
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
    jobs: Iterable[Job], recipe: Recipe, *, workers: int, skip: Mapping[str, str]
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
