"""A model that scores windows of recordings, and keeps count of those that cannot be read."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from birdfast.audio.windows import Job
from birdfast.errors import BirdfastError
from birdfast.notes import note
from birdfast.prediction.jobs import Scored, hours_bar
from birdfast.prediction.postprocess import PostProcess, score_files
from birdfast.recipe.recipe import Recipe
from birdfast.scoring.bundle import Bundle
from birdfast.scoring.engine import Engine, Lanes, Running
from birdfast.scoring.engines.ensemble import EnsembleEngine, mean_rank
from birdfast.scoring.engines.load import load_engine

if TYPE_CHECKING:  # PyTorch is loaded by the engine that needs it
    import torch


class Scorer(Running):
    """An engine with all that scoring windows of recordings needs: batches, decoding threads, what cannot be read.

    What it takes and has is said by :class:`~birdfast.prediction.predictor.Predictor`.
    """

    def __init__(
        self,
        model: str | Path | Bundle | Sequence[Any] | Any,
        *,
        batch_size: int = 16,
        workers: int | None = None,
        device: str | torch.device | None = None,
    ) -> None:
        if batch_size < 1 or (workers is not None and workers < 1):
            raise BirdfastError(f"batch_size and workers must be 1 or more, they are {batch_size} and {workers}")
        self.engine: Engine = model if isinstance(model, EnsembleEngine) else load_engine(model, device=device)
        self.batch_size, self.workers = batch_size, workers or min(8, os.cpu_count() or 1)
        self.classes: list[str] = self.engine.classes
        self.recipe: Recipe = self.engine.recipe
        self.extra: dict[str, Any] = self.engine.extra
        self.errors = _error_table({})

    def __repr__(self) -> str:
        engines = self.engine.members if isinstance(self.engine, EnsembleEngine) else [self.engine]
        backbones = ", ".join(dict.fromkeys(engine.recipe.backbone for engine in engines))
        runs = f"{self.engine.name} on {self.engine.device}"
        return f"Predictor({backbones}, {len(self.classes)} classes, windows of {self.window:g} s, {runs})"

    @property
    def ranked(self) -> EnsembleEngine | None:
        """The ensemble whose members' ranks are averaged, for which all windows have to be scored first."""
        engine = self.engine
        return engine if isinstance(engine, EnsembleEngine) and engine.blend == "rank" else None

    @property
    def window(self) -> float:
        """Length in s of the windows that are scored."""
        return self.recipe.scored

    def score_all(
        self,
        jobs: list[Job],
        broken: dict[str, str],
        *,
        post: PostProcess | None,
        progress: bool,
        max_bad: float | None,
    ) -> np.ndarray:
        """Probabilities ``(n_windows, n_classes)`` of all jobs in order; NaN for those in :attr:`errors`."""
        total, broken = len(jobs) + len(broken), dict(broken)
        ends = np.cumsum([len(job.starts) for job in jobs])
        rows = {job.path: slice(end - len(job.starts), end) for job, end in zip(jobs, ends)}
        scores = np.full((sum(len(job.starts) for job in jobs), len(self._columns)), np.nan, dtype=np.float32)
        _check_share(broken, total, max_bad)
        bar = hours_bar(sum(job.duration for job in jobs), total, progress=progress)
        with bar, self.engine.lanes() as lanes:
            for part in self.score_jobs(jobs, post, lanes=lanes, advance=bar.update):
                if part.reason:
                    broken[part.job.path] = part.reason
                    _check_share(broken, total, max_bad)
                    scores[rows[part.job.path]] = np.nan
                else:
                    scores[rows[part.job.path]][part.first : part.first + len(part.scores)] = part.scores
        self.errors = _error_table(broken)
        _tell_broken(broken, total)
        ranked = self.ranked
        return mean_rank(np.split(scores, len(ranked.members), axis=1), ranked.weights) if ranked else scores

    @property
    def _columns(self) -> list[str]:
        """The class of each column that is scored: of ranked members, one after the other."""
        return self.classes * (len(self.ranked.members) if self.ranked else 1)

    def score_jobs(
        self, jobs: Iterable[Job], post: PostProcess | None, *, lanes: Lanes, advance: Callable[[float], object]
    ) -> Iterator[Scored]:
        """The jobs' scores as they come, from the engine's `lanes`."""
        return score_files(
            jobs, self.recipe, self._run, post=post or PostProcess(), window=self.window, classes=self._columns,
            batch_size=self.batch_size, workers=self.workers, lanes=lanes, advance=advance,
        )  # fmt: skip

    def _run(self, clips: list[np.ndarray]) -> np.ndarray:
        """Waveforms ``(time,)`` to probabilities ``(len(clips), n_classes)``; of ranked members, side by side."""
        batch, ranked = np.stack(clips), self.ranked
        scores = np.hstack(ranked.run_each(batch)) if ranked else self.engine.run(batch)
        if not np.isfinite(scores).all():
            raise BirdfastError("the model gives NaN: its training diverged, train again with a lower learning rate")
        return scores


def _check_share(broken: dict[str, str], total: int, max_bad: float | None) -> None:
    if max_bad is not None and len(broken) > max_bad * total:
        path, reason = list(broken.items())[-1]
        raise BirdfastError(
            f"{len(broken)} of {total} recordings cannot be read, more than max_bad={max_bad:.0%} allows; "
            f"the last, {path}: {reason}"
        )


def _tell_broken(broken: dict[str, str], total: int) -> None:
    if broken:
        path, reason = next(iter(broken.items()))
        if len(broken) == total:
            raise BirdfastError(f"none of the {total} recordings can be read; the first, {path}: {reason}")
        note(f"{len(broken)} of {total} recordings cannot be read, .errors lists them; the first, {path}: {reason}")


def _error_table(broken: dict[str, str]) -> pd.DataFrame:
    return pd.DataFrame({"path": list(broken), "reason": list(broken.values())}, dtype=str)
