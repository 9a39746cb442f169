"""What will train, and with which weights."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from birdfast.doctor.findings import Finding
from birdfast.errors import BirdfastError
from birdfast.notes import loading
from birdfast.recipe.recipe import Recipe


def check_machine(recipe: Recipe) -> Iterator[Finding]:
    """The device, and whether the backbone's weights are at hand."""
    yield _check_device()
    yield _check_weights(recipe)


def _check_device() -> Finding:
    with loading():
        import torch

    if torch.cuda.is_available():
        free, total = torch.cuda.mem_get_info()
        name = torch.cuda.get_device_name()
        text = f"CUDA: {name}, {free / 2**30:.1f} of {total / 2**30:.1f} GiB free"
        return Finding("device", "ok", text, details={"device": "cuda", "name": name})
    if torch.backends.mps.is_available():
        return Finding("device", "ok", "Apple GPU (mps)", details={"device": "mps"})
    threads = torch.get_num_threads()
    built = f"this PyTorch is built for CUDA {torch.version.cuda}, but finds no GPU" if torch.version.cuda else "no GPU"
    text = f"CPU, {threads} threads ({built})"
    return Finding("device", "ok", text, details={"device": "cpu", "threads": threads})


def _check_weights(recipe: Recipe) -> Finding:
    with loading():
        from birdfast.models.backbone import check_backbone, packaged_remedy, weights_at_hand
        from birdfast.models.weights import check_spectrogram

    try:
        check_backbone(recipe.backbone)
        check_spectrogram(recipe)
    except BirdfastError as error:
        return Finding("weights", "fail", str(error))
    if recipe.weights == "random":
        return Finding("weights", "ok", f"{recipe.backbone} starts from random weights, as the recipe says")
    if recipe.weights != "pretrained":
        message = f"{recipe.backbone} starts from {recipe.weights}"
        if Path(recipe.weights).is_file():
            return Finding("weights", "ok", message)
        return Finding("weights", "fail", f"{message}, which does not exist", "--weights pretrained, or the right path")
    place = weights_at_hand(recipe.backbone)
    if place:
        return Finding("weights", "ok", f"the pretrained weights of {recipe.backbone} are at hand ({place})")
    remedy = f"be online for the first training, give --weights FILE, or {packaged_remedy(recipe.backbone)}"
    return Finding("weights", "warn", f"the pretrained weights of {recipe.backbone} are not on this machine", remedy)
