"""One graph in each format: what it takes, that it agrees in a fresh process, and that it is not written if it does not."""

import subprocess
import sys
from importlib.util import find_spec
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch

from birdfast.errors import BirdfastError
from birdfast.models import create_model
from birdfast.scoring import graph, parity
from birdfast.scoring.bundle import Bundle
from birdfast.scoring.engines import onnx as onnx_files
from birdfast.scoring.engines.load import load_engine
from birdfast.scoring.export import export_model
from birdfast.spectrogram.logmel import LogMel

pytest.importorskip("onnxruntime", reason="export needs ONNX Runtime: pip install 'birdfast[onnx]'")
onnx = pytest.importorskip("onnx", reason="export needs onnx: pip install 'birdfast[onnx]'")


def test_the_graph_is_waveform_to_probabilities(exported, small_bundle):
    model = onnx.load(str(exported[".onnx"]))
    onnx.checker.check_model(model, full_check=True)
    (waveform,), (scores,) = model.graph.input, model.graph.output
    assert [d.dim_param for d in waveform.type.tensor_type.shape.dim] == ["n", "time"]
    assert scores.type.tensor_type.shape.dim[0].dim_param == "n"
    assert not {node.op_type for node in model.graph.node} & {"STFT", "DFT"}, "OpenVINO cannot take them"
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    assert metadata["classes"].split("\n") == small_bundle.classes
    assert metadata["sample_rate"] == "8000"


def test_a_fresh_process_agrees(exported, recording, tmp_path):
    script = (
        "import sys\nfrom birdfast import Predictor\n"
        "for model in sys.argv[2:]: Predictor(model).predict(sys.argv[1], progress=False).to_csv(model + '.csv')"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(recording), *map(str, exported.values())], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    tables = [pd.read_csv(f"{path}.csv", index_col=[0, 1, 2]) for path in exported.values()]
    for table in tables[1:]:
        pd.testing.assert_frame_equal(table, tables[0], atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    "knobs",
    [
        {"activation": "sigmoid", "pooling": "max"},
        {"pooling": "gem"},
        {"pooling": "sed", "duration": 4.0, "window": 1.0},
        {"pooling": "sed", "sed_frequency": "gem"},
        {"power": 1.0, "normalize": "minmax", "pooling": "avgmax", "n_fft": 240, "win_length": 200, "hop_length": 100},
    ],
)
def test_other_recipes_agree_too(tiny_recipe, tmp_path, knobs):
    recipe = tiny_recipe.with_(**knobs)
    torch.manual_seed(1)
    model = create_model(recipe, 2, weights="random").eval()
    bundle = Bundle(model, LogMel.from_recipe(recipe), ["a", "b"], recipe)
    for suffix in (".onnx", ".xml") if find_spec("openvino") else (".onnx",):
        written = export_model(bundle, tmp_path / f"b{suffix}")
        assert written.worst.size < 1e-5
        assert load_engine(written.path).recipe == recipe


def test_a_file_that_differs_is_not_written(small_bundle, recording, tmp_path, monkeypatch):
    class Wrong(graph.MatmulLogMel):
        def _normalise(self, db):
            return super()._normalise(db) * 1.05

    monkeypatch.setattr(graph, "MatmulLogMel", Wrong)
    with pytest.raises(
        BirdfastError, match=r"was not written: .* Most in .*songs\.flac from \d.* s, class .*: 0\.\d+ where"
    ):
        export_model(small_bundle, tmp_path / "birds.onnx", recordings=recording)
    assert not list(tmp_path.iterdir())


def test_an_older_file_stays_when_the_export_fails(small_bundle, tmp_path, monkeypatch):
    (tmp_path / "birds.onnx").write_bytes(b"old")
    monkeypatch.setattr(onnx_files, "seal", lambda *files: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        export_model(small_bundle, tmp_path / "birds.onnx")
    assert [p.name for p in tmp_path.iterdir()] == ["birds.onnx"]
    assert (tmp_path / "birds.onnx").read_bytes() == b"old"


def test_real_sound_is_spread_over_the_recordings(tiny_recipe, tmp_path, monkeypatch):
    monkeypatch.setattr(parity, "MOST", 6)
    for name in "abc":
        soundfile.write(tmp_path / f"{name}.wav", np.random.default_rng(0).normal(0, 0.1, 80_000), 8000)
    (tmp_path / "d.wav").write_bytes(b"")
    windows = parity.check_windows(tiny_recipe, tmp_path)
    assert [name.rpartition("/")[2] for name, _ in windows] == [
        f"{name}.wav from {start} s" for name in "abc" for start in (0, 9)
    ]
    with pytest.raises(BirdfastError, match="no recording to compare .* zero bytes"):
        parity.check_windows(tiny_recipe, tmp_path / "d.wav")


def test_a_learner_is_compared_on_its_validation_recordings(small_bundle, recording, tmp_path, capsys):
    paths = [str(recording), str(recording), str(tmp_path / "training.wav"), "gone.wav"]
    clips = pd.DataFrame({"path": paths, "is_valid": [True, True, False, True]})
    dls = SimpleNamespace(vocab=small_bundle.classes, clips=clips)
    learn = SimpleNamespace(model=small_bundle.model, recipe=small_bundle.recipe, dls=dls)
    written = export_model(learn, tmp_path / "birds.onnx")
    assert written.n_windows == 5 and "on 5 windows of real recordings" in str(written)
    assert not capsys.readouterr().err
    bare = export_model(small_bundle, tmp_path / "birds.onnx")
    assert "windows of synthetic songs" in str(bare) and "on synthetic songs" in capsys.readouterr().err


def test_wrong_formats_and_missing_packages(small_bundle, tmp_path, monkeypatch):
    with pytest.raises(BirdfastError, match="unknown format to export to '.tflite'"):
        export_model(small_bundle, tmp_path / "birds.tflite")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(BirdfastError, match=r"pip install onnx onnxruntime"):
        export_model(small_bundle, tmp_path / "birds.onnx")
