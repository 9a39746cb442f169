"""The same TFLite graph in less time: shapes worked out beforehand, and spectrograms in one product.

BirdNET's graph works out its shapes anew for every window, through which LiteRT runs it without its fast kernels. And it
makes spectrograms of the *real part* of a Fourier transform: a cosine transform and a mel filter bank are two linear maps
one after the other, hence one matrix. (The window function before them could be part of it. But what its product rounds
off decides what BirdNET hears in bands where nothing is, so that product stays as it is.)
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from birdfast.embedders.embedder import Floats
from birdfast.embedders.tflite import Graph, interpret

# From the dense layer back to the frames: what is one matrix together.
_SPECTROGRAM = ["RESHAPE", "CAST", "SQUEEZE", "RFFT2D", "EXPAND_DIMS"]


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
    """Make the real part of a Fourier transform and the filter bank after it one matrix, wherever they follow each other.

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
        reshape, frames = chain[0], int(chain[-1].inputs[0])
        rows, n = int(graph.tensors[int(reshape.outputs[0])].shape[0]), int(graph.tensors[frames].shape[-1])
        graph.set_constant(int(dense.inputs[1]), _joined(filters, n))
        graph.set_constant(int(reshape.inputs[1]), np.array([rows, n], np.int32))
        graph.set_shape(int(reshape.outputs[0]), (rows, n))
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


def _joined(filters: Floats, n: int) -> Floats:
    """``filters (k, n // 2 + 1) @ cosines (n // 2 + 1, n)``, rounded to float32 as :func:`_round_shaped` does."""
    turns = np.outer(np.arange(n // 2 + 1), np.arange(n)) % n
    return _round_shaped(filters.astype(float) @ np.cos(2 * np.pi / n * turns))


def _round_shaped(rows: np.ndarray) -> Floats:
    """Rows in float32, the errors of rounding carried on to the next two values (noise shaping of second order).

    The errors then lie at high frequencies, where recordings are weak. Else what is strong, a level or wind, leaks through
    them into bands where nothing is, and BirdNET's exponent of 0.2 makes much of it.
    """
    rounded = np.empty(rows.shape, np.float32)
    last = before = np.zeros(len(rows))
    for column in range(rows.shape[1]):
        wanted = rows[:, column] + 2 * last - before
        rounded[:, column] = wanted
        last, before = wanted - rounded[:, column], last
    return rounded


def faster(content: bytes, path: Path, outputs: list[int], n_samples: int) -> bytes:
    """The content of a graph that gives `outputs` of one window, sooner."""
    graph = Graph(content, path)
    graph.set_outputs(outputs)
    freeze(graph, content, n_samples)
    join_spectrograms(graph)
    return graph.to_bytes()
