"""Three engines, one answer; and what the two without PyTorch may import."""

import subprocess
import sys
import venv
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from birdfast.errors import BirdfastError
from birdfast.prediction.predictor import Predictor
from birdfast.scoring.engines.load import KINDS, load_engine

SUFFIXES = list(KINDS)
EXPORTED = [suffix for suffix, kind in KINDS.items() if kind.write]
NEEDED = ["numpy", "pandas", "soundfile", "soxr", "tqdm"]
BLOCKED = [
    "torch",
    "fastai",
    "timm",
    "sklearn",
    "scipy",
    "matplotlib",
    "typer",
    "safetensors",
    "tomli_w",
    "onnx",
    "fastcore",
]

BARE = """
import sys
class Never:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {blocked!r}:
            raise ImportError("not in a bare environment: " + name)
sys.meta_path.insert(0, Never())
from birdfast import Predictor
table = Predictor({model!r}).predict({recording!r}, progress=False)
table.to_csv({out!r})
loaded = {{name.partition(".")[0] for name in sys.modules}} & set({blocked!r})
assert not loaded, loaded
"""


def of(exported, suffix) -> Path:
    if suffix not in exported:
        pytest.skip(f"what runs {suffix} is not installed: pip install 'birdfast[onnx,openvino]'")
    return exported[suffix]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_file_tells_what_it_is(exported, small_bundle, suffix):
    engine = load_engine(of(exported, suffix))
    assert engine.classes == small_bundle.classes
    assert engine.recipe == small_bundle.recipe
    assert engine.extra["note"] == 'tést "<&>"'
    assert engine.name in repr(Predictor(exported[suffix]))


@pytest.mark.parametrize("suffix", EXPORTED)
def test_scores_agree_whatever_the_batch(exported, recording, suffix):
    wanted = Predictor(exported[".safetensors"]).predict(recording, step=0.4, progress=False)
    assert wanted.std().max() > 0.02, "scores too alike to tell engines apart"
    for batch_size in (1, 5, 32):
        found = Predictor(of(exported, suffix), batch_size=batch_size).predict(recording, step=0.4, progress=False)
        pd.testing.assert_frame_equal(found, wanted, atol=1e-5, rtol=0)


@pytest.mark.parametrize("suffix", EXPORTED)
def test_a_result_outlives_the_next_call(exported, small_bundle, suffix):
    engine = load_engine(of(exported, suffix))
    batch = np.random.default_rng(0).standard_normal((2, 1, small_bundle.recipe.n_samples)).astype(np.float32)
    first = engine.run(batch[0])
    kept = first.copy()
    assert not np.allclose(engine.run(batch[1]), kept)
    np.testing.assert_array_equal(first, kept)


@pytest.mark.parametrize("suffix", EXPORTED)
def test_neither_torch_nor_scikit_learn_is_needed(exported, recording, suffix, tmp_path):
    out = tmp_path / "scores.csv"
    script = BARE.format(blocked=BLOCKED, model=str(of(exported, suffix)), recording=str(recording), out=str(out))
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = pd.read_csv(out, index_col=["path", "start_time", "end_time"])
    wanted = Predictor(exported[".safetensors"]).predict(recording, progress=False)
    np.testing.assert_allclose(found, wanted, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(("suffix", "runtime"), [(".onnx", "onnxruntime"), (".xml", "openvino")])
def test_a_bare_environment_is_enough(exported, recording, suffix, runtime, tmp_path):
    venv.create(tmp_path / "bare", with_pip=True)
    python = tmp_path / "bare" / "bin" / "python"
    root = Path(__file__).parents[2]
    for what in (["--no-deps", str(root)], [*NEEDED, runtime]):
        done = subprocess.run([python, "-m", "pip", "install", "-q", *what], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    script = BARE.format(blocked=BLOCKED, model=str(of(exported, suffix)), recording=str(recording), out="scores.csv")
    done = subprocess.run([python, "-I", "-c", script], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = pd.read_csv(tmp_path / "scores.csv", index_col=["path", "start_time", "end_time"])
    wanted = Predictor(exported[".safetensors"]).predict(recording, progress=False)
    np.testing.assert_allclose(found, wanted, atol=1e-5)


@pytest.mark.parametrize(("suffix", "runtime"), [(".onnx", "onnxruntime"), (".xml", "openvino")])
def test_a_missing_runtime_is_named(exported, suffix, runtime, monkeypatch):
    monkeypatch.setitem(sys.modules, runtime, None)
    with pytest.raises(BirdfastError, match="needs .*: pip install"):
        load_engine(of(exported, suffix))


def test_what_is_no_model_is_said(exported, tmp_path):
    for name, message in [
        ("gone.onnx", "no model at"),
        ("gone.xml", "no model at"),
        ("gone.safetensors", "no bundle at"),
        ("birds.caffe", f"unknown kind of model '.caffe'.*There are: {', '.join(sorted(KINDS))}"),
    ]:
        with pytest.raises(BirdfastError, match=message):
            load_engine(tmp_path / name)
    with pytest.raises(BirdfastError, match="runs on the CPU"):
        load_engine(exported[".onnx"], device="cuda")
    (tmp_path / "alone.xml").write_bytes(of(exported, ".xml").read_bytes())
    with pytest.raises(BirdfastError, match="alone.bin is missing: an OpenVINO model is two files"):
        load_engine(tmp_path / "alone.xml")


STACK = """
import ctypes, sys
from birdfast import Predictor
from birdfast.scoring.engines.signal_stack import _Stack, signal_stack_kept

sigaltstack = ctypes.CDLL(None).sigaltstack
def stack():
    found = _Stack()
    sigaltstack(None, ctypes.byref(found))
    return found.address, found.flags, found.size
before = stack()
Predictor(sys.argv[1]).predict(sys.argv[2], progress=False)
assert stack() == before, (before, stack())
memory = ctypes.create_string_buffer(1 << 16)
with signal_stack_kept():  # what OpenVINO does on processors with AMX
    sigaltstack(ctypes.byref(_Stack(ctypes.addressof(memory), 0, len(memory))), None)
    assert stack() != before
assert stack() == before, (before, stack())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="sigaltstack as Linux has it")
def test_openvino_leaves_the_stack_of_signals_alone(exported, recording):
    """Where it lays one of its own and its model is gone, the next signal ends the process."""
    words = [sys.executable, "-c", STACK, str(of(exported, ".xml")), str(recording)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
