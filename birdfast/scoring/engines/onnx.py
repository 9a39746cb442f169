"""``.onnx`` files: how ONNX Runtime runs them, and how they are written."""

from __future__ import annotations

import os
import warnings
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from birdfast.errors import BirdfastError
from birdfast.scoring.engine import MOST_LANES, Floats, Lanes
from birdfast.scoring.engines.files import need_to_write, read_bytes, read_description, threads_asked
from birdfast.scoring.header import KEY, check_seal, open_seal, seal, short

if TYPE_CHECKING:  # running a file needs no torch, writing one does
    from birdfast.scoring.graph import Shippable

OPSET = 17


class OnnxEngine:
    """An ``.onnx`` that `birdfast export` wrote, in ONNX Runtime."""

    name, device = "ONNX Runtime", "cpu"

    def __init__(self, path: str | Path) -> None:
        try:
            import onnxruntime
        except ImportError:
            raise BirdfastError(f"{path} needs ONNX Runtime: pip install onnxruntime") from None
        path = Path(path)
        content = read_bytes(path)
        check_seal(path, content)
        options = onnxruntime.SessionOptions()
        threads = threads_asked() or os.cpu_count() or 1
        self._lanes = Lanes(min(threads, MOST_LANES))
        options.intra_op_num_threads = threads // self._lanes.n
        options.log_severity_level = 3  # errors only
        try:
            self._session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        except _errors_of(onnxruntime) as error:
            raise BirdfastError(f"ONNX Runtime cannot load {path} ({short(error)}): export it again") from error
        header = read_description(self._session.get_modelmeta().custom_metadata_map.get(KEY), path)
        self.classes, self.recipe, self.extra = header.classes, header.recipe, header.extra
        self._input = self._session.get_inputs()[0].name

    def lanes(self) -> AbstractContextManager[Lanes]:
        return nullcontext(self._lanes)

    def run(self, batch: Floats) -> Floats:
        return self._session.run(None, {self._input: batch})[0]


def _errors_of(onnxruntime: Any) -> tuple[type[Exception], ...]:
    """ONNX Runtime's own exceptions, which have no common base."""
    state = vars(onnxruntime.capi.onnxruntime_pybind11_state)
    return tuple(kind for kind in state.values() if isinstance(kind, type) and issubclass(kind, Exception))


def write_onnx(bundle: Shippable, path: Path) -> Path:
    """The graph of a bundle, its description in the metadata, sealed."""
    need_to_write("onnx", "ONNX", "onnx onnxruntime")
    import onnx
    import torch

    from birdfast.scoring.graph import Shipped

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


def describe(model: Any, bundle: Shippable) -> None:
    """Put the description of `bundle` into an ONNX model's metadata; what others look for stands there by name, too."""
    import onnx

    from birdfast.scoring.graph import description

    plain = {"classes": "\n".join(bundle.classes), "sample_rate": str(bundle.recipe.sample_rate)}
    onnx.helper.set_model_props(model, {KEY: description(bundle).to_json(), "seal": open_seal(), **plain})
