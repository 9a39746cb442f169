"""The embedding job: any number of recordings into an :class:`EmbeddingStore`, going on where it stopped."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Literal

from tqdm.auto import tqdm

from birdfast.audio.per_recording import Recording
from birdfast.audio.read import AudioError, window_starts
from birdfast.audio.recordings import Paths, find_recordings, read_durations
from birdfast.audio.windows import Job
from birdfast.embedders.embedder import Embedder
from birdfast.embedders.store import Embeddings, EmbeddingStore, settings_for
from birdfast.embedders.stream import Embedded, embed_jobs
from birdfast.errors import BirdfastError
from birdfast.files.places import absolute, printable
from birdfast.notes import note


@dataclass(frozen=True)
class EmbedResult:
    """What an embedding job leaves.

    Attributes
    ----------
    done
        The recordings that have embeddings, with the version of their files, in the order asked for.
    errors
        Path and reason of those that cannot be read.
    """

    store: EmbeddingStore
    done: dict[str, str]
    errors: dict[str, str]

    def read(self) -> Embeddings:
        """The embeddings of all of them in memory."""
        return self.store.read(self.done)


def embed_into(
    out: str | Path,
    embedder: Embedder,
    paths: Paths,
    *,
    step: float | None = None,
    last: Literal["pad", "drop", "shift"] = "pad",
    pad: str = "repeat",
    logits: bool = False,
    workers: int | None = None,
    progress: bool = True,
) -> EmbedResult:
    """Embed recordings into the folder `out`, one Parquet file each; what is there already is not embedded again.

    A recording is embedded anew if its file, the embedder or a setting has changed. Memory does not grow with the length
    or number of the recordings.

    Parameters
    ----------
    out
        A folder, or the URL of one on object storage.
    paths
        Recordings, folders of them, or both.
    step
        From window to window in s; default: the embedder's.
    last, pad
        The window at the end: kept or dropped (:func:`~birdfast.audio.read.window_starts`), and how it is filled
        (:func:`~birdfast.audio.read.fit`).
    logits
        Keep the embedder's own logits, too.
    workers
        Threads that decode; default: one a core.

    Raises
    ------
    BirdfastError
        If there is nothing to embed, a setting cannot be, or no recording can be read.
    """
    settings = settings_for(embedder, step=step, last=last, pad=pad, logits=logits)
    if step is not None and not step > 0:
        raise BirdfastError(f"step is the time from window to window in s and must be above 0, not {step}")
    if logits and not embedder.classes:
        raise BirdfastError(f"{embedder.name} has no logits: leave them out, or name its output and labels")
    window_starts(settings.window, window=settings.window, step=settings.step, last=last)  # refuses a wrong `last`
    files = list(dict.fromkeys(absolute(path) for path in find_recordings(paths)))
    store = EmbeddingStore(out, settings)
    done, waiting, errors = store.plan(files)
    gone = set(errors)
    _say(store, done, waiting)
    store.begin(embedder.classes)
    errors |= _embed(store, embedder, waiting, workers=workers or os.cpu_count() or 1, progress=progress)
    return _finish(store, files, done | {recording.path: recording.version for recording in waiting}, errors, gone)


def _embed(
    store: EmbeddingStore, embedder: Embedder, waiting: Sequence[Recording], *, workers: int, progress: bool
) -> dict[str, str]:
    """Embed recordings, each file written as soon as it is through; gives the reasons of those that cannot be read."""
    by_path, how = {recording.path: recording for recording in waiting}, store.settings
    durations, errors = read_durations(list(by_path), workers=workers)
    jobs = (
        Job(path, length, window_starts(length, window=how.window, step=how.step, last=how.last))
        for path, length in durations.items()
    )
    parts = embed_jobs(jobs, embedder, workers=workers, logits=how.logits > 0, pad=how.pad)
    with tqdm(total=len(durations), desc="embedding", unit="recording", disable=not (progress and durations)) as bar:
        for path, group in groupby(parts, key=lambda part: part.job.path):
            try:
                _write(store, by_path[path], group)
            except AudioError as error:
                errors[path] = error.reason
            bar.update()
    return errors


def _write(store: EmbeddingStore, recording: Recording, parts: Iterable[Embedded]) -> None:
    with store.writing(recording) as add:
        for part in parts:
            if part.reason:
                raise AudioError(recording.path, part.reason)
            add(part)


def _say(store: EmbeddingStore, done: dict[str, str], waiting: Sequence[Recording]) -> None:
    if stale := sum(bool(recording.stale) for recording in waiting):
        note(
            f"{stale:,} recordings changed, or were embedded by another model or with other settings: they are done anew"
        )
    if done:
        note(
            f"{len(done):,} recordings have their embeddings in {store.place} already, {len(waiting):,} are to be embedded"
        )


def _finish(
    store: EmbeddingStore, files: list[str], made: dict[str, str], errors: dict[str, str], gone: set[str]
) -> EmbedResult:
    done = {path: made[path] for path in files if path not in errors}
    broken = {printable(path): errors[path] for path in files if path in errors}
    if not done:
        path, reason = next(iter(broken.items()))
        raise BirdfastError(f"none of the {len(files)} recordings can be read; the first, {path}: {reason}")
    store.finish(done, broken, gone)
    if broken:
        path, reason = next(iter(broken.items()))
        note(f"{len(broken)} of {len(files)} recordings cannot be read; the first, {path}: {reason}")
    return EmbedResult(store, done, broken)
