"""One safetensors file that carries all of a classifier: weights, classes, recipe, versions. No pickle, no fastai."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from birdfast.errors import BirdfastError
from birdfast.files.writing import replacing
from birdfast.recipe.recipe import Recipe
from birdfast.scoring.engine import Running, Several
from birdfast.scoring.header import (
    ENSEMBLE_KEY,
    KEY,
    Header,
    check_seal,
    made_by,
    open_seal,
    read_header_json,
    seal,
    short,
)

if TYPE_CHECKING:  # imported where they are used: the other engines' paths do without torch
    from torch import Tensor, nn

SUFFIX = ".safetensors"
_PICKLES = (b"PK", b"\x80")  # torch.save's zip, and a bare pickle
_HEADER_LIMIT = 100_000_000  # bytes, safetensors' own


@dataclass
class Bundle:
    """A classifier with all that inference needs.

    ``nn.Sequential(bundle.logmel, bundle.model)`` maps waveforms ``(batch, 1, time)`` to logits ``(batch, n_classes)``;
    with the recipe's `no_call` they have one more, the last.
    """

    model: nn.Module
    logmel: nn.Module
    classes: list[str]
    recipe: Recipe
    versions: dict[str, str] = field(default_factory=dict)  # birdfast, torch and timm that wrote it
    extra: dict[str, Any] = field(default_factory=dict)  # anything JSON holds; "created" is stamped when saved


def save_bundle(learn: Any, path: str | Path) -> Path:
    """Write `learn`, a learner or a :class:`Bundle`, to `path`, which must end in ``.safetensors``.

    The file is put in place whole or not at all. Returns the path.

    Raises
    ------
    BirdfastError
        If the suffix is another, if `learn` carries no recipe or classes, or if its model is not the recipe's.
    """
    from safetensors.torch import save_file

    path = Path(path)
    if path.suffix != SUFFIX:
        raise BirdfastError(f"a bundle's name ends in {SUFFIX}: save to {path.with_suffix(SUFFIX)}, not {path}")
    bundle = as_bundle(learn)
    weights = checked_weights(bundle)
    header = Header(bundle.classes, bundle.recipe, extra=bundle.extra)
    with replacing(path) as temporary:
        save_file(weights, temporary, metadata={KEY: header.to_json(), "seal": open_seal()})
        seal(temporary)
    return path


def load_bundle(path: str | Path) -> Bundle:
    """Read what :func:`save_bundle` wrote, in eval mode, on the CPU. Runs no code from the file.

    Raises
    ------
    BirdfastError
        If there is no file, if it is no bundle, damaged, of a newer birdfast, or its weights do not fit its recipe.
    """
    from birdfast.spectrogram.logmel import LogMel

    path = Path(path)
    header = read_header(path)
    model = read_model(path, header)
    logmel = LogMel.from_recipe(header.recipe)
    return Bundle(model.eval(), logmel, header.classes, header.recipe, header.versions, header.extra)


def read_model(path: Path, header: Header, *, prefix: str = "") -> nn.Module:
    """The model that `header` describes with the weights in `path` whose names begin with `prefix`.

    Its shapes are compared with the file's before memory is taken, so that a file cannot ask for more than it holds.

    Raises
    ------
    BirdfastError
        If the weights do not fit.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            names = {name.removeprefix(prefix): name for name in file.keys() if name.startswith(prefix)}  # noqa: SIM118
            _check_shapes({name: tuple(file.get_slice(full).get_shape()) for name, full in names.items()}, header)
            model = _blank(header.recipe, len(header.classes))
            model.load_state_dict({name: file.get_tensor(full) for name, full in names.items()}, strict=True)
    except (RuntimeError, SafetensorError) as error:
        raise BirdfastError(
            f"the weights in {path} do not fit the {header.recipe.backbone} with {len(header.classes)} classes that its "
            f"recipe describes ({short(error)}): {made_by(header.versions)}; save it again with save_bundle"
        ) from error
    return model


def _check_shapes(there: dict[str, tuple[int, ...]], header: Header) -> None:
    """Raise RuntimeError unless the weights that are `there` are, by name and shape, those of the header's model."""
    import torch

    with torch.device("meta"):  # shapes without memory
        wanted = _blank(header.recipe, len(header.classes)).state_dict()
    for name, tensor in wanted.items():
        if there.get(name) != tuple(tensor.shape):
            raise RuntimeError(f"{name} should be of shape {tuple(tensor.shape)} and is {there.get(name, 'not there')}")
    if more := there.keys() - wanted.keys():
        raise RuntimeError(f"{min(more)} is not part of it")


def as_bundle(model: Any) -> Bundle:
    """The bundle meant by a path, a bundle or a learner (anything with ``.model``, ``.recipe`` and ``.dls.vocab``)."""
    if isinstance(model, (str, Path)):
        return load_bundle(model)
    if isinstance(model, Bundle):
        return model
    from torch import nn

    from birdfast.spectrogram.logmel import LogMel

    recipe, vocab = getattr(model, "recipe", None), getattr(getattr(model, "dls", None), "vocab", None)
    net = getattr(model, "model", None)
    if not (isinstance(recipe, Recipe) and isinstance(net, nn.Module) and vocab is not None):
        raise _no_bundle(model)
    classes = [str(name) for name in vocab]
    return Bundle(net, LogMel.from_recipe(recipe), classes[:-1] if recipe.no_call else classes, recipe)


