"""One model, or several averaged, as one graph that every runtime knows: waveform in and probabilities out."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from birdfast.errors import BirdfastError
from birdfast.models.losses import probabilities
from birdfast.scoring.bundle import Bundle, as_bundle, clone
from birdfast.scoring.bundle_ensemble import BundleEnsemble, as_ensemble, holds_ensemble
from birdfast.scoring.engine import Several
from birdfast.scoring.header import Header
from birdfast.spectrogram.dft import MatmulLogMel

Shippable = Bundle | BundleEnsemble


def as_shippable(model: Any, *, weights: Sequence[float] | None = None) -> Shippable:
    """The bundle or the ensemble meant by a path, a learner, several of either, or an Ensemble."""
    several = isinstance(model, (list, tuple, Several))
    if several or (isinstance(model, (str, Path)) and holds_ensemble(model)):
        return as_ensemble(model, weights=weights)
    if weights is not None:
        raise BirdfastError("weights are for several models, this is a single one: leave them out")
    return as_bundle(model)


class Shipped(nn.Module):
    """Waveforms ``(n, time)`` to probabilities ``(n, n_classes)``, of parts that every runtime knows.

    Of an ensemble it is their weighted mean; members of like spectrograms share one.
    """

    shares: Tensor

    def __init__(self, bundle: Shippable) -> None:
        super().__init__()
        ensemble = bundle if isinstance(bundle, BundleEnsemble) else BundleEnsemble([bundle], (1.0,))
        self.models = nn.ModuleList(clone(member)[1].cpu() for member in ensemble.members)
        self.reads = [
            partial(probabilities, activation=member.recipe.activation, no_call=member.recipe.no_call)
            for member in ensemble.members
        ]
        self.columns = [[member.classes.index(name) for name in bundle.classes] for member in ensemble.members]
        every = [MatmulLogMel.from_recipe(member.recipe) for member in ensemble.members]
        told = [_settings(logmel) for logmel in every]
        self.sees = [told.index(settings) for settings in told]  # the first one with the same spectrogram
        self.logmels = nn.ModuleDict({str(i): every[i] for i in dict.fromkeys(self.sees)})
        self.register_buffer("shares", torch.tensor(ensemble.weights, dtype=torch.float32))

    def forward(self, waveform: Tensor) -> Tensor:
        seen = {int(i): logmel(waveform)[:, None] for i, logmel in self.logmels.items()}
        each = [read(model(seen[i])) for model, i, read in zip(self.models, self.sees, self.reads, strict=True)]
        if len(each) == 1:
            return each[0]
        ordered = [scores[:, columns] for scores, columns in zip(each, self.columns, strict=True)]
        return (torch.stack(ordered, dim=-1) * self.shares).sum(dim=-1)


def _settings(logmel: nn.Module) -> dict[str, Any]:
    """What a spectrogram is made by: modules store each argument under its own name."""
    return {name: value for name, value in vars(logmel).items() if isinstance(value, (bool, int, float, str))}


def description(bundle: Shippable) -> Header:
    """What the file says of itself: how it hears by the first member's recipe, and which recipes trained all of them."""
    members = bundle.members if isinstance(bundle, BundleEnsemble) else []
    more = {"recipes": [member.recipe.to_dict() for member in members]} if members else {}
    return Header(bundle.classes, bundle.recipe, extra=bundle.extra | more)
