"""Export and budget at the shell."""

from __future__ import annotations

import shutil

import pandas as pd
import pytest


def test_export_says_how_well_it_agrees(birdfast, trained, tiny_birds, tmp_path):
    pytest.importorskip("onnx", reason="export needs onnx: pip install 'birdfast[onnx]'")
    out = tmp_path / "new" / "birds.onnx"
    result = birdfast("export", trained, out, "--check", tiny_birds / "species0")
    assert "on 20 windows of real recordings its probabilities differ from PyTorch's by" in result.stdout
    for model in (trained, out):
        birdfast("predict", model, tiny_birds / "species1", "--out", tmp_path / f"{model.suffix or 'run'}.csv")
    left, right = (pd.read_csv(tmp_path / f"{name}.csv", index_col=[0, 1, 2]) for name in ("run", ".onnx"))
    pd.testing.assert_frame_equal(left, right, atol=1e-5, rtol=0)
    assert "macro ROC-AUC" in birdfast("evaluate", out, tiny_birds).stdout


def test_export_compares_on_the_sound_of_the_run(birdfast, trained, tmp_path):
    pytest.importorskip("onnx", reason="export needs onnx: pip install 'birdfast[onnx]'")
    split = pd.read_csv(trained / "split.csv")
    n_windows = 2 * int(split["is_valid"].sum())  # of 2 s, in windows of 1 s
    for source in (trained, trained / "birds.safetensors"):
        result = birdfast("export", source, tmp_path / "birds.onnx")
        assert f"on {n_windows} windows of real recordings" in result.stdout and "synthetic" not in result.stderr
    run = tmp_path / "run"
    run.mkdir()
    shutil.copy(trained / "birds.safetensors", run)
    bare = birdfast("export", run, tmp_path / "birds.onnx")
    assert "windows of synthetic songs" in bare.stdout and "no recordings of this model are known" in bare.stderr
    split.assign(path=[f"gone/{i}.wav" for i in range(len(split))]).to_csv(run / "split.csv", index=False)
    moved = birdfast("export", run, tmp_path / "birds.onnx")
    assert "is there any more" in moved.stderr and "windows of synthetic songs" in moved.stdout


def test_export_mistakes(birdfast, trained, tmp_path):
    assert "must end in one of .safetensors" in birdfast("export", trained, tmp_path / "x.h5", code=1).stderr
    gone = birdfast("export", trained, tmp_path / "x.onnx", "--check", tmp_path / "gone", code=1)
    assert "gone: cannot be opened" in gone.stderr
    (tmp_path / "bad.onnx").write_bytes(b"x" * 100)
    assert "bad.onnx" in birdfast("evaluate", tmp_path / "bad.onnx", tmp_path, code=1).stderr
