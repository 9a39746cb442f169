"""A classifier as one graph, waveform in and probabilities out: ONNX, and OpenVINO IR made of it."""

from __future__ import annotations

import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from birdfast.errors import BirdfastError, unknown
from birdfast.inference.bundle import Bundle, as_bundle, clone
from birdfast.inference.engines import ONNX, OPENVINO, load_engine
from birdfast.inference.header import KEY, Header, open_seal, seal
from birdfast.inference.jobs import Paths
from birdfast.inference.parity import Difference, check_windows, compare
from birdfast.inference.writers import replacing
from birdfast.models.losses import probabilities
from birdfast.spectrogram.dft import MatmulLogMel

OPSET = 17
TOLERANCE = 1e-4  # in probability, of an fp32 file


@dataclass(frozen=True)
class Export:
    """What was written, and how far its probabilities lie from PyTorch's."""

    path: Path
    n_bytes: int
    n_windows: int  # compared
    worst: Difference

    def __str__(self) -> str:
        return (
            f"{self.path} ({self.n_bytes / 1e6:.1f} MB): on {self.n_windows} windows its probabilities differ from "
            f"PyTorch's by {self.worst.size:.1e} at most"
        )


def export_model(model: Any, out: str | Path, *, recordings: Paths | None = None) -> Export:
    """Write a bundle or a learner to `out`: ``.onnx``, or ``.xml`` for OpenVINO, whose weights go to a ``.bin`` beside it.

    The graph takes waveforms ``(n, time)`` at the recipe's rate, of any number and length, and gives probabilities
    ``(n, n_classes)``. Classes, recipe and what else the bundle carries are in its metadata.

    Parameters
    ----------
    recordings
        Real sound on which the file is compared with PyTorch before it is put in place; synthetic songs unless given.

    Raises
    ------
    BirdfastError
        If a probability differs by more than 1e-4 (nothing is written), or what writes the format is not installed.
    """
    out = Path(out)
    if out.suffix not in (ONNX, OPENVINO):
        raise unknown("format to export to", out.suffix, [ONNX, OPENVINO])
    bundle = as_bundle(model)
    windows = check_windows(bundle.recipe, recordings)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=".birdfast-") as folder:
        made = write_onnx(bundle, Path(folder) / "model.onnx")
        if out.suffix == OPENVINO:
            made = write_openvino(bundle, made, Path(folder) / "model.xml")
        worst = compare(load_engine(bundle, device="cpu"), load_engine(made), windows)
        if worst.size > TOLERANCE:
            raise BirdfastError(
                f"{out} was not written: its probabilities differ from PyTorch's by more than {TOLERANCE:g}. {worst}"
            )
        return Export(out, put_in_place(made, out), len(windows), worst)


def put_in_place(made: Path, out: Path) -> int:
    """Move what was written to where it belongs, each file whole or not at all; returns the bytes."""
    n_bytes = 0
    for suffix in (".bin", OPENVINO) if out.suffix == OPENVINO else (ONNX,):
        source = made.with_suffix(suffix)
        n_bytes += source.stat().st_size
        with replacing(out.with_suffix(suffix)) as temporary:
            source.replace(temporary)
    return n_bytes


class Shipped(nn.Module):
    """Waveforms ``(n, time)`` to probabilities ``(n, n_classes)``, of parts that every runtime knows."""

    def __init__(self, bundle: Bundle) -> None:
        super().__init__()
        self.logmel = MatmulLogMel.from_recipe(bundle.recipe)
        self.model = clone(bundle)[1].cpu()
        self.activation, self.no_call = bundle.recipe.activation, bundle.recipe.no_call

    def forward(self, waveform: Tensor) -> Tensor:
        logits = self.model(self.logmel(waveform)[:, None])
        return probabilities(logits, activation=self.activation, no_call=self.no_call)


def write_onnx(bundle: Bundle, path: Path) -> Path:
    """The graph of a bundle, its description in the metadata, sealed."""
    _need("onnx", "ONNX", "onnx")
    import onnx

    example = torch.zeros(2, bundle.recipe.n_samples)
    with warnings.catch_warnings():
        # torch.export takes minutes over the symbolic lengths that "same" padding piles up; tracing takes a second.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            Shipped(bundle).eval(), (example,), str(path), dynamo=False, opset_version=OPSET,
            input_names=["waveform"], output_names=["probabilities"],
            dynamic_axes={"waveform": {0: "n", 1: "time"}, "probabilities": {0: "n"}},
        )  # fmt: skip
    model = onnx.load(str(path))
    describe(model, bundle)
    onnx.save(model, str(path))
    seal(path)
    return path


def describe(model: Any, bundle: Bundle) -> None:
    """Put the description of `bundle` into an ONNX model's metadata; what others look for stands there by name, too."""
    import onnx

    header = Header(bundle.classes, bundle.recipe, extra=bundle.extra)
    plain = {"classes": "\n".join(bundle.classes), "sample_rate": str(bundle.recipe.sample_rate)}
    onnx.helper.set_model_props(model, {KEY: header.to_json(), "seal": open_seal(), **plain})


def write_openvino(bundle: Bundle, onnx_path: Path, path: Path) -> Path:
    """OpenVINO IR of an ONNX graph: `path` and its ``.bin``, in fp32."""
    _need("openvino", "OpenVINO", "openvino")
    import openvino

    model = openvino.convert_model(str(onnx_path))
    save_ir(model, bundle, path)
    return path


def save_ir(model: Any, bundle: Bundle, path: Path, *, half: bool = False) -> None:
    """Write an OpenVINO model with the description of `bundle`, sealed."""
    import openvino

    header = Header(bundle.classes, bundle.recipe, extra=bundle.extra)
    model.set_rt_info(header.to_json(), [KEY, "header"])
    model.set_rt_info(open_seal(), [KEY, "seal"])
    openvino.save_model(model, str(path), compress_to_fp16=half)
    seal(path, path.with_suffix(".bin"))


def _need(module: str, what: str, extra: str) -> None:
    from importlib.util import find_spec

    if find_spec(module) is None:
        raise BirdfastError(f"writing {what} needs the package {module}: pip install 'birdfast[{extra}]'")
