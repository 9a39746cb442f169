"""What a model calls where no bird sings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from birdfast.scoring.engine import Engine
from birdfast.synthetic.noises import NOISES

MINUTE = 60.0  # s of each noise
_TOGETHER = 4  # windows run at once
COLUMNS = ["noise", "windows", "highest", "called", "class"]


def noise_table(engine: Engine, thresholds: Mapping[str, float] | float = 0.5, *, seed: int = 0) -> pd.DataFrame:
    """Score a minute of each noise, window by window.

    Parameters
    ----------
    thresholds
        From which probability each class counts as called, or one for all.

    Returns
    -------
    DataFrame
        A row a noise: `noise`, `windows`, `highest` (mean of the windows' highest probability), `called` (share of windows in
        which any class reaches its threshold), and the `class` that is called most, or that comes nearest.
    """
    limits = np.array([_threshold(thresholds, name) for name in engine.classes], np.float32)
    rows = [_score(name, _windows(engine, name, seed), engine, limits) for name in NOISES]
    return pd.DataFrame(rows, columns=COLUMNS)


def noise_line(table: pd.DataFrame) -> str:
    """The table in one sentence."""
    share = float(np.average(table["called"], weights=table["windows"]))
    n = int(table["windows"].sum())
    if not share:
        return f"noise: nothing is called in {n} windows of silence, noise, rain and hum"
    worst = table.iloc[int(table["called"].to_numpy().argmax())]
    return (
        f"noise: something is called in {share:.0%} of {n} windows without a bird, most in {worst['noise']} "
        f"({worst['called']:.0%}, {worst['class']})"
    )


def _threshold(thresholds: Mapping[str, float] | float, name: str) -> float:
    return float(thresholds.get(name, 0.5)) if isinstance(thresholds, Mapping) else float(thresholds)


def _windows(engine: Engine, name: str, seed: int) -> list[np.ndarray]:
    recipe = engine.recipe
    rng = np.random.default_rng([seed, sorted(NOISES).index(name)])
    n, step = recipe.n_samples, round(recipe.scored * recipe.sample_rate)
    sound = NOISES[name](max(n, round(MINUTE * recipe.sample_rate)), recipe.sample_rate, rng)
    return [sound[first : first + n] for first in range(0, len(sound) - n + 1, step)]


def _score(name: str, windows: Sequence[np.ndarray], engine: Engine, limits: np.ndarray) -> tuple[object, ...]:
    batches = [np.stack(windows[i : i + _TOGETHER]) for i in range(0, len(windows), _TOGETHER)]
    scores = np.concatenate([engine.run(batch) for batch in batches])
    over = (scores - limits).max(0)
    called = (scores >= limits).any(1).mean()
    return name, len(windows), float(scores.max(1).mean()), float(called), engine.classes[int(over.argmax())]
