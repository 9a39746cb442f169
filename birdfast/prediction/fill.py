"""Recordings scored into a store, each as soon as it is through: on this machine, or in an actor of Ray."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby

from birdfast.audio.per_recording import Recording
from birdfast.audio.read import AudioError, window_starts
from birdfast.audio.recordings import read_durations
from birdfast.audio.windows import Job
from birdfast.prediction.jobs import Scored, hours_bar
from birdfast.prediction.scorer import Scorer
from birdfast.prediction.store import Store


def score_into(store: Store, scorer: Scorer, recordings: Sequence[Recording], *, progress: bool) -> dict[str, str]:
    """Score recordings into a store, each as soon as it is through; gives the reasons of those that cannot be read."""
    by_path, how = {recording.path: recording for recording in recordings}, store.settings
    durations, errors = read_durations(list(by_path), workers=scorer.workers)
    jobs = (
        Job(path, length, window_starts(length, window=how.window, step=how.step, last=how.last))
        for path, length in durations.items()
    )
    bar = hours_bar(sum(durations.values()), len(recordings), progress=progress)
    with bar, scorer.engine.lanes() as lanes:
        parts = scorer.score_jobs(jobs, how.post, lanes=lanes, advance=bar.update)
        for path, group in groupby(parts, key=lambda part: part.job.path):
            try:
                _write(store, by_path[path], group)
            except AudioError as error:
                errors[path] = error.reason
    return errors


def _write(store: Store, recording: Recording, parts: Iterable[Scored]) -> None:
    with store.writing(recording) as write:
        row = 0
        for part in parts:
            if part.reason:
                raise AudioError(recording.path, part.reason)
            if part.first != row:
                raise RuntimeError(f"window {row} of {recording.path} has no scores: nothing was written for it")
            row += len(part.scores)
            write(part.job.starts[part.first : row], part.scores, part.job.duration)
