"""A judgement: confusions, classes, confidence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from birdfast.errors import BirdfastError
from birdfast.evaluation.report import class_support, confusion_counts
from birdfast.plots.axes import bare, new_axes, whole_numbers

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def plot_worst_pairs(table: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """The commonest confusions, as :func:`birdfast.evaluation.report.worst_pairs` lists them, most at the top."""
    ax = new_axes(ax, (7, 0.7 + 0.3 * max(len(table), 5)))
    bars = ax.barh(np.arange(len(table)), table["count"].to_numpy(), color="tab:red", alpha=0.8)
    ax.bar_label(bars, [f"{share:.0%}" for share in table["share"]], padding=3, fontsize=8)
    ax.set_yticks(np.arange(len(table)), [f"{row.true} → {row.predicted}" for row in table.itertuples()])
    ax.invert_yaxis()
    ax.set_xlim(0, max(table["count"].max() * 1.12, 1) if len(table) else 1)
    ax.set(xlabel="rows confused (and their share of the true class)", ylabel="true → predicted")
    if table.empty:
        ax.text(0.5, 0.5, "no confusion", transform=ax.transAxes, ha="center", va="center")
    whole_numbers(ax)
    bare(ax, "x")
    return ax


def plot_confusion(
    targets: ArrayLike, probabilities: ArrayLike, classes: Sequence[str], *, n: int = 15, ax: Axes | None = None
) -> Axes:
    """The confusion matrix of the `n` classes that are confused most: share of each true class, counts written in.

    `targets` ``(n_rows,)`` or ``(n_rows, n_classes)``, `probabilities` ``(n_rows, n_classes)``. Shares are of all rows
    of the true class, as in :func:`~birdfast.evaluation.report.worst_pairs`: also those taken for a class that is not
    drawn and, with multi-hot targets, those whose top class is another one present.
    """
    counts = confusion_counts(targets, probabilities)
    matrix = np.zeros((len(classes), len(classes)), dtype=int)
    matrix[counts["true"], counts["predicted"]] = counts["count"]
    chosen = _most_confused(matrix, n)
    names = [str(classes[index]) for index in chosen]
    support = np.maximum(class_support(targets, len(classes))[chosen], 1)
    part = matrix[np.ix_(chosen, chosen)]
    ax = new_axes(ax, (3.5 + 0.36 * len(chosen), 2.6 + 0.36 * len(chosen)))
    image = ax.imshow(part / support[:, None], cmap="Blues", vmin=0, vmax=1)
    _write_counts(ax, part, part / support[:, None])
    ax.set_xticks(np.arange(len(names)), names, rotation=90)
    ax.set_yticks(np.arange(len(names)), names)
    ax.set(xlabel="predicted class", ylabel="true class")
    most = "What each class is taken for" if len(names) == len(classes) else f"The {len(names)} classes confused most"
    ax.set_title(f"{most} (number of rows)", fontsize=10)
    ax.figure.colorbar(image, ax=ax, shrink=0.8, label="share of all rows of the true class")
    return ax


def _most_confused(matrix: NDArray[Any], n: int) -> list[int]:
    """The `n` classes with the most errors made and drawn (of equals, the most rows), in class order."""
    errors = matrix.sum(axis=0) + matrix.sum(axis=1) - 2 * matrix.diagonal()
    order = np.lexsort((-matrix.sum(axis=1), -errors))
    return sorted(int(index) for index in order[:n])


def _write_counts(ax: Axes, counts: NDArray[Any], shares: NDArray[Any]) -> None:
    for row, column in zip(*np.nonzero(counts), strict=True):
        color = "white" if shares[row, column] > 0.5 else "black"
        ax.text(column, row, str(counts[row, column]), ha="center", va="center", fontsize=8, color=color)


def plot_per_class(table: pd.DataFrame, *, ax: Axes | None = None, named: int = 5) -> Axes:
    """Average precision of each class against its training recordings; `named` classes that fall short, by name.

    `table` is :func:`birdfast.evaluation.report.per_class_table` with `train_counts`; classes without AP are left out.
    Named are those whose rank in AP lies furthest below their rank in recordings: look at their labels first.
    """
    if "train_recordings" not in table.columns:
        raise BirdfastError("the table lacks train_recordings: make it with per_class_table(..., train_counts=...)")
    scored = table.dropna(subset=["ap"])
    if scored.empty:
        raise BirdfastError("no class has an average precision: the truth holds no positive row")
    ax = new_axes(ax, (9, 4))
    ax.scatter(scored["train_recordings"], scored["ap"], s=18, alpha=0.6, linewidths=0)
    _recordings_axis(ax, scored["train_recordings"])
    ax.set_ylim(-0.03, 1.03)
    shortfall = scored["train_recordings"].rank() - scored["ap"].rank()
    _name_points(ax, scored.loc[shortfall[shortfall > 0].nlargest(named).index])
    ax.set(xlabel="training recordings", ylabel="average precision")
    ax.set_title(f"{len(scored)} classes, mean {scored['ap'].mean():.3f}", fontsize=10)
    bare(ax, "both")
    return ax


def _recordings_axis(ax: Axes, recordings: pd.Series) -> None:
    """Logarithmic, but linear between 0 and 1 if a class has no recording, so that it has a place."""
    from matplotlib.ticker import LogFormatter

    some = recordings.min() > 0
    if some:
        ax.set_xscale("log")
        ax.xaxis.set_minor_formatter(LogFormatter())  # 3, not 3 x 10^0
    else:
        ax.set_xscale("symlog", linthresh=1)
    ax.set_xlim(0.8 * recordings.min() if some else -0.1, max(1.3 * recordings.max(), 10))
    ax.xaxis.set_major_formatter("{x:g}")


def _name_points(ax: Axes, rows: pd.DataFrame) -> None:
    """Numbers at the points and names in a legend beside the axes: names in the cloud would hide each other."""
    for number, (name, row) in enumerate(rows.iterrows(), start=1):
        place = row["train_recordings"], row["ap"]
        ax.scatter(*place, s=26, color="tab:red", label=f"{number}  {name}")
        ax.annotate(str(number), place, (4, 3), textcoords="offset points", fontsize=8, color="tab:red")
    if len(rows):
        ax.legend(
            title="low score although many\nrecordings: check labels",
            loc="upper left",
            bbox_to_anchor=(1.0, 1.0),
            frameon=False,
        )


def plot_reliability(tables: Mapping[str, pd.DataFrame], *, ax: Axes | None = None) -> Axes:
    """How often it was so when the model said how sure it was, a line for each of the `tables` of
    :func:`~birdfast.evaluation.calibration.reliability`; on the diagonal, probabilities mean what they say."""
    ax = new_axes(ax, (4.5, 4.5))
    ax.plot([0, 1], [0, 1], color="0.7", linewidth=1, linestyle="--")
    for name, table in tables.items():
        ax.plot(table["confidence"], table["observed"], marker="o", markersize=4, label=name)
    ax.set(xlim=(0, 1), ylim=(0, 1), xlabel="probability given", ylabel="share that was so", aspect="equal")
    ax.legend(frameon=False, loc="upper left")
    bare(ax, grid="both")
    return ax
