"""The recipes run from beginning to end: the scripts tiny, the notebooks only in make test-all, for they take minutes."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

import birdfast

ROOT = Path(__file__).parents[1]
TINY = ("--epochs", "1", "--batch-size", "8", "--backbone", "test_efficientnet", "--weights", "random")
SECTIONS = "setup, data, model, training, evaluation"
SCRIPTS = ["baseline", "improved", "first_place", "pseudo_labels", "ladder"]
WITH_FOLDS = pytest.mark.skipif("pseudo_label" not in dir(birdfast), reason="folds and pseudo-labels are not built yet")
WITH_FIRST = pytest.mark.skipif("first_place" not in birdfast.RECIPES, reason="the recipe is not measured yet")


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """A BirdCLEF of 5 species."""
    sizes = {"n_classes": 5, "n_recordings": 40, "n_recordists": 12, "n_labelled": 2, "n_unlabelled": 2, "n_test": 2}
    return birdfast.synth(tmp_path_factory.mktemp("data") / "birdclef", **sizes, soundscape_duration=20.0, seed=1)


def run(name: str, data: Path, out: Path, *words: str, **changes: object) -> None:
    """Run a recipe's script in this process, some of its constants changed."""
    spec = importlib.util.spec_from_file_location(f"recipe_{name}", ROOT / "recipes" / f"{name}.py")
    assert spec and spec.loader
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    vars(script).update(changes)
    script.main(script.parser.parse_args([str(data), "--out", str(out), *TINY, *words]))


def test_the_baseline_trains_and_submits(data, tmp_path, capsys):
    run("baseline", data, tmp_path)
    assert "macro ROC-AUC of the test soundscapes: 0." in capsys.readouterr().out
    assert len(pd.read_csv(tmp_path / "submission.csv")) == 8
    assert {"birds.safetensors", "per_class.csv", "confusion.png"} <= {file.name for file in tmp_path.iterdir()}


def test_improved_trains_and_submits_and_goes_on_where_it_was(data, tmp_path, capsys):
    run("improved", data, tmp_path, "--lr", "1e-3")
    assert "macro ROC-AUC of the test soundscapes: 0." in capsys.readouterr().out
    assert {"history.csv", "history.png", "submission.csv"} <= {file.name for file in tmp_path.iterdir()}
    run("improved", data, tmp_path, "--lr", "1e-3", "--epochs", "2")
    assert len(pd.read_csv(tmp_path / "history.csv")) == 2


def test_the_ladder_compares(data, tmp_path, capsys):
    mine = birdfast.Rung(name="mine", adds="longer masks", recipe="small", changes={"time_mask_width": 40})
    run("ladder", data, tmp_path, "--seeds", "1", RUNGS_TO_CLIMB=[birdfast.RUNGS["small"], mine])
    assert "| mine | longer masks |" in capsys.readouterr().out
    assert pd.read_csv(tmp_path / "ladder.csv")["over"].tolist()[-1] == "small"


@pytest.mark.slow
@WITH_FOLDS
def test_pseudo_labels_are_made_and_trained_on(data, tmp_path, capsys):
    run("pseudo_labels", data, tmp_path, "--lr", "1e-3", "--rounds", "1", "--folds", "0", "1")
    assert "macro ROC-AUC of the test soundscapes: 0." in capsys.readouterr().out


@pytest.mark.slow
@WITH_FOLDS
@WITH_FIRST
def test_first_place_trains_folds_that_predict_together(data, tmp_path, capsys):
    run("first_place", data, tmp_path, "--folds", "0", "1")
    assert "macro ROC-AUC of the test soundscapes: 0." in capsys.readouterr().out


@pytest.mark.parametrize("name", SCRIPTS)
def test_recipes_are_short_alike_and_of_public_names(name):
    text = (ROOT / "recipes" / f"{name}.py").read_text()
    assert 60 <= len(text.splitlines()) <= 120
    sections = ", ".join(re.findall(r"# ---- ([\w ]+)", text)).lower().replace(" and ", ", ")
    assert sections in (f"{SECTIONS}, inference", f"{SECTIONS}, results")
    assert "from birdfast." not in text and "import birdfast." not in text
    assert "<!-- figures: " in text


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