def _no_bundle(model: Any) -> BirdfastError:
    """Why `model` is no single classifier, and what to give instead."""
    if isinstance(model, (list, tuple, Several)):
        return BirdfastError(
            "an ensemble is no single bundle: write it with save_ensemble; in a list of models name its members instead"
        )
    if isinstance(model, Running):
        return BirdfastError("a Predictor runs a model and does not carry it: give the model that it was made of")
    return BirdfastError(
        f"a {type(model).__name__} is neither a bundle's path, a Bundle nor a learner with a recipe and classes: "
        "make the learner with bird_learner(bird_dls(...))"
    )


def as_kept(model: Any) -> Any:
    """The model itself where it stays as it is; of a learner, which may train on, a bundle of its weights now."""
    if not hasattr(model, "dls"):
        return model
    bundle = as_bundle(model)
    logmel, net = clone(bundle).cpu()
    return replace(bundle, model=net, logmel=logmel)


def clone(bundle: Bundle) -> nn.Sequential:
    """Waveform to logits in eval mode, as a copy: using it never disturbs a learner that still trains."""
    from torch import nn

    return copy.deepcopy(nn.Sequential(bundle.logmel, bundle.model)).eval().requires_grad_(False)


def _blank(recipe: Recipe, n_classes: int) -> nn.Module:
    """The recipe's model, drawn apart from torch's random state: saving must not change the course of a training."""
    import torch

    from birdfast.models import create_model

    with torch.random.fork_rng(devices=[]):
        return create_model(recipe, n_classes, weights="random")


def checked_weights(bundle: Bundle) -> dict[str, Tensor]:
    """What of a bundle's model is written; what :func:`load_bundle` could not read later is refused now."""
    weights = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in bundle.model.state_dict().items()}
    _check_weights(weights, bundle)
    return weights


def _check_weights(weights: dict[str, Tensor], bundle: Bundle) -> None:
    if len(set(bundle.classes)) != len(bundle.classes) or not bundle.classes:
        raise BirdfastError(f"a bundle needs classes with distinct names, these are {bundle.classes[:10]}")
    wanted = _blank(bundle.recipe, len(bundle.classes)).state_dict()
    if {name: t.shape for name, t in weights.items()} != {name: t.shape for name, t in wanted.items()}:
        raise BirdfastError(
            f"this model is not the {bundle.recipe.backbone} with {len(bundle.classes)} classes that its recipe "
            "describes, so a bundle could not rebuild it: make it with create_model(recipe, n_classes), or keep it "
            "with learn.export"
        )
    bad = [name for name, t in weights.items() if t.is_floating_point() and not bool(t.isfinite().all())]
    if bad:
        raise BirdfastError(f"the weights hold NaN or Inf ({bad[0]}): the training diverged, try a lower learning rate")


def read_header(path: str | Path) -> Header:
    """Classes, recipe, versions and extra of a bundle, read and checked without its weights.

    Raises
    ------
    BirdfastError
        If there is no file, if it is no bundle, damaged, or of a newer birdfast.
    """
    path = Path(path)
    metadata = read_metadata(path)
    if ENSEMBLE_KEY in metadata:
        raise BirdfastError(
            f"{path} holds an ensemble, not one model: give it to Predictor, or load it with load_ensemble"
        )
    return read_header_json(metadata[KEY], path)


def read_metadata(path: Path) -> dict[str, str]:
    """The metadata of a bundle or of an ensemble, whose seal is checked."""
    from safetensors import SafetensorError, safe_open

    _check_file(path)
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise BirdfastError(f"{path} is damaged or cut short ({short(error)}): copy or save it again") from error
    if not {KEY, ENSEMBLE_KEY} & metadata.keys():
        raise BirdfastError(f"{path} holds weights but is not a birdfast bundle: save the learner with save_bundle")
    check_seal(path, path.read_bytes(), required=False)  # the first bundles bear none
    return metadata


def _check_file(path: Path) -> None:
    """Tell apart by its first bytes what is not a safetensors file at all."""
    if path.is_dir():
        inside = ", ".join(str(p) for p in sorted(path.glob("*" + SUFFIX))[:5])
        raise BirdfastError(f"{path} is a folder, not a bundle" + (f": it holds {inside}" if inside else ""))
    if not path.is_file():
        raise BirdfastError(f"no bundle at {path}: give the {SUFFIX} file that save_bundle or birdfast train wrote")
    with path.open("rb") as file:
        start = file.read(9)
    if start.startswith(_PICKLES) and start[8:] != b"{":
        raise BirdfastError(
            f"{path} is a pickle, not a bundle: load it with fastai's load_learner (only if you trust it: a pickle can "
            f"run any code), then save_bundle(learn, '{path.with_suffix(SUFFIX).name}')"
        )
    if len(start) < 9 or start[8:] != b"{" or int.from_bytes(start[:8], "little") > _HEADER_LIMIT:
        raise BirdfastError(f"{path} is not a birdfast bundle: give the {SUFFIX} file that save_bundle wrote")
