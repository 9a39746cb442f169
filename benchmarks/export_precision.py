"""What less precision costs and gains: size, speed, change in probability and in macro ROC-AUC of every export.

    OMP_NUM_THREADS=1 python benchmarks/export_precision.py BUNDLE MINI_BIRDCLEF_FOLDER

Speed is processor time on one thread, so that what else runs on the machine matters little. int8 is calibrated on the
training recordings. ONNX Runtime's int8 needs nothing more; OpenVINO's needs nncf.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from itertools import takewhile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from common import measure

from birdfast import Predictor, load_bundle
from birdfast.evaluation.metrics import roc_auc
from birdfast.scoring.engines import openvino as of_openvino
from birdfast.scoring.engines.load import load_engine
from birdfast.scoring.engines.onnx import describe, write_onnx
from birdfast.scoring.engines.openvino import save_ir, write_openvino
from birdfast.scoring.header import seal
from birdfast.scoring.parity import check_windows

BATCH = 16
# Everything up to the first convolution is the spectrogram, which 8 bits would ruin.
QUANTISED = ["Conv", "Gemm"]


def onnx_fp32(bundle: Any, folder: Path, sound: np.ndarray) -> Path:
    return write_onnx(bundle, folder / "model.onnx")


def openvino_fp32(bundle: Any, folder: Path, sound: np.ndarray) -> Path:
    return write_openvino(bundle, folder / "model.xml")


def onnx_fp16(bundle: Any, folder: Path, sound: np.ndarray) -> Path:
    """The model's weights stored in half precision, computed with in full: ONNX Runtime has no fp16 kernels for CPUs."""
    import onnx

    model = onnx.load(write_onnx(bundle, folder / "full.onnx"))
    casts, used = [], {name for node in model.graph.node if node.op_type in QUANTISED for name in node.input}
    for tensor in model.graph.initializer:
        values = onnx.numpy_helper.to_array(tensor)
        if tensor.name in used:
            half = f"{tensor.name}_half"
            casts.append(onnx.helper.make_node("Cast", [half], [tensor.name], to=onnx.TensorProto.FLOAT))
            tensor.CopyFrom(onnx.numpy_helper.from_array(values.astype(np.float16), half))
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return _save(model, bundle, folder / "model.onnx")


def openvino_fp16(bundle: Any, folder: Path, sound: np.ndarray) -> Path:
    import openvino

    model = openvino.convert_model(write_onnx(bundle, folder / "full.onnx"))
    save_ir(model, bundle, folder / "model.xml", half=True)
    return folder / "model.xml"


def onnx_int8_dynamic(bundle: Any, folder: Path, sound: np.ndarray) -> Path:
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    full, path = write_onnx(bundle, folder / "full.onnx"), folder / "model.onnx"
    quantize_dynamic(full, path, op_types_to_quantize=QUANTISED, weight_type=QuantType.QUInt8)
    return _save(onnx.load(path), bundle, path)


def onnx_int8_static(bundle: Any, folder: Path, sound: np.ndarray) -> Path:
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Sound(CalibrationDataReader):
        def __init__(self) -> None:
            self.batches = iter([{"waveform": sound[k : k + 8]} for k in range(0, len(sound), 8)])

        def get_next(self) -> Any:
            return next(self.batches, None)

    full, ready, path = write_onnx(bundle, folder / "full.onnx"), folder / "ready.onnx", folder / "model.onnx"
    quant_pre_process(full, ready, skip_symbolic_shape=True)
    quantize_static(
        ready, path, Sound(), quant_format=QuantFormat.QDQ, op_types_to_quantize=QUANTISED, per_channel=True,
        activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8,
    )  # fmt: skip
    return _save(onnx.load(path), bundle, path)


def openvino_int8(bundle: Any, folder: Path, sound: np.ndarray) -> Path:
    import nncf
    import openvino

    model = openvino.convert_model(write_onnx(bundle, folder / "full.onnx"))
    batches = nncf.Dataset([sound[k : k + 8] for k in range(0, len(sound), 8)])
    front = list(takewhile(lambda op: "Convolution" not in op.get_type_name(), model.get_ordered_ops()))
    arithmetic = ("MatMul", "Multiply", "Add", "Subtract", "Divide")  # of the spectrogram: it stays exact
    names = [op.get_friendly_name() for op in front if op.get_type_name() in arithmetic]
    scope = nncf.IgnoredScope(names=names, validate=False)
    quantised = nncf.quantize(model, batches, subset_size=len(sound) // 8, ignored_scope=scope)
    save_ir(quantised, bundle, folder / "model.xml")
    return folder / "model.xml"


VARIANTS: dict[str, Callable[..., Path] | None] = {
    "PyTorch fp32": None,
    "ONNX Runtime fp32": onnx_fp32,
    "OpenVINO fp32": openvino_fp32,
    "OpenVINO bf16": openvino_fp32,
    "ONNX Runtime fp16 weights": onnx_fp16,
    "OpenVINO fp16 weights": openvino_fp16,
    "ONNX Runtime int8, dynamic": onnx_int8_dynamic,
    "ONNX Runtime int8, static": onnx_int8_static,
    "OpenVINO int8": openvino_int8,
}


def _save(model: Any, bundle: Any, path: Path) -> Path:
    import onnx

    del model.metadata_props[:]
    describe(model, bundle)
    onnx.save(model, path)
    seal(path)
    return path


def milliseconds(engine: Any, sound: np.ndarray, rounds: int = 5) -> float:
    """Processor time of a window, the best of several rounds."""
    engine.run(sound)
    spent = []
    for _ in range(rounds):
        started = time.process_time()
        engine.run(sound)
        spent.append(time.process_time() - started)
    return 1000 * min(spent) / len(sound)


def main(path: str, folder: str) -> None:
    """A row for every variant."""
    bundle, data = load_bundle(path), Path(folder)
    sound = np.stack([clip for _, clip in check_windows(bundle.recipe, data / "train_audio")])
    truth = pd.read_csv(data / "solution.csv").set_index("row_id")

    def scores(model: Any) -> pd.DataFrame:
        with tempfile.TemporaryDirectory() as out:
            predictor = Predictor(model, device="cpu") if model is bundle else Predictor(model)
            places = data / "test_soundscapes", data / "sample_submission.csv", Path(out) / "submission.csv"
            return predictor.submission(*places, progress=False).set_index("row_id").loc[truth.index, truth.columns]

    full = scores(bundle)

    def run(variant: str) -> dict[str, float]:
        make = VARIANTS[variant]
        with tempfile.TemporaryDirectory() as out:
            model = bundle if make is None else make(bundle, Path(out), sound)
            of_openvino.PRECISION = "bf16" if variant.endswith("bf16") else "f32"
            found = scores(model)
            files = [Path(path)] if make is None else [model, *model.parent.glob("model.bin")]
            change = (found - full).abs().to_numpy()
            return {
                "mb": round(sum(file.stat().st_size for file in files) / 1e6, 1),
                "cpu_ms_per_window": round(milliseconds(load_engine(model), sound[:BATCH]), 2),
                "mean_change": float(change.mean()),
                "largest_change": float(change.max()),
                "roc_auc": roc_auc(truth.to_numpy(), found.to_numpy()),
            }

    command = "OMP_NUM_THREADS=1 python benchmarks/export_precision.py BUNDLE MINI_BIRDCLEF_FOLDER"
    print(measure("export_precision", [{"variant": name} for name in VARIANTS], run, command=command).iloc[:, :6])


if __name__ == "__main__":
    main(*sys.argv[1:])
