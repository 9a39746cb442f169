"""Recordings decoded once: mono 16-bit waveforms of one rate, cut from a map of the disk in place of decoding."""

from __future__ import annotations

import shutil
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from os import cpu_count
from pathlib import Path

import numpy as np
import pandas as pd

from birdfast.audio.read import AudioError, read_clip
from birdfast.audio.store import MemoryStore, Store, stamp
from birdfast.errors import BirdfastError
from birdfast.notes import note

CACHES = ("waveform", "spectrogram", "embedding")
CACHE_ROOT = "cache"  # in the working directory, beside runs/
FULL_SCALE = 32767

Rows = tuple[np.ndarray, float]  # an array, and the scale that gives back its range


def waveform_store(root: str | Path, *, sample_rate: int) -> Store:
    """The store of waveforms of `sample_rate` (Hz) below `root`."""
    settings = {"kind": "waveform", "dtype": "int16", "width": 1, "sample_rate": sample_rate, "resampler": "soxr HQ"}
    return Store(root, settings)


def to_pcm(waveform: np.ndarray) -> Rows:
    """16-bit samples of a waveform, and what to multiply them by to have it back.

    What comes from a 16-bit file as it is stays exact. Anything else is scaled by its own peak: the rounding is relative to
    that, in quiet recordings too, and nothing is clipped (MP3 and Vorbis decode to more than full scale at times).
    """
    exact = waveform * 32768.0
    if np.array_equal(exact, np.rint(exact)) and exact.min(initial=0) >= -32768 and exact.max(initial=0) <= FULL_SCALE:
        return exact.astype(np.int16), 1 / 32768
    peak = float(np.abs(waveform).max())
    return np.rint(waveform * (FULL_SCALE / peak)).astype(np.int16), peak / FULL_SCALE


def from_pcm(samples: np.ndarray, scale: float) -> np.ndarray:
    """The float32 waveform of 16-bit samples."""
    return samples.astype(np.float32) * np.float32(scale)


def cache_waveforms(
    recordings: pd.DataFrame,
    root: str | Path = CACHE_ROOT,
    *,
    sample_rate: int = 32_000,
    workers: int | None = None,
    progress: bool = True,
) -> Store:
    """Decode what is not yet in the cache, and return the store of all.

    Parameters
    ----------
    recordings
        `path` and `duration` (s) of each, as `read_headers` gives them; several rows of one file count once.
    workers
        Threads that decode; default: one a core.

    Raises
    ------
    BirdfastError
        The disk has not room enough.

    Notes
    -----
    A recording that cannot be read stays out of the cache, and a note counts those.
    """
    store = waveform_store(root, sample_rate=sample_rate)

    def decode(path: str) -> Rows:
        return to_pcm(read_clip(path, sample_rate=sample_rate))

    fill(store, recordings, decode, rows_per_second=sample_rate, workers=workers, progress=progress)
    if loud := sum(store.index[path].scale * FULL_SCALE > 1 for path in set(recordings["path"]) & set(store.index)):
        note(f"{loud} recordings go beyond full scale: each is kept whole, nothing is clipped")
    return store


def fill(
    store: Store,
    recordings: pd.DataFrame,
    make: Callable[[str], Rows],
    *,
    rows_per_second: float,
    workers: int | None = None,
    progress: bool = True,
) -> dict[str, str]:
    """Make and store the arrays of `recordings` that are missing or whose files changed; says what it does.

    Returns
    -------
    dict
        Path and reason of each recording that could not be read; they are in the store no more.
    """
    changed, missing = store.sort(recordings["path"])
    if changed:
        note(f"{len(changed)} recordings changed since they were cached: they are made anew")
    if not (changed or missing):
        note(f"all {recordings['path'].nunique()} recordings are cached in {store.folder}")
        return {}
    wanted = [*changed, *missing]
    durations = recordings.drop_duplicates("path").set_index("path")["duration"].reindex(wanted)
    if not isinstance(store, MemoryStore):
        _check_room(store, float(durations.fillna(0.0).sum()), len(wanted), rows_per_second)
    store.forget(changed)
    bad: dict[str, str] = {}
    with store.writer() as add:
        wanted = [path for part in store.sort(wanted) for path in part]  # another process may have been at it
        for path, source, result in _watched(_made(wanted, make, workers or cpu_count() or 1), len(wanted), progress):
            if isinstance(result, AudioError) or source is None:
                bad[path] = getattr(result, "reason", "it is gone")
            else:
                rows, scale = result
                add(path, rows, scale, source)
    store.forget(bad)
    if bad:
        path, reason = next(iter(bad.items()))
        note(f"{len(bad)} recordings could not be cached; the first: {path}: {reason}")
    return bad


def cache_bytes(store: Store, seconds: float, rows_per_second: float) -> int:
    """Bytes that `seconds` of sound take in the store."""
    return round(seconds * rows_per_second) * store.row_bytes


def _check_room(store: Store, seconds: float, n: int, rows_per_second: float) -> None:
    """Say what will be written and what is free; raise if it does not fit."""
    needed, free = cache_bytes(store, seconds, rows_per_second), _free(store.folder)
    note(
        f"caching {n} recordings ({seconds / 3600:.2f} h) as {store.settings['kind']}s of {store.dtype}: "
        f"{needed / 1e9:.2f} GB, {free / 1e9:.1f} GB are free; in {store.folder}"
    )
    if needed > 0.98 * free:
        raise BirdfastError(
            f"the cache needs {needed / 1e9:.1f} GB, {store.folder.parent} has {free / 1e9:.1f} GB free: "
            "name a folder on another disk (--out of `birdfast cache`, --cache-dir of `birdfast train`)"
        )


def _free(folder: Path) -> int:
    """Free bytes of the disk that holds, or will hold, `folder`."""
    there = next(parent for parent in (folder, *folder.parents) if parent.exists())
    return shutil.disk_usage(there).free


def _made(paths: list[str], make: Callable[[str], Rows], workers: int) -> Iterator[tuple]:
    """``(path, stamp, array or AudioError)`` in order; a few ahead, so that the whole set is never in memory."""

    def one(path: str) -> tuple:
        source = stamp(path)  # before reading: a change in between is then seen the next time
        try:
            return path, source, make(path)
        except AudioError as error:
            return path, source, error

    pending: deque[Future] = deque()
    with ThreadPoolExecutor(workers) as pool:
        try:
            for path in paths:
                pending.append(pool.submit(one, path))
                if len(pending) > 2 * workers:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()


def _watched(results: Iterable, n: int, progress: bool) -> Iterable:
    if not progress:
        return results
    from tqdm.auto import tqdm

    return tqdm(results, total=n, desc="caching", unit="recording", leave=False, disable=None)
