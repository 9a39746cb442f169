"""How often a recording or a window is drawn, and what the labels of a mixed-in window sum to."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from birdfast.errors import BirdfastError


def sampling_weights(
    labels: Iterable[str], *, power: float = 0.5, floor: float = 1, cap: float = 1_000_000
) -> np.ndarray:
    """How likely each recording is to be drawn, float64 (n,), sums to 1: ``clip(count(label), floor, cap) ** -power``.

    `power` 0 draws them as they come, 1 draws every class equally often; 0.5 is BirdCLEF 2023's 1st place. `floor`
    keeps the rarest classes from being drawn over and over, `cap` the commonest from being drawn too seldom.
    """
    series = pd.Series(list(labels), dtype=object)
    counts = series.map(series.value_counts()).to_numpy(np.float64)
    weights = np.clip(counts, floor, cap) ** -float(power)
    return weights / weights.sum()


def sum_to(targets: np.ndarray, total: float) -> np.ndarray:
    """Each row of `targets` (n, n_classes) scaled to sum to `total`; rows of zeros, without a call, stay."""
    sums = targets.sum(axis=1, keepdims=True)
    return targets * np.divide(total, sums, out=np.zeros_like(sums), where=sums > 0)


def sum_at_most(targets: np.ndarray, most: float) -> np.ndarray:
    """Rows of `targets` (n, n_classes) that sum to more than `most`, scaled to it (BirdCLEF 2026, 1st place)."""
    sums = targets.sum(axis=1, keepdims=True)
    return targets * np.divide(most, sums, out=np.ones_like(sums), where=sums > most)


def confidence_weights(paths: Sequence[str], probabilities: np.ndarray) -> np.ndarray:
    """How likely each pseudo-labelled window is to be drawn, float64 (n,), sums to 1 (BirdCLEF 2025, 1st place).

    A file weighs the sum over the classes of its highest probability, shared evenly among its windows.

    Raises
    ------
    BirdfastError
        If all probabilities are 0.
    """
    if not probabilities.any():
        raise BirdfastError(
            f"the {len(probabilities)} windows with pseudo-labels have 0 for every class: label them by a model that hears calls"
        )
    files, inverse, counts = np.unique(np.asarray(paths, dtype=object), return_inverse=True, return_counts=True)
    highest = np.zeros((len(files), probabilities.shape[1]))
    np.maximum.at(highest, inverse, probabilities)
    weights = (highest.sum(axis=1) / counts)[inverse]
    return weights / weights.sum()
