"""A classifier as one graph, waveform in and probabilities out: ONNX, and OpenVINO IR made of it."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from birdfast.audio.read import is_audio
from birdfast.errors import BirdfastError, unknown
from birdfast.files.places import is_url
from birdfast.files.writing import replacing
from birdfast.models.losses import probabilities
from birdfast.notes import note
from birdfast.prediction.ensemble import Ensemble
from birdfast.prediction.jobs import Paths
from birdfast.scoring.bundle import Bundle, as_bundle, clone
from birdfast.scoring.bundle_ensemble import BundleEnsemble, as_ensemble, holds_ensemble
from birdfast.scoring.engine import ONNX, OPENVINO, load_engine
from birdfast.scoring.header import KEY, Header, open_seal, seal
from birdfast.scoring.parity import MOST, Difference, check_windows, compare
from birdfast.spectrogram.dft import MatmulLogMel

Shippable = Bundle | BundleEnsemble
SYNTHETIC, RECORDED = "synthetic songs", "real recordings"
OPSET = 17
TOLERANCE = 1e-4  # in probability, of an fp32 file


@dataclass(frozen=True)
class Export:
    """What was written, and how far its probabilities lie from PyTorch's."""

    path: Path
    n_bytes: int
    n_windows: int  # compared
    worst: Difference
    sound: str = SYNTHETIC  # what they are of

    def __str__(self) -> str:
        return (
            f"{self.path} ({self.n_bytes / 1e6:.1f} MB): on {self.n_windows} windows of {self.sound} its probabilities "
            f"differ from PyTorch's by {self.worst.size:.1e} at most"
        )


def export_model(
    model: Any, out: str | Path, *, recordings: Paths | None = None, weights: Sequence[float] | None = None
) -> Export:
    """Write a bundle, a learner or an ensemble to `out`: ``.onnx``, or ``.xml`` for OpenVINO with a ``.bin`` beside it.

    The graph takes waveforms ``(n, time)`` at the recipe's rate, of any number and length, and gives probabilities
    ``(n, n_classes)``. Classes, recipe and what else the bundle carries are in its metadata.

    Parameters
    ----------
    model
        What :func:`~birdfast.scoring.bundle.as_bundle` takes; a list of such, with `weights` where given, or an
        :class:`~birdfast.prediction.ensemble.Ensemble`: one graph that averages them. Models with the same spectrogram
        share it.
    recordings
        Real sound on which the file is compared with PyTorch before it is put in place; unless given, a learner's
        validation recordings. Where none are known, synthetic songs, and a note says so.

    Raises
    ------
    BirdfastError
        If a probability differs by more than 1e-4 (nothing is written), what writes the format is not installed, or an
        Ensemble blends by rank, which no graph can.
    """
    out = Path(out)
    if out.suffix not in (ONNX, OPENVINO):
        raise unknown("format to export to", out.suffix, [ONNX, OPENVINO])
    bundle = as_shippable(model, weights=weights)
    known = recordings if recordings is not None else validation_recordings(model)
    if known is None:
        note(
            "no recordings of this model are known: its file is compared with PyTorch on synthetic songs; name real ones"
        )
    windows = check_windows(bundle.recipe, known)
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
        return Export(out, put_in_place(made, out), len(windows), worst, SYNTHETIC if known is None else RECORDED)


def validation_recordings(model: Any) -> list[str] | None:
    """Those of a learner that are still where they were; None for a model that knows of none."""
    clips = getattr(getattr(model, "dls", None), "clips", None)
    if clips is None:
        return None
    return existing(clips.loc[clips["is_valid"].astype(bool), "path"])


def existing(paths: Iterable[str]) -> list[str] | None:
    """Those of the recordings that are there, each once and as many as are compared; None if none is."""
    local = (path for path in dict.fromkeys(map(str, paths)) if is_audio(path) and not is_url(path))
    there = (path for path in local if Path(path).is_file())
    return list(islice(there, MOST)) or None


def put_in_place(made: Path, out: Path) -> int:
    """Move what was written to where it belongs, each file whole or not at all; returns the bytes."""
    n_bytes = 0
    for suffix in (".bin", OPENVINO) if out.suffix == OPENVINO else (ONNX,):
        source = made.with_suffix(suffix)
        n_bytes += source.stat().st_size
        with replacing(out.with_suffix(suffix)) as temporary:
            source.replace(temporary)
    return n_bytes


def as_shippable(model: Any, *, weights: Sequence[float] | None = None) -> Shippable:
    """The bundle or the ensemble meant by a path, a learner, several of either, or an Ensemble."""
    several = isinstance(model, (list, tuple, BundleEnsemble, Ensemble))
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


def write_onnx(bundle: Shippable, path: Path) -> Path:
    """The graph of a bundle, its description in the metadata, sealed."""
    _need("onnx", "ONNX", "onnx onnxruntime")
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


def _header(bundle: Shippable) -> Header:
    """What the file says of itself: how it hears by the first member's recipe, and which recipes trained all of them."""
    members = bundle.members if isinstance(bundle, BundleEnsemble) else []
    more = {"recipes": [member.recipe.to_dict() for member in members]} if members else {}
    return Header(bundle.classes, bundle.recipe, extra=bundle.extra | more)


def describe(model: Any, bundle: Shippable) -> None:
    """Put the description of `bundle` into an ONNX model's metadata; what others look for stands there by name, too."""
    import onnx

    header = _header(bundle)
    plain = {"classes": "\n".join(bundle.classes), "sample_rate": str(bundle.recipe.sample_rate)}
    onnx.helper.set_model_props(model, {KEY: header.to_json(), "seal": open_seal(), **plain})


def write_openvino(bundle: Shippable, onnx_path: Path, path: Path) -> Path:
    """OpenVINO IR of an ONNX graph: `path` and its ``.bin``, in fp32."""
    _need("openvino", "OpenVINO", "onnx openvino")
    import openvino

    model = openvino.convert_model(str(onnx_path))
    save_ir(model, bundle, path)
    return path


def save_ir(model: Any, bundle: Shippable, path: Path, *, half: bool = False) -> None:
    """Write an OpenVINO model with the description of `bundle`, sealed."""
    import openvino

    header = _header(bundle)
    model.set_rt_info(header.to_json(), [KEY, "header"])
    model.set_rt_info(open_seal(), [KEY, "seal"])
    openvino.save_model(model, str(path), compress_to_fp16=half)
    seal(path, path.with_suffix(".bin"))


def _need(module: str, what: str, packages: str) -> None:
    from importlib.util import find_spec

    if find_spec(module) is None:
        raise BirdfastError(f"writing {what} needs the package {module}: pip install {packages}")
