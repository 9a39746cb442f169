"""Weights of a backbone from a local file, whoever trained it and under whatever names."""

from __future__ import annotations

import json
import pickle
import tomllib
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from birdfast.errors import BirdfastError
from birdfast.models.quiet import timm
from birdfast.notes import note
from birdfast.recipe.recipe import SPECTROGRAM, Recipe, bundle_knobs

PREFIXES = ("module.", "model.", "backbone.", "encoder.", "body.")
INSIDE = ("state_dict", "model_state_dict", "model", "state_dict_ema", "model_ema")  # where a checkpoint keeps them
LEAST = 0.9  # share of the backbone's tensors that must be found
_FORMS = (".json", ".toml")


def load_weights(body: nn.Module, path: Path, *, name: str) -> None:
    """Load the tensors in `path` that are the backbone's, and say how many are.

    Tensors are sought under their names without a prefix of PREFIXES, renamed as a file beside it says
    (``birds.remap.json`` or ``.toml`` of ``birds.pth``: old beginning = new beginning). A stem for three channels is
    summed to one, as timm does. No code in the file is run.

    Raises
    ------
    BirdfastError
        If it cannot be read, or holds fewer than nine in ten of the backbone's tensors in their shapes.
    """
    wanted = body.state_dict()
    found = _fitting(wanted, read_tensors(path, name), _remap(path))
    counted = [key for key in wanted if not key.endswith("num_batches_tracked")]
    wrong = [key for key in counted if key not in found or found[key].shape != wanted[key].shape]
    if len(counted) - len(wrong) < LEAST * len(counted):
        first = ", ".join(_said(key, wanted, found) for key in wrong[:3])
        raise BirdfastError(
            f"{path} does not fit the backbone {name}: {len(counted) - len(wrong)} of its {len(counted)} tensors are in "
            f"it. First differ {first}. Give weights of {name}, or rename them by {path.with_suffix('.remap.json').name}"
        )
    body.load_state_dict({key: t for key, t in found.items() if t.shape == wanted[key].shape}, strict=False)
    rest = f"; the others stay random: {', '.join(wrong[:3])}" if wrong else ""
    note(f"{path}: {len(counted) - len(wrong)} of the {len(counted)} tensors of {name}{rest}")


def read_tensors(path: Path, name: str) -> dict[str, Tensor]:
    """The tensors of a ``.safetensors``, or of a checkpoint of torch or of a training loop, by name."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    _check_file(path, name)
    try:
        if path.suffix == ".safetensors":
            return load_file(path, device="cpu")
        inside: Any = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, SafetensorError, RuntimeError, EOFError, OSError, ValueError) as error:
        said = " ".join(str(error).split())[:160]
        raise BirdfastError(f"{path} does not fit the backbone {name}, it cannot be read as weights: {said}") from error
    while isinstance(inside, dict) and (key := next((k for k in INSIDE if isinstance(inside.get(k), dict)), None)):
        inside = inside[key]
    tensors = inside if isinstance(inside, dict) else {}
    return {key: tensor for key, tensor in tensors.items() if isinstance(tensor, Tensor)}


def _check_file(path: Path, name: str) -> None:
    if not path.is_file():
        raise BirdfastError(
            f"no weights at {path}: give 'pretrained', 'random' or the path of a timm checkpoint of {name}"
        )


def check_weights(recipe: Recipe) -> None:
    """Refuse a file of weights that is not there, or whose spectrograms are others, see :func:`check_spectrogram`."""
    if recipe.weights not in ("pretrained", "random"):
        _check_file(Path(recipe.weights), recipe.backbone)
    check_spectrogram(recipe)


def check_spectrogram(recipe: Recipe) -> None:
    """Refuse weights that were trained on other spectrograms than the recipe's, where their file says so.

    A bundle says it; of another file ``birds.pth``, ``birds.recipe.toml`` or ``.json`` beside it, with any of a recipe's knobs.

    Raises
    ------
    BirdfastError
        Naming the knobs that differ, and how to take them over.
    """
    path = Path(recipe.weights)
    if recipe.weights in ("pretrained", "random") or not path.is_file():
        return
    source, knobs = spectrogram_of(path)
    differing = {key: value for key, value in knobs.items() if getattr(recipe, key) != value}
    if differing:
        listed = ", ".join(f"{key} {value!r}, not {getattr(recipe, key)!r}" for key, value in differing.items())
        settings = " ".join(f"--set {key}={json.dumps(value)}" for key, value in differing.items())
        raise BirdfastError(
            f"the weights in {path} were trained on other spectrograms than this recipe makes: {listed}. Take theirs, with "
            f"recipe.with_spectrogram_of({str(source)!r}), at the shell {settings}"
        )


def spectrogram_of(path: Path) -> tuple[Path, dict[str, Any]]:
    """The file that tells the spectrogram of weights, and the knobs it tells; none where nothing is told."""
    knobs = bundle_knobs(path) if path.suffix == ".safetensors" else None
    if knobs is None:
        path, knobs = _beside(path, ".recipe") or (path, {})
        Recipe.from_dict(knobs)  # refuses what is none
    return path, {key: knobs[key] for key in SPECTROGRAM if key in knobs}


def _beside(path: Path, kind: str) -> tuple[Path, dict[str, Any]] | None:
    """What a ``.json`` or ``.toml`` beside `path` says."""
    for form in _FORMS:
        file = path.with_suffix(kind + form)
        if file.is_file():
            try:
                return file, json.loads(file.read_text()) if form == ".json" else tomllib.loads(file.read_text())
            except ValueError as error:
                raise BirdfastError(f"{file} cannot be read: {error}") from error
    return None


def _remap(path: Path) -> dict[str, str]:
    file, names = _beside(path, ".remap") or (path, {})
    if not all(isinstance(new, str) for new in names.values()):
        raise BirdfastError(f'{file} must map beginnings of names to beginnings of names, as "blocks." = "stages."')
    return names


def _fitting(wanted: dict[str, Tensor], given: dict[str, Tensor], remap: dict[str, str]) -> dict[str, Tensor]:
    """The given tensors under the backbone's names, stems for three channels made for one."""
    found = {}
    for key, tensor in given.items():
        name = next((name for name in _names(key, remap) if name in wanted), None)
        if name is not None:
            found[name] = _one_channel(tensor, wanted[name])
    return found


def _names(key: str, remap: dict[str, str]) -> list[str]:
    """What a tensor may be called: its name, without one prefix, without two, each as it is and renamed."""
    names = [key]
    while prefix := next((prefix for prefix in PREFIXES if names[-1].startswith(prefix)), None):
        names.append(names[-1].removeprefix(prefix))
    renamed = [new + name.removeprefix(old) for name in names for old, new in remap.items() if name.startswith(old)]
    return [*renamed, *names]


def _one_channel(tensor: Tensor, like: Tensor) -> Tensor:
    is_stem = tensor.ndim == 4 and tensor.shape[1] == 3 and like.ndim == 4 and like.shape[1] == 1
    return timm.models.adapt_input_conv(1, tensor) if is_stem else tensor


def _said(key: str, wanted: dict[str, Tensor], found: dict[str, Tensor]) -> str:
    if key not in found:
        return f"{key} (absent)"
    return f"{key} {tuple(found[key].shape)}, wanted {tuple(wanted[key].shape)}"
