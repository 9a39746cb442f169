"""The recipes run from beginning to end: minutes, so only in make test-all."""

import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
def test_the_quickstart_notebook_runs(tmp_path, monkeypatch):
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    monkeypatch.delenv("BIRDCLEF", raising=False)
    notebook = nbformat.read(ROOT / "recipes" / "quickstart.ipynb", as_version=4)
    nbclient.NotebookClient(notebook, timeout=1200, resources={"metadata": {"path": str(tmp_path)}}).execute()
    assert "macro ROC-AUC" in notebook.cells[-1].outputs[0]["data"]["text/plain"]
    assert (tmp_path / "submission.csv").exists()


@pytest.mark.slow
def test_the_kaggle_notebooks_train_and_then_submit_offline(tmp_path, monkeypatch):
    pytest.importorskip("onnxruntime", reason="the submission runs in ONNX Runtime: pip install 'birdfast[onnx]'")
    from birdfast import synth

    folder = synth(tmp_path / "birdclef-2026", n_classes=4, n_recordings=40, n_test=1, seed=1)
    for file in (folder / "test_soundscapes").iterdir():
        file.unlink()  # as on Kaggle while a notebook is saved
    monkeypatch.setenv("BIRDCLEF", str(folder))
    monkeypatch.setenv("BIRDFAST_ATTACHED", str(tmp_path))
    small = "epochs=1, batch_size=8, backbone='test_efficientnet', weights='random'"
    trained = execute("kaggle_train", tmp_path, {"epochs=15": small, 'lr="auto"': "lr=1e-2"})
    assert "differ from PyTorch's by" in trained and "models fit" in trained
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    submitted = execute("kaggle_submission", tmp_path, {})
    assert "ONNX Runtime on cpu" in submitted and "DRY RUN" in submitted and "models fit" in submitted
    assert len(pd.read_csv(tmp_path / "submission.csv")) == 24


def execute(name: str, folder: Path, changes: dict[str, str]) -> str:
    """Run a recipe in `folder`, some of its words changed; returns what it printed."""
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    notebook = nbformat.read(ROOT / "recipes" / f"{name}.ipynb", as_version=4)
    for old, new in changes.items():
        assert any(old in cell.source for cell in notebook.cells), old
        for cell in notebook.cells:
            cell.source = cell.source.replace(old, new)
    nbclient.NotebookClient(notebook, timeout=1200, resources={"metadata": {"path": str(folder)}}).execute()
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    return "".join(output.get("text", "") for output in outputs)


@pytest.mark.slow
def test_the_demo_runs(tmp_path):
    env = os.environ | {
        "BIRDFAST_DEMO": str(tmp_path / "demo"),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    done = subprocess.run(["bash", ROOT / "recipes" / "demo.sh"], env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    assert (tmp_path / "demo" / "submission.csv").exists()
    assert "Traceback" not in done.stderr
