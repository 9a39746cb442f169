"""What runs a model: PyTorch, ONNX Runtime or OpenVINO, behind one call. Each is imported only where it is used."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from birdfast.errors import BirdfastError, unknown
from birdfast.recipe.recipe import Recipe
from birdfast.scoring.engines.signal_stack import signal_stack_kept
from birdfast.scoring.header import KEY, Header, check_seal, read_header_json, short

OPENVINO_PRECISION = "f32"
Floats = NDArray[np.float32]

ONNX, OPENVINO, BUNDLE = ".onnx", ".xml", ".safetensors"


@dataclass(frozen=True)
class Lanes:
    """How many batches an engine runs best at once, each in a thread of its own that first calls `start`.

    Two batches on two cores are done sooner than one batch on both: no core waits for the other at the end of each
    layer, nor for the thread that decodes (measured on two cores, lite0, from Ogg: 1.2 times as fast in PyTorch).
    """

    n: int = 1
    start: Callable[[], object] | None = None


ONE_LANE = Lanes()
MOST_LANES = 4  # each holds a batch in memory


class Engine(Protocol):
    """A classifier that can be run. `name` and `device` are for people; `extra` is what else its file carries."""

    name: str
    device: str
    classes: list[str]
    recipe: Recipe
    extra: dict[str, Any]

    def lanes(self) -> AbstractContextManager[Lanes]:
        """The lanes to run batches in for as long as the context is open."""
        ...

    def run(self, batch: Floats) -> Floats:
        """Waveforms ``(n, time)`` at the recipe's rate to probabilities ``(n, n_classes)``."""
        ...


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
        from birdfast.scoring.engines.ensemble import EnsembleEngine

        return EnsembleEngine(model, device=device)
    from birdfast.prediction.predictor import Predictor

    if isinstance(model, Predictor):
        if device is not None and str(device) != model.engine.device:
            raise BirdfastError(f"this model runs on {model.engine.device} already: leave out device={str(device)!r}")
        return model.engine
    suffix = Path(model).suffix.lower() if isinstance(model, (str, Path)) else BUNDLE
    if suffix in (ONNX, OPENVINO):
        if device is not None and str(device) != "cpu":
            raise BirdfastError(f"a {suffix} file runs on the CPU: leave out device={str(device)!r}, or give a bundle")
        return OnnxEngine(model) if suffix == ONNX else OpenVinoEngine(model)
    if suffix not in (BUNDLE, ".pkl", ".pth", ".pt", "") and not Path(model).is_dir():
        raise unknown("kind of model", suffix, [BUNDLE, ONNX, OPENVINO])
    from birdfast.scoring.engines.torch import load_torch_engine

    return load_torch_engine(model, device=device)


class OnnxEngine:
    """An ``.onnx`` that `birdfast export` wrote, in ONNX Runtime."""

    name, device = "ONNX Runtime", "cpu"

    def __init__(self, path: str | Path) -> None:
        try:
            import onnxruntime
        except ImportError:
            raise BirdfastError(f"{path} needs ONNX Runtime: pip install onnxruntime") from None
        path = Path(path)
        content = _read(path)
        check_seal(path, content)
        options = onnxruntime.SessionOptions()
        threads = _threads() or os.cpu_count() or 1
        self._lanes = Lanes(min(threads, MOST_LANES))
        options.intra_op_num_threads = threads // self._lanes.n
        options.log_severity_level = 3  # errors only
        try:
            self._session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        except _errors_of(onnxruntime) as error:
            raise BirdfastError(f"ONNX Runtime cannot load {path} ({short(error)}): export it again") from error
        header = _header(self._session.get_modelmeta().custom_metadata_map.get(KEY), path)
        self.classes, self.recipe, self.extra = header.classes, header.recipe, header.extra
        self._input = self._session.get_inputs()[0].name

    def lanes(self) -> AbstractContextManager[Lanes]:
        return nullcontext(self._lanes)

    def run(self, batch: Floats) -> Floats:
        return self._session.run(None, {self._input: batch})[0]


class OpenVinoEngine:
    """An ``.xml`` that `birdfast export` wrote, with its ``.bin`` beside it, in OpenVINO."""

    name, device = "OpenVINO", "cpu"

    def __init__(self, path: str | Path) -> None:
        try:
            import openvino
        except ImportError:
            raise BirdfastError(f"{path} needs OpenVINO: pip install openvino") from None
        path = Path(path)
        content, weights = _read(path), _read(path.with_suffix(".bin"))
        check_seal(path, content, weights)
        core = openvino.Core()
        # Else it computes in bfloat16 where the processor can, and scores differ from machine to machine.
        settings: dict[str, Any] = {"INFERENCE_PRECISION_HINT": OPENVINO_PRECISION, "INFERENCE_NUM_THREADS": _threads()}
        try:
            model = core.read_model(content, weights)
            header = _header(_rt_info(model), path)
            with signal_stack_kept():
                self._compiled = core.compile_model(model, "CPU", settings)
        except RuntimeError as error:
            raise BirdfastError(f"OpenVINO cannot load {path} ({short(error)}): export it again") from error
        self.classes, self.recipe, self.extra = header.classes, header.recipe, header.extra

    def lanes(self) -> AbstractContextManager[Lanes]:
        return nullcontext(ONE_LANE)  # it divides a batch among the cores as fast

    def run(self, batch: Floats) -> Floats:
        return self._compiled(batch)[0].copy()  # the result is memory of OpenVINO's, which the next call reuses


def _rt_info(model: Any) -> str | None:
    place = [KEY, "header"]
    return model.get_rt_info(place).astype(str) if model.has_rt_info(place) else None


def _threads() -> int:
    """What ``OMP_NUM_THREADS`` asks for; 0, the runtimes' word for all cores, where it is not set."""
    given = os.environ.get("OMP_NUM_THREADS", "")
    return int(given) if given.isdigit() else 0


def _read(path: Path) -> bytes:
    if path.is_file():
        return path.read_bytes()
    if path.suffix == ".bin":
        raise BirdfastError(f"{path} is missing: an OpenVINO model is two files, .xml and .bin, which stay together")
    raise BirdfastError(f"no model at {path}: give the file that birdfast export wrote")


def _header(text: str | None, path: Path) -> Header:
    if text is None:
        raise BirdfastError(f"{path} is no model of birdfast's, it carries no classes and recipe: use birdfast export")
    return read_header_json(text, path)


def _errors_of(onnxruntime: Any) -> tuple[type[Exception], ...]:
    """ONNX Runtime's own exceptions, which have no common base."""
    state = vars(onnxruntime.capi.onnxruntime_pybind11_state)
    return tuple(kind for kind in state.values() if isinstance(kind, type) and issubclass(kind, Exception))
