"""The same TFLite graph in less time: shapes worked out beforehand, and spectrograms in one product.

BirdNET's graph works out its shapes anew for every window, through which LiteRT runs it without its fast kernels. And it
makes spectrograms of the *real part* of a Fourier transform: a window function, a cosine transform and a mel filter
bank are three linear maps one after the other, hence one matrix.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from birdfast.embedders.embedder import Floats
from birdfast.embedders.tflite import Graph, interpret

# From the dense layer back to the frames: what is one matrix together.
_SPECTROGRAM = ["RESHAPE", "CAST", "SQUEEZE", "RFFT2D", "EXPAND_DIMS", "MUL"]


def freeze(graph: Graph, content: bytes, n_samples: int) -> None:
    """Fix all shapes to those of one window; what works out shapes becomes constants.

    Parameters
    ----------
    content
        The file that `graph` was read from.
    """
    interpreter = interpret(content, graph.path, keep_all=True)
    given = int(graph.main.inputs[0])
    interpreter.resize_tensor_input(given, [1, n_samples])
    interpreter.allocate_tensors()
    interpreter.set_tensor(given, np.random.default_rng(0).uniform(-1, 1, (1, n_samples)).astype(np.float32))
    interpreter.invoke()
    kept = []
    for operator in graph.main.operators:
        outputs = [int(tensor) for tensor in operator.outputs]
        if all(graph.tensors[tensor].type == graph.schema.TensorType.INT32 for tensor in outputs):
            for tensor in outputs:
                _keep_value(graph, interpreter, tensor)
            continue
        kept.append(operator)
        for tensor in outputs:
            graph.set_shape(tensor, interpreter.get_tensor(tensor).shape)
    graph.main.operators = kept
    graph.set_shape(given, (1, n_samples))


def _keep_value(graph: Graph, interpreter: Any, tensor: int) -> None:
    try:
        graph.set_constant(tensor, interpreter.get_tensor(tensor))
    except ValueError:  # LiteRT gives no value of an empty tensor, and nothing reads one
        graph.set_constant(tensor, np.zeros(0, np.int32))


def join_spectrograms(graph: Graph) -> int:
    """Make window function, real part of the transform and filter bank one matrix, wherever they follow each other.

    Returns
    -------
    int
        How many there were. The graph must be frozen.
    """
    makers, found = graph.makers(), 0
    for dense in [operator for operator in graph.main.operators if graph.kind(operator) == "FULLY_CONNECTED"]:
        chain = _before(makers, dense, len(_SPECTROGRAM))
        filters = graph.constant(int(dense.inputs[1]))
        if [graph.kind(operator) for operator in chain] != _SPECTROGRAM or filters is None:
            continue
        window = graph.constant(int(chain[-1].inputs[1]))
        if window is None or filters.shape[1] != len(window) // 2 + 1:
            continue
        reshape, frames = chain[0], int(chain[-1].inputs[0])
        rows = int(graph.tensors[int(reshape.outputs[0])].shape[0])
        graph.set_constant(int(dense.inputs[1]), _joined(filters, window))
        graph.set_constant(int(reshape.inputs[1]), np.array([rows, len(window)], np.int32))
        graph.set_shape(int(reshape.outputs[0]), (rows, len(window)))
        reshape.inputs = np.array([frames, reshape.inputs[1]], np.int32)
        found += 1
    graph.set_outputs([int(tensor) for tensor in graph.main.outputs])
    return found


def _before(makers: dict[int, Any], operator: Any, n: int) -> list[Any]:
    """The `n` operators before one, along first inputs."""
    chain: list[Any] = []
    while len(chain) < n and (operator := makers.get(int(operator.inputs[0]))) is not None:
        chain.append(operator)
    return chain


def _joined(filters: Floats, window: Floats) -> Floats:
    """``filters (k, n // 2 + 1) @ cosines * window (n,)``, in double precision."""
    n = len(window)
    turns = np.outer(np.arange(n // 2 + 1), np.arange(n)) % n
    return ((filters.astype(float) @ np.cos(2 * np.pi / n * turns)) * window.astype(float)).astype(np.float32)


def faster(content: bytes, path: Path, outputs: list[int], n_samples: int) -> bytes:
    """The content of a graph that gives `outputs` of one window, sooner."""
    graph = Graph(content, path)
    graph.set_outputs(outputs)
    freeze(graph, content, n_samples)
    join_spectrograms(graph)
    return graph.to_bytes()
