"""A training: its history, and the recordings of each class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from birdfast.errors import BirdfastError
from birdfast.plots.axes import bare, new_axes, whole_numbers

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


NAMED = 40  # classes up to which every bar carries its name


def plot_history(history: pd.DataFrame, *, axes: Sequence[Axes] | None = None) -> Figure:
    """Losses (left, with the learning rate) and metrics (right) over the epochs, which are drawn as 1, 2, 3...

    `history` has the columns epoch (from 0, as fastai counts and history.csv has it), train_loss, valid_loss, lr if it was
    kept, and a column a metric; columns that are no numbers are left out.
    """
    if "epoch" not in history.columns:
        raise BirdfastError(f"a history has the column epoch, this one has {', '.join(map(str, history.columns))}")
    left, right = axes if axes is not None else _two_panels()
    losses = [name for name in ("train_loss", "valid_loss") if name in history.columns]
    _lines(left, history, losses)
    left.set(xlabel="epoch", ylabel="loss")
    if "lr" in history.columns:
        _learning_rate(left, history)
    metrics = [name for name in history.select_dtypes("number").columns if name not in {"epoch", "lr", *losses}]
    _lines(right, history, metrics)
    right.set(xlabel="epoch", ylabel="metric")
    if metrics and history[metrics].min().min() >= 0 and history[metrics].max().max() <= 1:
        right.set_ylim(0, 1.02)
    figure = left.get_figure(root=True)
    assert figure is not None
    return figure


def _two_panels() -> tuple[Axes, Axes]:
    import matplotlib.pyplot as plt

    axes = plt.subplots(1, 2, figsize=(10, 3.6), layout="constrained")[1]
    return axes[0], axes[1]


def _lines(ax: Axes, history: pd.DataFrame, names: Sequence[str]) -> None:
    for name in names:
        ax.plot(history["epoch"] + 1, history[name], marker="o", markersize=3, label=str(name).replace("_", " "))
    whole_numbers(ax)
    bare(ax, "y")
    if names:
        # Above the axes: lines may lie anywhere inside.
        ax.legend(frameon=False, ncols=3, loc="lower center", bbox_to_anchor=(0.5, 1.0), fontsize="small")


def _learning_rate(ax: Axes, history: pd.DataFrame) -> None:
    twin = ax.twinx()
    twin.plot(history["epoch"] + 1, history["lr"], color="0.7", linestyle=":", label="learning rate")
    twin.set_ylabel("learning rate", color="0.5")
    twin.tick_params(axis="y", colors="0.5")
    twin.ticklabel_format(axis="y", style="sci", scilimits=(-2, 3))
    twin.set_ylim(bottom=0)
    twin.spines["top"].set_visible(False)


def plot_class_counts(counts: pd.Series, *, ax: Axes | None = None) -> Axes:
    """Recordings of each class, most first, on a logarithmic axis; classes without any are counted in the title."""
    some = counts[counts > 0].sort_values(ascending=False, kind="stable")
    if some.empty:
        raise BirdfastError("no class has a recording: there is nothing to draw")
    ax = new_axes(ax, (9, 3.6))
    few = len(some) <= NAMED
    # Many bars touch, unsmoothed: gaps thinner than a pixel would draw a pattern of their own.
    bars = ax.bar(np.arange(len(some)), some.to_numpy(), width=0.85 if few else 1.0, color="tab:blue", antialiased=few)
    ax.set_yscale("log")
    ax.set_ylim(bottom=0.7)
    ax.set_xlim(-0.7, len(some) - 0.3)
    ax.yaxis.set_major_formatter("{x:g}")
    bare(ax, "y")
    if few:
        _name_bars(ax, [str(name) for name in some.index])
        ax.bar_label(bars, [f"{count:g}" for count in some], padding=1, fontsize=8)
    ax.set_xlabel("class" if few else "classes, from the most to the least recorded")
    ax.set_ylabel("recordings")
    without = len(counts) - len(some)
    ending = f"; {without} more without any" if without else ""
    span = " to ".join(f"{count:g}" for count in dict.fromkeys([some.iloc[0], some.iloc[-1]]))
    ax.set_title(f"{len(some)} classes, {span} recordings each{ending}", fontsize=10)
    return ax


def _name_bars(ax: Axes, names: Sequence[str]) -> None:
    """Names below the bars, upright where they have the room."""
    pixels = 0.6 * 8 / 72 * ax.figure.dpi  # of a letter at 8 points, about
    room = ax.get_window_extent().width / len(names)
    fits = all(pixels * (len(name) + 1) < room for name in names)
    ax.set_xticks(np.arange(len(names)), names, rotation=0 if fits else 90, fontsize=8)
