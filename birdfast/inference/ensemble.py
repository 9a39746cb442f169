"""Several models as one predictor."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from birdfast.errors import BirdfastError
from birdfast.inference.ensemble_engine import Blend, EnsembleEngine
from birdfast.inference.predictor import Predictor


class Ensemble(Predictor):
    """A :class:`Predictor` of several models; ``Predictor([a, b])`` is the same with the plain mean.

    Parameters
    ----------
    models
        Two or more of what a Predictor takes; they hear windows of one length and know the same classes, in any order.
    blend, weights
        "mean" or "rank", and what each model counts: see :class:`EnsembleEngine`. Weights can be found with
        :func:`~birdfast.evaluation.blending.blend_weights` on out-of-fold predictions.
    device, options
        Of the :class:`Predictor`.

    Raises
    ------
    BirdfastError
        If the members do not go together, saying which and why.
    """

    def __init__(
        self,
        models: Sequence[Any],
        *,
        blend: Blend = "mean",
        weights: Sequence[float] | None = None,
        device: Any = None,
        **options: Any,
    ) -> None:
        super().__init__(EnsembleEngine(models, blend=blend, weights=weights, device=device), **options)


def load_predictor(
    models: Sequence[str | Path], *, blend: Blend = "mean", weights: Sequence[float] | None = None, **options: Any
) -> Predictor:
    """A :class:`Predictor` of one model, an :class:`Ensemble` of several."""
    if len(models) == 1 and (blend != "mean" or weights is not None):
        raise BirdfastError(f"blend and weights are for several models, {models[0]} is the only one")
    if len(models) == 1:
        return Predictor(models[0], **options)
    return Ensemble(models, blend=blend, weights=weights, **options)
