"""ONNX files in ONNX Runtime, and their last layer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from birdfast.embedders.embedder import Floats
from birdfast.embedders.lanes import Runner
from birdfast.errors import BirdfastError, unknown


def onnx_runner(content: bytes, path: Path, names: list[str], n_samples: int) -> Runner:
    """Runs all the windows given at once, on one thread.

    Raises
    ------
    BirdfastError
        If ONNX Runtime is missing, cannot read the file, or there is no such output.
    """
    session = _session(content, path)
    there = [output.name for output in session.get_outputs()]
    for name in names:
        if name not in there:
            raise unknown(f"output of {path.name}", name, there)
    given = session.get_inputs()[0]
    one = isinstance(given.shape[0], int)  # a model of a fixed batch, of one window

    def run(waveforms: Floats) -> list[Floats]:
        parts = [waveforms[i : i + 1] for i in range(len(waveforms))] if one else [waveforms]
        try:
            rows = [session.run(names, {given.name: part}) for part in parts]
        except _errors() as error:
            raise BirdfastError(
                f"{path} does not take windows of {n_samples} samples ({str(error).splitlines()[0][:120]}): correct "
                "sample_rate and window in its settings"
            ) from error
        return [np.concatenate(outputs) for outputs in zip(*rows)]

    return run


def _onnxruntime(path: str | Path) -> Any:
    try:
        import onnxruntime
    except ImportError:
        raise BirdfastError(f"{path} needs ONNX Runtime: pip install '.[onnx]' in the clone") from None
    return onnxruntime


def _session(content: bytes, path: Path) -> Any:
    onnxruntime = _onnxruntime(path)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3  # errors only
    try:
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except _errors() as error:
        raise BirdfastError(f"{path} is no ONNX model, or a damaged one: bring the file again") from error


def _errors() -> tuple[type[Exception], ...]:
    """ONNX Runtime's own exceptions, which have no common base."""
    state = vars(_onnxruntime("").capi.onnxruntime_pybind11_state)
    return tuple(kind for kind in state.values() if isinstance(kind, type) and issubclass(kind, Exception))


def onnx_dense(content: bytes, embedding: str, logits: str) -> tuple[Floats, Floats] | None:
    """Weights ``(k, d)`` and bias ``(k,)`` of the Gemm, or MatMul and Add, from one output to the other.

    None if something else lies between them, or the package onnx, which reads the file, is not installed.
    """
    try:
        import onnx
        from onnx import numpy_helper
    except ImportError:
        return None
    graph = onnx.load_from_string(content).graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    makers = {output: node for node in graph.node for output in node.output}
    last = makers.get(logits)
    bias = None
    if last is not None and last.op_type == "Add":
        bias = next((name for name in last.input if name in constants), None)
        last = makers.get(next((name for name in last.input if name not in constants), ""))
    if last is None or last.op_type not in ("Gemm", "MatMul") or last.input[0] != embedding:
        return None
    if last.input[1] not in constants or (last.op_type == "Gemm" and bias is not None):
        return None
    how = {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in last.attribute}
    if how.get("alpha", 1.0) != 1.0 or how.get("beta", 1.0) != 1.0 or how.get("transA", 0):
        return None
    weights = numpy_helper.to_array(constants[last.input[1]])
    weights = weights if how.get("transB", 0) else weights.T
    bias = last.input[2] if last.op_type == "Gemm" and len(last.input) > 2 else bias
    if bias is None:
        return weights.astype(np.float32), np.zeros(len(weights), np.float32)
    if bias not in constants:
        return None
    return weights.astype(np.float32), numpy_helper.to_array(constants[bias]).astype(np.float32).reshape(-1)
