"""Is a technique worth it: gains over paired seeds, and the table of a ladder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd

from birdfast.errors import BirdfastError, unknown

# What a row of a ladder is scored by, as tables head it; the first that all rows have decides.
SCORES = {
    "soundscape_roc_auc": "macro ROC-AUC, soundscapes",
    "roc_auc": "macro ROC-AUC, recordings",
    "accuracy": "accuracy",
    "rare_accuracy": "accuracy, rare third",
}
PAYS, COSTS, EQUAL, UNKNOWN = "pays", "costs", "no difference", "one seed"


class Gain(NamedTuple):
    """The mean difference of scores over the seeds that both have, its standard error (NaN of one seed), and how many."""

    mean: float
    error: float
    n: int

    @property
    def verdict(self) -> str:
        """Pays or costs if the mean is more than twice its standard error from 0."""
        if self.n < 2:
            return UNKNOWN if self.n else ""
        if abs(self.mean) <= 2 * self.error:
            return EQUAL
        return PAYS if self.mean > 0 else COSTS


def paired_gain(after: pd.Series, before: pd.Series) -> Gain:
    """How much better `after` is than `before`: two series of scores, indexed by what pairs them (the seed)."""
    differences = (after - before).dropna()
    n = len(differences)
    error = float(differences.std(ddof=1) / np.sqrt(n)) if n > 1 else np.nan
    return Gain(float(differences.mean()) if n else np.nan, error, n)


def main_score(rows: pd.DataFrame, score: str | None = None) -> str:
    """The score that decides: the one asked for, else the first of `SCORES` that no row lacks."""
    there = [name for name in SCORES if name in rows and rows[name].notna().all()]
    if score is not None and score not in there:
        raise unknown("score of these rows", score, there)
    if not there:
        raise BirdfastError(f"these rows hold none of the scores {', '.join(SCORES)}")
    return score or there[0]


def ladder_table(
    rows: pd.DataFrame, over: Mapping[str, str] | None = None, *, score: str | None = None
) -> pd.DataFrame:
    """A row a rung, in the order of first appearance: what it adds, scores, gain and verdict.

    Parameters
    ----------
    rows
        A row a training, as `ladder.csv` holds them: `rung, seed, adds, over, removes`, scores, `seconds_per_epoch`.
    over
        The rung that each is compared with; the column `over` unless given.
    score
        The score that decides, see :func:`main_score`.

    Returns
    -------
    DataFrame indexed by `rung`: `adds`, `n` (seeds), `score` and `spread` (mean and standard deviation of the deciding
    score), `over`, `gain` and `error` (mean of the paired differences and its standard error; of a rung that takes
    something away, what that was worth), `verdict`, `seconds_per_epoch`, and the mean of every other score.
    """
    deciding = main_score(rows, score)
    by_rung = {str(name): part for name, part in rows.groupby("rung", sort=False)}
    if over is None:
        over = {name: part["over"].iloc[-1] for name, part in by_rung.items() if part["over"].iloc[-1] in by_rung}
    seeds = {name: part.groupby("seed")[deciding].mean() for name, part in by_rung.items()}
    table = pd.DataFrame([_line(name, part, over.get(name), seeds) for name, part in by_rung.items()]).set_index("rung")
    others = [name for name in SCORES if name != deciding and name in rows]
    table = table.join(rows.groupby("rung")[others].mean())
    table.attrs["score"] = deciding
    return table


def _line(name: str, part: pd.DataFrame, over: str | None, seeds: Mapping[str, pd.Series]) -> dict[str, object]:
    removes = bool(part["removes"].iloc[-1])
    gain = Gain(np.nan, np.nan, 0)
    if over in seeds:
        better, worse = (over, name) if removes else (name, over)
        gain = paired_gain(seeds[str(better)], seeds[str(worse)])
    return {
        "rung": name, "adds": part["adds"].iloc[-1], "n": len(seeds[name]), "score": seeds[name].mean(),
        "spread": seeds[name].std(ddof=1), "over": over or "", "removes": removes, "gain": gain.mean,
        "error": gain.error, "verdict": gain.verdict, "seconds_per_epoch": part["seconds_per_epoch"].median(),
    }  # fmt: skip


def ladder_markdown(table: pd.DataFrame, *, more: pd.DataFrame | None = None) -> str:
    """What :func:`ladder_table` gives, for people; after the verdict the cells of `more`, a row a rung."""
    more = pd.DataFrame(index=table.index) if more is None else more
    deciding = table.attrs["score"]
    others = [name for name in SCORES if name in table and table[name].notna().any()]
    heads = [
        "rung",
        "what it adds",
        SCORES[deciding],
        "gain",
        "verdict",
        *more.columns,
        *(SCORES[name] for name in others),
        "s / epoch",
    ]
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    for name, row in table.iterrows():
        adds = f"without {row['adds']}" if row["removes"] else row["adds"]
        cells = [str(name), adds, _score_cell(row), _gain_cell(row), row["verdict"], *more.loc[str(name)]]
        cells += [*(_number(row[other]) for other in others), _number(row["seconds_per_epoch"], digits=1)]
        lines.append("| " + " | ".join(cells) + " |")
    if any(table["removes"]):
        lines += ["", "The gain of a row that leaves something out is what that was worth: whole less the rest."]
    return "\n".join(lines)


def _score_cell(row: pd.Series) -> str:
    spread = f" ± {row['spread']:.3f}" if row["n"] > 1 else ""
    return f"{row['score']:.3f}{spread} ({row['n']})"


def _gain_cell(row: pd.Series) -> str:
    words = gain_words(row)
    return f"{words} over {row['over']}" if words and not row["removes"] else words


def gain_words(row: pd.Series) -> str:
    """The gain of a row of :func:`ladder_table` and its standard error; nothing where there is none."""
    if np.isnan(row["gain"]):
        return ""
    return f"{row['gain']:+.3f}" + ("" if np.isnan(row["error"]) else f" ± {row['error']:.3f}")


def _number(value: float, digits: int = 3) -> str:
    return "" if np.isnan(value) else f"{value:.{digits}f}"
