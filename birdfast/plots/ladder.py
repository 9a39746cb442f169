"""A ladder: what each rung scores and gains."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from birdfast.errors import BirdfastError
from birdfast.evaluation.gains import COSTS, EQUAL, PAYS, SCORES, UNKNOWN
from birdfast.plots.axes import bare

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


VERDICT_COLORS = {PAYS: "tab:green", COSTS: "tab:red", EQUAL: "0.45", UNKNOWN: "tab:blue"}


def plot_ladder(table: pd.DataFrame, *, axes: Sequence[Axes] | None = None) -> Figure:
    """Score of each rung (left, with its spread over seeds) and its gain (right, with twice its standard error).

    `table` is :func:`birdfast.evaluation.gains.ladder_table`, drawn from the first rung at the top.
    """
    if table.empty:
        raise BirdfastError("the ladder has no rung: there is nothing to draw")
    left, right = axes if axes is not None else _two_tall_panels(len(table))
    places = np.arange(len(table))
    left.errorbar(table["score"], places, xerr=table["spread"], fmt="o", color="tab:blue", markersize=5, capsize=3)
    left.set_yticks(places, [str(name) for name in table.index])
    left.invert_yaxis()
    left.set_xlabel(f"{SCORES.get(table.attrs.get('score', ''), 'score')}, ± its spread over seeds")
    _gains(right, table.reset_index(drop=True))
    for ax in (left, right):
        bare(ax, "x")
    figure = left.get_figure(root=True)
    assert figure is not None
    return figure


def _two_tall_panels(n: int) -> tuple[Axes, Axes]:
    import matplotlib.pyplot as plt

    axes = plt.subplots(1, 2, figsize=(10, 1.4 + 0.32 * n), layout="constrained", sharey=True)[1]
    return axes[0], axes[1]


def _gains(ax: Axes, table: pd.DataFrame) -> None:
    ax.axvline(0, color="0.7", linewidth=1)
    for verdict, rows in table[table["gain"].notna()].groupby("verdict", sort=False):
        error = (2 * rows["error"]).fillna(0.0)
        ax.errorbar(
            rows["gain"], rows.index, xerr=error, fmt="o", color=VERDICT_COLORS[str(verdict)], markersize=5, capsize=3,
            label=str(verdict),
        )  # fmt: skip
    ax.tick_params(axis="y", left=False)
    ax.set_xlabel("gain, ± twice its standard error")
    if table["gain"].notna().any():
        ax.legend(frameon=False, ncols=4, loc="lower center", bbox_to_anchor=(0.5, 1.0), fontsize="small")
