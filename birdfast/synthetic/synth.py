"""A whole synthetic BirdCLEF, made on the spot: fixture of the tests, stand-in for 12 GB nobody wants to fetch."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from birdfast import __version__
from birdfast.errors import BirdfastError, unknown
from birdfast.synthetic.layouts import (
    LAYOUTS,
    SETTINGS_FILE,
    WINDOW,
    write_soundscape_labels,
    write_taxonomy,
    write_test,
    written_names,
)
from birdfast.synthetic.names import MAX_CLASSES
from birdfast.synthetic.plan import (
    Options,
    Soundscape,
    World,
    draw_recordings,
    draw_world,
    label_table,
    plan_soundscapes,
)
from birdfast.synthetic.sound import focal, soundscape, write_ogg


def synth(
    out: str | Path,
    *,
    n_classes: int = 20,
    n_recordings: int = 300,
    tail: float = 1.0,
    difficulty: float = 1.0,
    year: int = 2026,
    n_labelled: int = 6,
    n_unlabelled: int = 6,
    n_test: int = 8,
    n_unrecorded: int = 0,
    soundscape_duration: float = 60.0,
    recording_duration: tuple[float, float] = (5.0, 12.0),
    sample_rate: int = 32_000,
    n_recordists: int | None = None,
    seed: int = 0,
    workers: int | None = None,
    progress: bool = False,
) -> Path:
    """Write a synthetic BirdCLEF into the folder `out`. The same options give the same tables and decoded samples.

    Parameters
    ----------
    out : a new or empty folder, or one that synth wrote before (which is written anew)
    tail : how unequal the classes are; 0: equal, 1: about 20 recordings of the commonest to 1 of the rarest,
        2: 400 to 1. Every class has one at least.
    difficulty : 0: loud, clear song; 1: the default; 2 and more: faint song, individuals unlike each other
    year : 2021 to 2026, whose file names, columns and quirks are copied. Soundscapes that the year did not publish
        are not written: labelled ones exist in 2021 and 2026, unlabelled ones from 2024 on.
    n_labelled, n_unlabelled, n_test : number of soundscapes
    n_unrecorded : how many of the classes have no recording and sing in soundscapes only (2025 and 2026)
    soundscape_duration, recording_duration : s; of recordings the shortest and the longest
    sample_rate : Hz
    n_recordists : default: one for every eight recordings
    workers : threads; default: one a core, four at most. The result does not depend on it.
    progress : show a progress bar

    Returns
    -------
    Path : the folder, with ``solution.csv`` (the truth of the test soundscapes) and ``synth.json`` (the options) in it

    Raises
    ------
    BirdfastError : an option that cannot work, or a folder that holds something else
    """
    out = Path(out).expanduser()
    options = Options(
        n_classes=n_classes, n_recordings=n_recordings, tail=tail, difficulty=difficulty, year=year,
        n_labelled=n_labelled, n_unlabelled=n_unlabelled, n_test=n_test, n_unrecorded=n_unrecorded,
        soundscape_duration=soundscape_duration, recording_duration=recording_duration, sample_rate=sample_rate,
        n_recordists=max(2, n_recordings // 8) if n_recordists is None else n_recordists, seed=seed,
    )  # fmt: skip
    _check(options, workers)
    _prepare(out, options)
    world = draw_world(options)
    recordings = draw_recordings(world)
    soundscapes = plan_soundscapes(world)
    presence = _render(out, world, recordings, soundscapes, workers, progress)
    _write_tables(out, world, recordings, soundscapes, presence)
    return out


def _check(o: Options, workers: int | None) -> None:
    """Refuse what cannot work, with the reason."""
    if o.year not in LAYOUTS:
        raise unknown("year of BirdCLEF", o.year, [str(year) for year in LAYOUTS])
    _check_numbers(o, workers)
    if not 2 <= o.n_classes <= MAX_CLASSES:
        raise BirdfastError(f"n_classes must lie between 2 and {MAX_CLASSES}, not {o.n_classes}")
    if not 0 <= o.n_unrecorded <= o.n_classes - 2:
        raise BirdfastError(
            f"n_unrecorded ({o.n_unrecorded}) must leave 2 of the {o.n_classes} classes with recordings"
        )
    if o.n_unrecorded and o.year < 2025:
        raise BirdfastError(f"n_unrecorded needs year=2025 or 2026: in {o.year} the classes come from the recordings")
    if o.n_recordings < o.n_classes - o.n_unrecorded:
        raise BirdfastError(
            f"{o.n_recordings} recordings are too few for {o.n_classes - o.n_unrecorded} classes: "
            "each needs one, raise n_recordings or lower n_classes"
        )
    low, high = o.recording_duration
    if not 0.5 <= low <= high <= 600:
        raise BirdfastError(f"recording_duration must be (shortest, longest) between 0.5 and 600 s, not {low, high}")
    if not WINDOW <= o.soundscape_duration <= 3600:
        raise BirdfastError(f"soundscape_duration must lie between {WINDOW} and 3600 s, not {o.soundscape_duration}")


def _check_numbers(o: Options, workers: int | None) -> None:
    counts = {"n_labelled": 0, "n_unlabelled": 0, "n_test": 0, "n_recordists": 2, "seed": 0, "sample_rate": 8_000}
    for name, least in counts.items():
        if getattr(o, name) < least:
            raise BirdfastError(f"{name} must be {least} or more, not {getattr(o, name)}")
    for name, most in {"tail": 5, "difficulty": 5}.items():
        if not 0 <= getattr(o, name) <= most:
            raise BirdfastError(f"{name} must lie between 0 and {most}, not {getattr(o, name)}")
    if workers is not None and workers < 0:
        raise BirdfastError(f"workers must be 0 (none beside this one) or more, not {workers}")


def _prepare(out: Path, options: Options) -> None:
    """An empty folder marked as ours. Only what synth writes is removed from an older one."""
    if out.exists() and not out.is_dir():
        raise BirdfastError(f"{out} is a file: give the name of a new folder")
    if out.exists() and any(out.iterdir()):
        if not _is_ours(out):
            raise BirdfastError(f"{out} holds files that synth did not write: give a new or empty folder")
        for name in written_names():
            _remove(out / name)
    out.mkdir(parents=True, exist_ok=True)
    settings = {"made_by": "birdfast synth", "version": __version__, **asdict(options)}
    (out / SETTINGS_FILE).write_text(json.dumps(settings, indent=2) + "\n")


def _is_ours(out: Path) -> bool:
    try:
        settings = json.loads((out / SETTINGS_FILE).read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return False
    return isinstance(settings, dict) and settings.get("made_by") == "birdfast synth"


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _render(
    out: Path,
    world: World,
    recordings: pd.DataFrame,
    soundscapes: list[Soundscape],
    workers: int | None,
    progress: bool,
) -> list[np.ndarray]:
    """Write all sound; returns what sings in each soundscape: bool (n_windows, n_classes)."""
    labels = world.classes["primary_label"]
    jobs: list[Callable[[], np.ndarray | None]] = [partial(_write_soundscape, out, world, plan) for plan in soundscapes]
    for row in recordings.itertuples():
        path = out / world.layout.audio_folder / labels[int(row.species)] / f"{row.name}.ogg"  # type: ignore[arg-type]
        jobs.append(partial(_write_focal, path, world, row))
    (out / "test_soundscapes").mkdir(exist_ok=True)
    n_threads = min(4, os.cpu_count() or 1) if workers is None else max(1, workers)
    with ThreadPoolExecutor(n_threads) as pool:
        done = pool.map(lambda job: job(), jobs)
        results = list(tqdm(done, total=len(jobs), desc="synth", unit="file", disable=not progress))
    return [presence for presence in results if presence is not None]


def _write_focal(path: Path, world: World, row: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_ogg(path, focal(world, row), sample_rate=world.options.sample_rate)


def _write_soundscape(out: Path, world: World, plan: Soundscape) -> np.ndarray:
    path = out / plan.path
    path.parent.mkdir(parents=True, exist_ok=True)
    waveform, presence = soundscape(world, plan)
    write_ogg(path, waveform, sample_rate=world.options.sample_rate)
    return presence


def _write_tables(
    out: Path, world: World, recordings: pd.DataFrame, soundscapes: list[Soundscape], presence: list[np.ndarray]
) -> None:
    layout, labels = world.layout, world.classes["primary_label"].tolist()
    label_table(world, recordings).to_csv(out / layout.label_csv, index=False)
    write_taxonomy(out, layout, world.classes)
    for role, write in {"labelled": write_soundscape_labels, "test": write_test}.items():
        chosen = [(Path(s.path).stem, p) for s, p in zip(soundscapes, presence, strict=True) if s.role == role]
        if chosen:  # without test soundscapes nothing asks for a submission
            write(out, layout, [stem for stem, _ in chosen], [windows for _, windows in chosen], labels)
