"""The recipes run from beginning to end: minutes, so only in make test-all."""

import os
import subprocess
import sys
from pathlib import Path

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
def test_the_demo_runs(tmp_path):
    env = os.environ | {
        "BIRDFAST_DEMO": str(tmp_path / "demo"),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    done = subprocess.run(["bash", ROOT / "recipes" / "demo.sh"], env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    assert (tmp_path / "demo" / "submission.csv").exists()
    assert "Traceback" not in done.stderr
