"""The same scores judged by the window, by the minute and by the recording, and how far chance may have moved them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from birdfast.evaluation import metrics
from birdfast.evaluation.metrics import PRESENT, Floats, Ints, check

MINUTE = 60.0  # s
JUDGED = {"roc_auc": metrics.roc_auc, "cmap": metrics.cmap, "macro_f1": metrics.macro_f1}
_WORK = 20_000_000  # cells scored in all draws together: some seconds
_DRAWS = (50, 500)


def level_table(targets: ArrayLike, probabilities: ArrayLike, rows: pd.DataFrame, *, seed: int = 0) -> pd.DataFrame:
    """One row a level: ``rows``, then ``roc_auc, cmap, macro_f1`` and the ends of their 95 % intervals (``_low, _high``).

    Parameters
    ----------
    rows : DataFrame ``path, start_time, ...`` (s)
        Where each row of the scores comes from.
    """
    table = {}
    for level, (truth, scores, paths) in by_level(targets, probabilities, rows).items():
        figures: dict[str, float] = {"rows": len(scores)}
        ends = intervals(truth, scores, paths, seed=seed)
        for name, judge in JUDGED.items():
            figures |= {name: judge(truth, scores), f"{name}_low": ends[name][0], f"{name}_high": ends[name][1]}
        table[level] = figures
    return pd.DataFrame.from_dict(table, orient="index").astype({"rows": int}).rename_axis("level")


def by_level(
    targets: ArrayLike, probabilities: ArrayLike, rows: pd.DataFrame
) -> dict[str, tuple[NDArray[Any], Floats, NDArray[Any]]]:
    """Targets, probabilities and paths at each level that the rows allow.

    Multi-hot windows: "window", "minute", "recording"; a class is present in a stretch if it is in one of its windows,
    with the highest probability of these. Class indices are of recordings already.
    """
    truth, scores = check(targets, probabilities)
    paths = rows["path"].to_numpy(dtype=object)
    if truth.ndim == 1:
        return {"recording": (truth, scores, paths)}
    minutes = (rows["start_time"].fillna(0) // MINUTE).to_numpy()
    found = {"window": (truth, scores, paths)}
    for level, key in (("minute", minutes), ("recording", np.zeros(len(rows)))):
        codes = pd.factorize(pd.MultiIndex.from_arrays([paths, key]))[0]
        first = np.unique(codes, return_index=True)[1]
        found[level] = (_present(truth, codes), _highest(scores, codes), paths[first])
    return found


def _present(truth: NDArray[Any], codes: Ints) -> Floats:
    """Present where one window holds the class, unknown where none does and one is unknown."""
    values = truth.astype(np.float64)
    known = _highest(np.nan_to_num(values), codes)
    return np.where(known >= PRESENT, known, _highest(values, codes))


def _highest(values: NDArray[Any], codes: Ints) -> NDArray[Any]:
    """The maximum of the rows of each code, codes in order; NaN where one is."""
    order = np.argsort(codes, kind="stable")
    starts = np.flatnonzero(np.diff(codes[order], prepend=-1))
    return np.maximum.reduceat(values[order], starts, axis=0) if len(starts) else values


def intervals(
    targets: ArrayLike, probabilities: ArrayLike, groups: ArrayLike, *, draws: int | None = None, seed: int = 0
) -> dict[str, tuple[float, float]]:
    """95 % bootstrap intervals (Efron 1979) of each figure in JUDGED.

    Whole recordings are drawn, not windows: neighbours are alike, and drawing them singly would make chance look small.
    With one recording the intervals are its figures.

    Parameters
    ----------
    groups : ``(n,)``, the recording of each row
    draws : as many as some seconds allow, 50 to 500, unless given
    """
    truth, scores = check(targets, probabilities)
    rng, codes = np.random.default_rng(seed), pd.factorize(np.asarray(groups, dtype=object))[0]
    members = [np.flatnonzero(codes == code) for code in range(codes.max(initial=-1) + 1)]
    if draws is None:
        draws = int(np.clip(_WORK // max(scores.size, 1), *_DRAWS))
    drawn: dict[str, list[float]] = {name: [] for name in JUDGED}
    for _ in range(draws if members else 0):
        rows = np.concatenate([members[i] for i in rng.integers(len(members), size=len(members))])
        for name, judge in JUDGED.items():
            drawn[name].append(judge(truth[rows], scores[rows]))
    ends = {name: np.quantile(values, [0.025, 0.975]) if values else (np.nan, np.nan) for name, values in drawn.items()}
    return {name: (float(low), float(high)) for name, (low, high) in ends.items()}
