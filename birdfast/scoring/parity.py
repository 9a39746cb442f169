"""Do two engines say the same of the same sound, and if not, where do they differ most?"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from birdfast.audio.read import fit, window_starts
from birdfast.audio.recordings import Paths, find_recordings, read_durations
from birdfast.audio.windows import Job, decode
from birdfast.errors import BirdfastError
from birdfast.recipe.recipe import Recipe
from birdfast.scoring.engine import Engine
from birdfast.synthetic.songs import compose, draw_individual, draw_species, sing

MOST = 64  # windows compared
Windows = list[tuple[str, NDArray[np.float32]]]  # where from, in words, and the waveform


@dataclass(frozen=True)
class Difference:
    """The largest distance between two probabilities, and where it is."""

    size: float
    window: str
    label: str
    wanted: float
    found: float

    def __str__(self) -> str:
        return f"Most in {self.window}, class {self.label}: {self.found:.6f} where PyTorch says {self.wanted:.6f}"


def check_windows(recipe: Recipe, recordings: Paths | None = None) -> Windows:
    """Up to 64 windows of real recordings, spread over them; of synthetic songs unless given."""
    return _synthetic(recipe) if recordings is None else _recorded(recipe, recordings)


def compare(wanted: Engine, found: Engine, windows: Windows) -> Difference:
    """The largest difference between two engines: all windows in batches, one alone, and one of another length."""
    waveforms = np.stack([waveform for _, waveform in windows])
    names = [name for name, _ in windows]
    longer = np.concatenate([waveforms[0], waveforms[-1][: len(waveforms[-1]) // 3]])[None]
    batches = [(waveforms[k : k + 16], names[k : k + 16]) for k in range(0, len(names), 16)]
    batches += [(waveforms[:1], names[:1]), (longer, [f"{names[0]}, lengthened by a third"])]
    return max((_difference(wanted, found, *batch) for batch in batches), key=lambda difference: difference.size)


def _difference(wanted: Engine, found: Engine, batch: NDArray[np.float32], names: list[str]) -> Difference:
    left, right = wanted.run(batch), found.run(batch)
    apart = np.abs(left - right)
    apart[np.isnan(apart)] = np.inf  # NaN on one side is as far apart as can be
    row, column = np.unravel_index(int(apart.argmax()), apart.shape)
    sides = float(left[row, column]), float(right[row, column])
    return Difference(float(apart[row, column]), names[row], wanted.classes[column], *sides)


def _recorded(recipe: Recipe, recordings: Paths) -> Windows:
    durations, broken = read_durations(find_recordings(recordings), workers=2)
    each = max(1, MOST // max(len(durations), 1))
    jobs = []
    for path, duration in islice(durations.items(), MOST):
        starts = window_starts(duration, window=recipe.scored)
        jobs.append(Job(path, duration, starts[np.unique(np.linspace(0, len(starts) - 1, each).round().astype(int))]))
    windows: Windows = []
    for piece, clips in decode(jobs, recipe, workers=2, skip=broken):
        if isinstance(clips, Exception):
            broken[piece.job.path] = str(clips)
            continue
        windows += [(f"{piece.job.path} from {s:g} s", c) for s, c in zip(piece.starts, clips, strict=True)]
    if not windows:
        path, reason = next(iter(broken.items()))
        raise BirdfastError(f"no recording to compare the engines on can be read; the first, {path}: {reason}")
    return windows


def _synthetic(recipe: Recipe) -> Windows:
    """Birds sing over noise, loud and faint; one window begins in silence, one is silent."""
    windows: Windows = []
    for seed in range(8):
        rng = np.random.default_rng(seed)
        bird = draw_individual(draw_species(rng), rng)
        rate, n_samples = recipe.sample_rate, recipe.n_samples
        song = sing(compose(bird, recipe.duration, rng), bird.centre, n_samples=n_samples, sample_rate=rate)
        noise = rng.standard_normal(n_samples) * 10 ** rng.uniform(-4, -1.5)
        windows.append((f"synthetic song {seed}", (song * 10 ** rng.uniform(-2, -0.3) + noise).astype(np.float32)))
    late = windows[0][1].copy()
    late[: len(late) // 2] = 0
    silence = np.zeros(recipe.n_samples, np.float32)
    return [*windows, ("a song after silence", fit(late, recipe.n_samples)), ("digital silence", silence)]
