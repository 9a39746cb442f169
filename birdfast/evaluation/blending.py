"""What each of several models should count, found on predictions that none of them was trained on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from birdfast.errors import BirdfastError
from birdfast.evaluation.metrics import check, roc_auc

_STEPS = (0.32, 0.16, 0.08, 0.04, 0.02)  # of weight, moved from one model to another
_LEAST = 1e-5  # of the metric that a move must gain: less is noise


def blend_weights(
    targets: ArrayLike,
    probabilities: Sequence[ArrayLike],
    metric: Callable[[Any, Any], float] = roc_auc,
) -> NDArray[np.float64]:
    """Weights, 0 or more with a sum of 1, by which the models' mean scores best: for ``Ensemble(models, weights=...)``.

    Hill climbing from equal weights: the move of a step of weight from one model to another that gains most is made, until
    none gains; then with half the step. What cannot be bettered stays equal, which generalises best as BirdCLEF 2026's 2nd
    place found: use many rows and few models, and out-of-fold predictions only, or the weights reward over-fitting.

    Parameters
    ----------
    targets
        As for the metrics: ``(n,)`` or ``(n, n_classes)``.
    probabilities
        Of each model, ``(n, n_classes)``, rows and classes as the targets'; for a blend of ranks, the ranks.
    metric
        Of targets and scores; higher is better.

    Raises
    ------
    BirdfastError
        If there are no models, or their probabilities do not go with the targets.
    """
    if not len(probabilities):
        raise BirdfastError("weights are found for a model or more, none was given")
    tables = np.stack([check(targets, table)[1] for table in probabilities]).astype(np.float64)
    truth, n = np.asarray(targets), len(tables)

    def score(weights: NDArray[np.float64]) -> float:
        return metric(truth, np.tensordot(weights, tables, axes=1))

    weights = np.full(n, 1 / n)
    best = score(weights)
    for step in _STEPS:
        while True:
            moved = [(score(other), other) for other in _moves(weights, step)]
            gain, other = max(moved, key=lambda pair: pair[0], default=(best, weights))
            if gain <= best + _LEAST:
                break
            best, weights = gain, other
    return weights


def _moves(weights: NDArray[np.float64], step: float) -> list[NDArray[np.float64]]:
    """The weights after each move of `step`, or of what is left, from one model to another."""
    moves = []
    for giver, taker in np.argwhere(~np.eye(len(weights), dtype=bool)):
        part = min(step, weights[giver])
        if part > 0:
            moved = weights.copy()
            moved[giver] -= part
            moved[taker] += part
            moves.append(moved)
    return moves
