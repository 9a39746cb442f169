"""Export and budget at the shell."""

from __future__ import annotations

import pandas as pd
import pytest


def test_export_says_how_well_it_agrees(birdfast, trained, tiny_birds, tmp_path):
    pytest.importorskip("onnx", reason="export needs onnx: pip install 'birdfast[onnx]'")
    out = tmp_path / "new" / "birds.onnx"
    result = birdfast("export", trained, out, "--check", tiny_birds / "species0")
    assert "on 20 windows its probabilities differ from PyTorch's by" in result.stdout
    for model in (trained, out):
        birdfast("predict", model, tiny_birds / "species1", "--out", tmp_path / f"{model.suffix or 'run'}.csv")
    left, right = (pd.read_csv(tmp_path / f"{name}.csv", index_col=[0, 1, 2]) for name in ("run", ".onnx"))
    pd.testing.assert_frame_equal(left, right, atol=1e-5, rtol=0)
    assert "macro ROC-AUC" in birdfast("evaluate", out, tiny_birds).stdout


def test_export_mistakes(birdfast, trained, tmp_path):
    assert "must end in one of .safetensors" in birdfast("export", trained, tmp_path / "x.h5", code=1).stderr
    gone = birdfast("export", trained, tmp_path / "x.onnx", "--check", tmp_path / "gone", code=1)
    assert "gone: cannot be opened" in gone.stderr
    (tmp_path / "bad.onnx").write_bytes(b"x" * 100)
    assert "bad.onnx" in birdfast("evaluate", tmp_path / "bad.onnx", tmp_path, code=1).stderr
