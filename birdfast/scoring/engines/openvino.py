"""``.xml`` files, each with its ``.bin``: how OpenVINO runs them, and how they are written."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from birdfast.errors import BirdfastError
from birdfast.scoring.engine import ONE_LANE, Floats, Lanes
from birdfast.scoring.engines.files import need_to_write, read_bytes, read_description, threads_asked
from birdfast.scoring.engines.onnx import write_onnx
from birdfast.scoring.engines.signal_stack import signal_stack_kept
from birdfast.scoring.header import KEY, check_seal, open_seal, seal, short

if TYPE_CHECKING:  # running a file needs no torch, writing one does
    from birdfast.scoring.graph import Shippable

WEIGHTS = ".bin"
PRECISION = "f32"


class OpenVinoEngine:
    """An ``.xml`` that `birdfast export` wrote, with its ``.bin`` beside it, in OpenVINO."""

    name, device = "OpenVINO", "cpu"

    def __init__(self, path: str | Path) -> None:
        try:
            import openvino
        except ImportError:
            raise BirdfastError(f"{path} needs OpenVINO: pip install openvino") from None
        path = Path(path)
        content, weights = read_bytes(path), _read_weights(path)
        check_seal(path, content, weights)
        core = openvino.Core()
        # Else it computes in bfloat16 where the processor can, and scores differ from machine to machine.
        settings: dict[str, Any] = {"INFERENCE_PRECISION_HINT": PRECISION, "INFERENCE_NUM_THREADS": threads_asked()}
        try:
            model = core.read_model(content, weights)
            header = read_description(_rt_info(model), path)
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


def _read_weights(path: Path) -> bytes:
    weights = path.with_suffix(WEIGHTS)
    if not weights.is_file():
        raise BirdfastError(f"{weights} is missing: an OpenVINO model is two files, .xml and .bin, which stay together")
    return weights.read_bytes()


def write_openvino(bundle: Shippable, path: Path) -> Path:
    """OpenVINO IR of a bundle's graph in fp32: `path` and its ``.bin``, made of an ``.onnx`` that is left beside them."""
    need_to_write("openvino", "OpenVINO", "onnx openvino")
    import openvino

    save_ir(openvino.convert_model(str(write_onnx(bundle, path.with_suffix(".onnx")))), bundle, path)
    return path


def save_ir(model: Any, bundle: Shippable, path: Path, *, half: bool = False) -> None:
    """Write an OpenVINO model with the description of `bundle`, sealed."""
    import openvino

    from birdfast.scoring.graph import description

    model.set_rt_info(description(bundle).to_json(), [KEY, "header"])
    model.set_rt_info(open_seal(), [KEY, "seal"])
    openvino.save_model(model, str(path), compress_to_fp16=half)
    seal(path, path.with_suffix(WEIGHTS))
