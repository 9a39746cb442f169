"""Every kind of file that holds a model, and the engine of whatever a person gives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from birdfast.errors import BirdfastError, unknown
from birdfast.notes import loading
from birdfast.recipe.knobs import names_embedder
from birdfast.scoring.bundle import SUFFIX as BUNDLE
from birdfast.scoring.bundle_ensemble import BundleEnsemble, holds_ensemble, load_ensemble
from birdfast.scoring.engine import Engine, Running
from birdfast.scoring.engines.embedder import EmbedderEngine
from birdfast.scoring.engines.ensemble import EnsembleEngine
from birdfast.scoring.engines.onnx import OnnxEngine, write_onnx
from birdfast.scoring.engines.openvino import WEIGHTS, OpenVinoEngine, write_openvino
from birdfast.scoring.together import name_of

if TYPE_CHECKING:  # only bundles need torch
    from birdfast.scoring.graph import Shippable

_NO_BUNDLES = (".pkl", ".pth", ".pt", "")  # what may be given in a bundle's place: reading it says what it is


@dataclass(frozen=True)
class Kind:
    """A kind of file: what it is for, in words; how it is run, and how written; the suffixes of its files beside it."""

    what: str
    load: Callable[..., Engine]
    write: Callable[[Shippable, Path], Path] | None = None
    beside: tuple[str, ...] = ()


def _load_bundle(model: Any, *, device: Any = None) -> Engine:
    """The engine of a bundle, a learner, or of an ensemble of bundles and its file."""
    if isinstance(model, (str, Path)) and holds_ensemble(model):
        model = load_ensemble(model)
    if not isinstance(model, BundleEnsemble):
        with loading():
            from birdfast.scoring.engines.torch import TorchEngine

            return TorchEngine(model, device=device)
    engine = load_together(model.members, weights=model.weights, device=device)
    engine.extra = model.extra
    return engine


# A row an engine: its file in this folder, and here by which suffix it is meant.
KINDS = {
    BUNDLE: Kind("a bundle, safe, loads without fastai", _load_bundle),
    ".onnx": Kind("ONNX Runtime", OnnxEngine, write_onnx),
    ".xml": Kind("OpenVINO", OpenVinoEngine, write_openvino, beside=(WEIGHTS,)),
}


def load_engine(model: Any, *, device: Any = None) -> Engine:
    """The engine for a file, by its suffix (``.safetensors``, ``.onnx``, ``.xml``), for a Bundle or a learner; a Predictor's own.

    Of a list of these, an ensemble: :class:`~birdfast.scoring.engines.ensemble.EnsembleEngine`.

    `device` is PyTorch's; the other engines run on the CPU. All follow ``OMP_NUM_THREADS``.

    Raises
    ------
    BirdfastError
        If the file is missing, damaged or none of birdfast's, or what runs it is not installed.
    """
    if isinstance(model, (list, tuple)):
        return load_together(model, device=device)
    if isinstance(model, Running):
        return _shared(model.engine, device)
    if isinstance(model, (str, Path)) and names_embedder(str(model)) and not Path(model).is_dir():
        _check_cpu(str(model), device)
        return EmbedderEngine(str(model))
    suffix = Path(model).suffix.lower() if isinstance(model, (str, Path)) else BUNDLE
    if suffix in _NO_BUNDLES or (suffix not in KINDS and Path(model).is_dir()):
        suffix = BUNDLE
    if suffix not in KINDS:
        raise unknown("kind of model", suffix, KINDS)
    if suffix == BUNDLE:
        return _load_bundle(model, device=device)
    _check_cpu(f"a {suffix} file", device)
    return KINDS[suffix].load(model)


def load_together(
    models: Sequence[Any], *, blend: str = "mean", weights: Sequence[float] | None = None, device: Any = None
) -> EnsembleEngine:
    """The engine of several models, each one that :func:`load_engine` takes, by `blend` and `weights`."""
    members = [load_engine(model, device=device) for model in models]
    names = [name_of(model, member.recipe) for model, member in zip(models, members)]
    return EnsembleEngine(members, names, blend=blend, weights=weights)


def _check_cpu(what: str, device: Any) -> None:
    if device is not None and str(device) != "cpu":
        raise BirdfastError(f"{what} runs on the CPU: leave out device={str(device)!r}, or give a bundle")


def _shared(engine: Engine, device: Any) -> Engine:
    if device is not None and str(device) != engine.device:
        raise BirdfastError(f"this model runs on {engine.device} already: leave out device={str(device)!r}")
    return engine
