"""The tables and pictures that judge a classifier, in a folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from birdfast.evaluation.report import per_class_table, worst_pairs


def write_tables(
    out: Path, targets: np.ndarray, probabilities: np.ndarray, classes: Sequence[str], counts: pd.Series | None
) -> pd.DataFrame:
    """Write per_class.csv, worst_pairs.csv and their pictures; returns the first."""
    from birdfast.plots.judgement import plot_confusion, plot_per_class, plot_worst_pairs

    table = per_class_table(targets, probabilities, classes, train_counts=counts)
    pairs = worst_pairs(targets, probabilities, classes, n=20)
    table.to_csv(out / "per_class.csv")
    pairs.to_csv(out / "worst_pairs.csv", index=False)
    save_plot(plot_worst_pairs(pairs), out / "worst_pairs.png")
    save_plot(plot_confusion(targets, probabilities, classes), out / "confusion.png")
    if counts is not None and table["ap"].notna().any():
        save_plot(plot_per_class(table), out / "per_class.png")
    return table


def save_plot(drawn: Any, path: Path) -> None:
    """Write a figure, or the figure of axes, and let it go."""
    import matplotlib.pyplot as plt

    figure = drawn if hasattr(drawn, "savefig") else drawn.get_figure()
    figure.savefig(path, dpi=110, bbox_inches="tight")
    plt.close(figure)
