"""Several models as one predictor."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from birdfast.errors import BirdfastError
from birdfast.prediction.predictor import Predictor
from birdfast.scoring.bundle import as_kept
from birdfast.scoring.engine import Several
from birdfast.scoring.engines.ensemble import Blend
from birdfast.scoring.engines.load import load_together


class Ensemble(Predictor, Several):
    """A :class:`Predictor` of several models; ``Predictor([a, b])`` predicts the same with the plain mean.

    It goes where a single model does: ``evaluate``, ``export_model`` and ``save_ensemble`` take it as it is.

    Parameters
    ----------
    models
        Two or more of what a Predictor takes; they hear windows of one length and know the same classes, in any order.
    blend, weights
        "mean" or "rank", and what each model counts: see :class:`~birdfast.scoring.engines.ensemble.EnsembleEngine`.
        Weights can be found with :func:`~birdfast.evaluation.blending.blend_weights` on out-of-fold predictions.
    device, options
        Of the :class:`Predictor`.

    Attributes
    ----------
    models
        The members as they were given; of a learner, a :class:`~birdfast.scoring.bundle.Bundle` of its weights then.
    blend, weights
        As given; the weights with a sum of 1.

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
        self.models = [as_kept(model) for model in models]
        engine = load_together(self.models, blend=blend, weights=weights, device=device)
        self.blend, self.weights = engine.blend, engine.weights
        super().__init__(engine, **options)


def each_model(models: Any) -> list[Any]:
    """The models that are meant by one, or by several in a list or any other iterable."""
    return list(models) if isinstance(models, Iterable) and not isinstance(models, str) else [models]


def load_predictor(
    models: Sequence[Any], *, blend: Blend = "mean", weights: Sequence[float] | None = None, **options: Any
) -> Predictor:
    """A :class:`Predictor` of one model, an :class:`Ensemble` of several."""
    if len(models) == 1 and (blend != "mean" or weights is not None):
        if isinstance(models[0], Ensemble):
            raise BirdfastError(
                "an Ensemble has its blend and weights: make another, Ensemble(ensemble.models, weights=...)"
            )
        name = models[0] if isinstance(models[0], (str, Path)) else f"this {type(models[0]).__name__}"
        raise BirdfastError(f"blend and weights are for several models, {name} is the only one")
    if len(models) == 1:
        return Predictor(models[0], **options)
    return Ensemble(models, blend=blend, weights=weights, **options)
