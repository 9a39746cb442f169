"""Small models of two dense layers, in both formats, and their settings."""

import json

import numpy as np
import pytest

RATE, WINDOW, SIZE, CLASSES = 8000, 0.5, 6, ["Turdus merula", "Parus major", "Corvus corax"]
N = round(RATE * WINDOW)


def expected(weights, waveforms):
    w1, b1, w2, b2 = weights
    embeddings = waveforms @ w1.T + b1
    return embeddings, embeddings @ w2.T + b2


def write_onnx(path, weights, *, head="Gemm"):
    onnx = pytest.importorskip("onnx")
    from onnx import helper, numpy_helper

    names = ["w1", "b1", "w2", "b2"]
    held = [numpy_helper.from_array(values, name) for name, values in zip(names, weights)]
    nodes = [helper.make_node("Gemm", ["sound", "w1", "b1"], ["embedding"], transB=1)]
    if head == "Gemm":
        nodes.append(helper.make_node("Gemm", ["embedding", "w2", "b2"], ["label"], transB=1))
    else:
        held[2] = numpy_helper.from_array(np.ascontiguousarray(weights[2].T), "w2")
        nodes.append(helper.make_node("MatMul", ["embedding", "w2"], ["product"]))
        nodes.append(helper.make_node("Add", ["product", "b2"], ["label"]))
    sizes = {"sound": N, "embedding": SIZE, "label": len(CLASSES)}
    about = {name: helper.make_tensor_value_info(name, 1, ["n", size]) for name, size in sizes.items()}
    graph = helper.make_graph(nodes, "toy", [about["sound"]], [about["embedding"], about["label"]], held)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, path)


def write_tflite(path, weights):
    """Two dense layers, the logits the only output, as in BirdNET's file."""
    pytest.importorskip("ai_edge_litert")
    import flatbuffers
    from ai_edge_litert import schema_py_generated as s

    model, graph = s.ModelT(), s.SubGraphT()
    model.version, model.description = 3, b"toy"
    model.buffers = [s.BufferT()]

    def tensor(name, shape, values=None):
        about = s.TensorT()
        about.name, about.shape, about.type, about.buffer = name, np.array(shape, np.int32), s.TensorType.FLOAT32, 0
        if values is not None:
            buffer = s.BufferT()
            buffer.data = np.frombuffer(values.tobytes(), np.uint8)
            model.buffers.append(buffer)
            about.buffer = len(model.buffers) - 1
        return about

    held = [tensor(name, values.shape, values) for name, values in zip(["w1", "b1", "w2", "b2"], weights)]
    made = [tensor("sound", [1, N]), tensor("pool", [1, SIZE]), tensor("Identity", [1, len(CLASSES)])]
    graph.tensors = [*made, *held]

    def dense(inputs, output):
        operator = s.OperatorT()
        operator.opcodeIndex, operator.inputs = 0, np.array(inputs, np.int32)
        operator.outputs = np.array([output], np.int32)
        operator.builtinOptionsType = s.BuiltinOptions.FullyConnectedOptions
        operator.builtinOptions = s.FullyConnectedOptionsT()
        return operator

    graph.operators = [dense([0, 3, 4], 1), dense([1, 5, 6], 2)]
    graph.inputs, graph.outputs = np.array([0], np.int32), np.array([2], np.int32)
    code = s.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = s.BuiltinOperator.FULLY_CONNECTED
    code.version = 1
    model.operatorCodes, model.subgraphs = [code], [graph]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    path.write_bytes(bytes(builder.Output()))


def write_settings(path, **other):
    said = {"file": path.name, "sample_rate": RATE, "window": WINDOW, "embedding": "embedding", "logits": "label"}
    if path.suffix == ".tflite":
        said |= {"embedding": "pool", "logits": "Identity"}
    said |= {"labels": "labels.txt", "licence": "CC0"} | other
    text = "\n".join(f"{key} = {json.dumps(value)}" for key, value in said.items() if value is not None)
    path.with_suffix(".toml").write_text(text)
    (path.parent / "labels.txt").write_text("\n".join(CLASSES))
