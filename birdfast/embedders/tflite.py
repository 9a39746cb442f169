"""TFLite files in LiteRT, without TensorFlow: tensors read from the file, and any of them made an output."""

from __future__ import annotations

import struct
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from birdfast.embedders.embedder import Floats
from birdfast.embedders.lanes import Runner
from birdfast.errors import BirdfastError, unknown

_IDENTIFIER = b"TFL3"


def read_model_file(path: Path) -> bytes:
    """The bytes of a model's file.

    Raises
    ------
    BirdfastError
        If there is none.
    """
    if not path.is_file():
        raise BirdfastError(f"no model at {path}: check the path")
    return path.read_bytes()


def litert() -> Any:
    """LiteRT's module of the interpreter.

    Raises
    ------
    BirdfastError
        If it is not installed.
    """
    try:
        from ai_edge_litert import interpreter
    except ImportError:
        raise BirdfastError("a .tflite model needs ai-edge-litert: pip install '.[birdnet]' in the clone") from None
    return interpreter


def interpret(content: bytes, path: Path, *, keep_all: bool = False) -> Any:
    """An interpreter of one thread for a file's content; with `keep_all`, every tensor can be read afterwards.

    Raises
    ------
    BirdfastError
        If the content is no TFLite model, or a damaged one.
    """
    damaged = BirdfastError(f"{path} is no TFLite model, or a damaged one: bring the file again")
    if content[4:8] != _IDENTIFIER:
        raise damaged
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that keep_all takes memory
        try:
            return litert().Interpreter(
                model_content=content, num_threads=1, experimental_preserve_all_tensors=keep_all
            )
        except (ValueError, RuntimeError) as error:
            raise damaged from error


class Graph:
    """The graph of a TFLite file, to read and to change.

    Raises
    ------
    BirdfastError
        If the content cannot be read.
    """

    def __init__(self, content: bytes, path: Path) -> None:
        interpret(content, path)  # its verifier refuses what would lead the reader below astray
        from ai_edge_litert import schema_py_generated as schema

        self.path, self.schema = path, schema
        try:
            self.model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))
        except (struct.error, TypeError, IndexError) as error:
            raise BirdfastError(f"{path} is damaged: bring the file again") from error
        self.main = self.model.subgraphs[0]
        self.tensors = self.main.tensors
        self._kinds = {number: name for name, number in vars(schema.BuiltinOperator).items() if name[0] != "_"}

    def kind(self, operator: Any) -> str:
        """The name of an operator's kind: CONV_2D, ..."""
        code = self.model.operatorCodes[operator.opcodeIndex]
        return self._kinds[max(code.builtinCode, code.deprecatedBuiltinCode)]

    def find(self, name: str) -> int:
        """The number of the tensor of a name.

        Raises
        ------
        BirdfastError
            If there is none of it.
        """
        names = [tensor.name.decode() for tensor in self.tensors]
        if name not in names:
            raise unknown(f"output of {self.path.name}", name, [names[i] for i in self._made_at()])
        return names.index(name)

    def _made_at(self) -> list[int]:
        """The tensors that operators make."""
        return [int(tensor) for operator in self.main.operators for tensor in operator.outputs]

    def makers(self) -> dict[int, Any]:
        """The operator that makes each tensor."""
        return {int(tensor): operator for operator in self.main.operators for tensor in operator.outputs}

    def constant(self, tensor: int) -> Floats | None:
        """The values of a float32 tensor that the file holds; None if it holds none."""
        about = self.tensors[tensor]
        data = self.model.buffers[about.buffer].data
        if data is None or about.type != self.schema.TensorType.FLOAT32:
            return None
        return np.frombuffer(np.asarray(data, np.uint8).tobytes(), np.float32).reshape(about.shape)

    def set_constant(self, tensor: int, values: np.ndarray) -> None:
        """Have the file hold the values of a tensor."""
        buffer = self.schema.BufferT()
        buffer.data = np.frombuffer(np.ascontiguousarray(values).tobytes(), np.uint8)
        self.model.buffers.append(buffer)
        self.tensors[tensor].buffer = len(self.model.buffers) - 1
        self.set_shape(tensor, values.shape)

    def set_shape(self, tensor: int, shape: tuple[int, ...]) -> None:
        """Fix the shape of a tensor."""
        self.tensors[tensor].shape, self.tensors[tensor].shapeSignature = np.array(shape, np.int32), None

    def set_outputs(self, outputs: list[int]) -> None:
        """Have the graph give these tensors, and drop the operators that they do not need."""
        self.main.outputs = np.array(outputs, np.int32)
        self.model.signatureDefs = None
        needed, kept = set(outputs), []
        for operator in reversed(self.main.operators):
            if needed & {int(tensor) for tensor in operator.outputs}:
                kept.append(operator)
                needed |= {int(tensor) for tensor in operator.inputs if tensor >= 0}
        self.main.operators = kept[::-1]

    def dense(self, output: int) -> tuple[int, Floats, Floats] | None:
        """The input, weights ``(k, d)`` and bias ``(k,)`` of the dense layer that makes a tensor; None if another does."""
        maker = self.makers().get(output)
        if maker is None or self.kind(maker) != "FULLY_CONNECTED":
            return None
        weights = self.constant(int(maker.inputs[1]))
        has_bias = len(maker.inputs) > 2 and maker.inputs[2] >= 0
        bias = self.constant(int(maker.inputs[2])) if has_bias else None
        if weights is None or (has_bias and bias is None):
            return None
        return int(maker.inputs[0]), weights, np.zeros(len(weights), np.float32) if bias is None else bias

    def to_bytes(self) -> bytes:
        """The graph as a file's content."""
        import flatbuffers

        builder = flatbuffers.Builder(1 << 20)
        builder.Finish(self.model.Pack(builder), _IDENTIFIER)
        return bytes(builder.Output())


def tflite_runner(content: bytes, path: Path, n_samples: int) -> Runner:
    """Runs window after window: a batch is no faster, and takes the memory of all."""
    interpreter = interpret(content, path)
    given = interpreter.get_input_details()[0]["index"]
    wanted = [output["index"] for output in interpreter.get_output_details()]
    try:
        interpreter.resize_tensor_input(given, [1, n_samples])
        interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        raise BirdfastError(
            f"{path} does not take windows of {n_samples} samples: correct sample_rate and window in its settings"
        ) from error

    def run(waveforms: Floats) -> list[Floats]:
        rows = []
        for waveform in waveforms:
            interpreter.set_tensor(given, waveform[None])
            interpreter.invoke()
            rows.append([interpreter.get_tensor(output) for output in wanted])
        return [np.concatenate(outputs) for outputs in zip(*rows)]

    return run
