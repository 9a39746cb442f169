"""Several bundles in one safetensors file, an ensemble that travels as one model does."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from birdfast.errors import BirdfastError
from birdfast.files.writing import replacing
from birdfast.recipe.recipe import Recipe
from birdfast.scoring.bundle import SUFFIX, Bundle, as_bundle, checked_weights, read_metadata, read_model
from birdfast.scoring.engine import Several
from birdfast.scoring.header import ENSEMBLE_KEY, Header, open_seal, read_header_json, read_members, seal
from birdfast.scoring.together import check_together, check_weights, name_of


@dataclass
class BundleEnsemble(Several):
    """Classifiers that are averaged, with all that inference needs.

    `classes` and `recipe` are the first one's; `extra` is anything JSON holds, as of a :class:`Bundle`.
    """

    members: list[Bundle]
    weights: tuple[float, ...]
    extra: dict[str, Any] = field(default_factory=dict)
    blend = "mean"

    @property
    def models(self) -> list[Bundle]:  # type: ignore[override]
        """The members, as of everything that stands for several models."""
        return self.members

    @property
    def classes(self) -> list[str]:
        """In the order of the probabilities."""
        return self.members[0].classes

    @property
    def recipe(self) -> Recipe:
        """The first one's: all hear windows of one length and rate."""
        return self.members[0].recipe


def as_ensemble(models: Any, *, weights: Sequence[float] | None = None) -> BundleEnsemble:
    """The ensemble meant by its file, by itself, or by several of what :func:`as_bundle` takes.

    Raises
    ------
    BirdfastError
        If the models do not go together, weights do not suit them, or an Ensemble blends by rank.
    """
    if isinstance(models, (Several, str, Path)) and weights is not None:
        raise BirdfastError("an ensemble has its weights already: give a list of its models with others")
    if isinstance(models, BundleEnsemble):
        return models
    if isinstance(models, Several):
        return _of_several(models)
    if isinstance(models, (str, Path)):
        return load_ensemble(models)
    if not isinstance(models, (list, tuple)):
        raise BirdfastError(f"a {type(models).__name__} is no ensemble: give several models in a list")
    members = [as_bundle(model) for model in models]
    given = check_weights(weights, len(members))
    for member, model in zip(members[1:], models[1:]):
        ours, theirs = (members[0].recipe, members[0].classes), (member.recipe, member.classes)
        check_together(ours, theirs, name_of(model, member.recipe))
    extra = {name: value for name, value in members[0].extra.items() if name not in ("calibration", "created")}
    return BundleEnsemble(members, given, extra)


def _of_several(ensemble: Several) -> BundleEnsemble:
    if ensemble.blend == "rank":
        raise BirdfastError(
            "ranks compare all windows that are predicted together, which no file of models can, it scores each by itself: "
            'write Ensemble(models, blend="mean"), or save its models one by one and rank with Ensemble(files, blend="rank")'
        )
    return as_ensemble(ensemble.models, weights=ensemble.weights)


def save_ensemble(models: Any, path: str | Path, *, weights: Sequence[float] | None = None) -> Path:
    """Write an Ensemble, or several bundles, learners or paths, to one ``.safetensors``; returns its path.

    It is put in place whole or not at all.

    Raises
    ------
    BirdfastError
        If the suffix is another, the models do not go together or blend by rank, or one is not its recipe's.
    """
    from safetensors.torch import save_file

    path = Path(path)
    if path.suffix != SUFFIX:
        raise BirdfastError(f"a bundle's name ends in {SUFFIX}: save to {path.with_suffix(SUFFIX)}, not {path}")
    ensemble = as_ensemble(models, weights=weights)
    tensors = {
        f"{i}.{name}": tensor
        for i, bundle in enumerate(ensemble.members)
        for name, tensor in checked_weights(bundle).items()
    }
    headers = [Header(b.classes, b.recipe, extra=b.extra).to_json() for b in ensemble.members]
    described = {"format": 1, "members": headers, "weights": ensemble.weights, "extra": ensemble.extra}
    with replacing(path) as temporary:
        save_file(tensors, temporary, metadata={ENSEMBLE_KEY: json.dumps(described), "seal": open_seal()})
        seal(temporary)
    return path


def holds_ensemble(path: str | Path) -> bool:
    """Whether a bundle is an ensemble's; BirdfastError if there is no bundle, or a damaged one."""
    return ENSEMBLE_KEY in read_metadata(Path(path))


def load_ensemble(path: str | Path) -> BundleEnsemble:
    """Read what :func:`save_ensemble` wrote, in eval mode, on the CPU. Runs no code from the file.

    Raises
    ------
    BirdfastError
        If it is no ensemble, damaged, of a newer birdfast, or its weights do not fit its recipes.
    """
    from birdfast.models.front_end import create_front_end

    path = Path(path)
    metadata = read_metadata(path)
    if ENSEMBLE_KEY not in metadata:
        raise BirdfastError(f"{path} is no ensemble: load it with load_bundle, or give it to Predictor")
    texts, weights, extra = read_members(metadata[ENSEMBLE_KEY], path)
    members = []
    for i, text in enumerate(texts):
        h = read_header_json(text, path)
        model = read_model(path, h, prefix=f"{i}.").eval()
        members.append(Bundle(model, create_front_end(h.recipe, h.extra), h.classes, h.recipe, h.versions, h.extra))
    ensemble = as_ensemble(members, weights=weights)
    return BundleEnsemble(ensemble.members, ensemble.weights, extra)
