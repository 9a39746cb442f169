"""`birdfast budget`: does a submission with this model fit the time limit, and how many such models do?"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Lock
from typing import Annotated, Any

import typer

from birdfast.commands.shared.models import check_models, find_predictor
from birdfast.commands.shared.options import BatchSize, Threads
from birdfast.commands.shared.places import check_files
from birdfast.errors import BirdfastError
from birdfast.files.scratch import scratch

SPARE = 0.2  # of the limit that is left free: the notebook's machine may be slower than this one
_RATE = 32_000  # Hz, of the soundscapes of every BirdCLEF
_LEAST = 20.0  # s measured at least, after a first pass that only warms up


def command(
    models: Annotated[
        list[Path],
        typer.Argument(metavar="MODEL...", help="Bundles, runs or exported files; several are an ensemble"),
    ],
    files: Annotated[int, typer.Option(help="Soundscapes to score")] = 700,
    minutes: Annotated[float, typer.Option(help="Length of each, in minutes")] = 1.0,
    limit: Annotated[float, typer.Option(help="Time limit, in minutes")] = 90.0,
    on: Annotated[
        list[Path] | None, typer.Option("--on", help="Soundscapes to measure with; noise is made unless given")
    ] = None,
    batch_size: BatchSize = 16,
    workers: Threads = None,
) -> None:
    """Measure a model here, and say whether a submission with it fits the time limit, and how many such models do.

    Exit status 1 if one does not fit.

    Example: `birdfast budget birds.onnx --files 700 --minutes 1 --limit 90`
    """
    check_models(models)
    check_files("--on", on or ())
    found = budget(
        models,
        files=files,
        minutes=minutes,
        limit=limit,
        recordings=on or (),
        batch_size=batch_size,
        workers=workers,
    )
    typer.echo(str(found))
    if not found.fits:
        raise typer.Exit(1)


@dataclass(frozen=True)
class Budget:
    """What was measured here, and what follows for `files` of `minutes` each."""

    load: float  # s, from nothing to a model that is ready
    an_hour: float  # s for one hour of sound, decoded and scored
    model_an_hour: float  # s of it that the model runs: what one more of an ensemble costs, which decodes once
    files: int
    minutes: float  # of a file
    limit: float  # minutes

    @property
    def hours(self) -> float:
        """Of sound in all files."""
        return self.files * self.minutes / 60

    @property
    def needed(self) -> float:
        """Minutes for all files."""
        return (self.load + self.an_hour * self.hours) / 60

    @property
    def models(self) -> int:
        """How many such models fit as an ensemble, with some time to spare."""
        left = self.limit * (1 - SPARE) - self.needed
        one_more = (self.load + self.model_an_hour * self.hours) / 60
        return 0 if left < 0 else 1 + math.floor(left / one_more)

    @property
    def fits(self) -> bool:
        """Whether one does, to the limit."""
        return self.needed <= self.limit

    def __str__(self) -> str:
        verdict = f"fits {self.limit:g} minutes" if self.fits else f"does NOT fit {self.limit:g} minutes"
        return (
            f"{self.files:,} files of {self.minutes:g} min need {self.needed:.1f} min on this machine: it {verdict}\n"
            f"{self.models} such models fit as an ensemble, with {SPARE:.0%} to spare; measured: {self.load:.1f} s to load, "
            f"{60 / self.an_hour:.2f} recording-hours a minute, {self.model_an_hour / self.an_hour:.0%} of the time in the "
            "model, the rest decoding, which an ensemble shares"
        )


class _Watched:
    """An engine whose time is taken: that of a batch, divided by how many are run at once."""

    def __init__(self, engine: Any) -> None:
        self.engine, self.seconds, self._lock, self._lanes = engine, 0.0, Lock(), 1
        self.name, self.device = engine.name, engine.device
        self.classes, self.recipe, self.extra = engine.classes, engine.recipe, engine.extra

    @contextmanager
    def lanes(self) -> Iterator[Any]:
        with self.engine.lanes() as lanes:
            self._lanes = lanes.n
            yield lanes

    def run(self, batch: Any) -> Any:
        started = time.perf_counter()
        scores = self.engine.run(batch)
        with self._lock:
            self.seconds += (time.perf_counter() - started) / self._lanes
        return scores


def budget(
    model: str | Path | Sequence[str | Path],
    *,
    files: int = 700,
    minutes: float = 1.0,
    limit: float = 90.0,
    recordings: Sequence[str | Path] = (),
    batch_size: int = 16,
    workers: int | None = None,
) -> Budget:
    """Measure a model on this machine, from decoding to scores; of several, their ensemble.

    Parameters
    ----------
    files, minutes, limit
        How many soundscapes of how many minutes are to be scored within how many minutes.
    recordings
        Sound like that which is to come; Ogg files of noise are made unless given.

    Raises
    ------
    BirdfastError
        If there is no model, or a number is not above 0.
    """
    for name, value in {"files": files, "minutes": minutes, "limit": limit}.items():
        if not value > 0:
            raise BirdfastError(f"--{name} must be above 0, not {value}")
    started = time.perf_counter()
    predictor = find_predictor(model, batch_size=batch_size, workers=workers)
    load = time.perf_counter() - started
    predictor.engine = watch = _Watched(predictor.engine)
    with TemporaryDirectory(dir=scratch()) as folder:
        paths = [str(file) for file in recordings] or _noise(Path(folder), minutes)
        table = predictor.predict(paths, progress=False)  # warms up
        hours = len(table) * predictor.window / 3600
        started, passes, watch.seconds = time.perf_counter(), 0, 0.0
        while passes == 0 or time.perf_counter() - started < _LEAST:
            predictor.predict(paths, progress=False)
            passes += 1
        measured = (time.perf_counter() - started, watch.seconds)
    an_hour, model_an_hour = (seconds / (passes * hours) for seconds in measured)
    return Budget(load, an_hour, model_an_hour, files, minutes, limit)


def _noise(folder: Path, minutes: float, n_files: int = 4) -> list[str]:
    """Ogg files of that length; of ten minutes at most, for the cost an hour is the same."""
    import numpy as np
    import soundfile

    samples = np.random.default_rng(0).normal(0, 0.1, round(min(minutes, 10.0) * 60 * _RATE)).astype(np.float32)
    paths = [folder / f"{number}.ogg" for number in range(n_files)]
    for path in paths:
        with soundfile.SoundFile(path, "w", _RATE, 1, format="OGG") as file:
            for start in range(0, len(samples), _RATE):  # in seconds: libsndfile's Vorbis fails on long writes
                file.write(samples[start : start + _RATE])
    return [str(path) for path in paths]
