"""Imports point one way: the law of the house (CONTRIBUTING.md)."""

import ast
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import birdfast

PACKAGE = Path(birdfast.__file__).parent
# What each room may import of the others.
MAY = {
    "recipe_checks": {"recipe", "errors"},
    "recipe": {"recipe_checks", "errors"},
    "recordings": {"recipe", "errors", "notes"},
    "spectrogram": {"recipe", "errors", "notes"},
    "models": {"recipe", "errors", "notes", "spectrogram"},
    "evaluation": {"recipe", "errors", "notes"},
    "plots": {"errors", "evaluation", "spectrogram"},
    "training": {"recipe", "errors", "notes", "memory", "recordings", "spectrogram", "models", "evaluation", "plots"},
    "inference": {"recipe", "errors", "notes", "memory", "recordings", "spectrogram", "models"},
    "studies": {"recipe", "errors", "notes", "recordings", "models", "evaluation", "plots", "training", "inference"},
    "commands": {
        "recipe",
        "errors",
        "notes",
        "recordings",
        "models",
        "evaluation",
        "plots",
        "training",
        "inference",
        "studies",
    },
    "doctor": {"recipe", "errors", "notes", "recordings", "models", "evaluation", "commands"},
}


def imported(path: Path) -> set[str]:
    """Names of birdfast's rooms that a file imports."""
    tree = ast.parse(path.read_text())
    names = [a.name for node in ast.walk(tree) if isinstance(node, ast.Import) for a in node.names]
    names += [node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module]
    return {name.split(".")[1] for name in names if name.startswith("birdfast.")}


@pytest.mark.parametrize("room", MAY)
def test_imports_point_one_way(room):
    files = sorted((PACKAGE / room).rglob("*.py")) or [PACKAGE / f"{room}.py"]
    for file in files:
        assert imported(file) <= MAY[room] | {room}, file


def loads(code: str) -> set[str]:
    """Top-level modules that are loaded after `code` ran in a fresh process."""
    script = f"{code}\nimport sys; print(' '.join({{m.split('.')[0] for m in sys.modules}}))"
    return set(
        subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    )


@pytest.mark.parametrize(
    ("code", "never"),
    [
        ("import birdfast; birdfast.RECIPES", {"torch", "fastai", "pandas", "matplotlib"}),
        ("import birdfast.cli", {"torch", "fastai", "timm", "matplotlib"}),
        (
            "import birdfast.recordings.tables, birdfast.recordings.folds, birdfast.recordings.audio",
            {"torch", "fastai"},
        ),
        ("import birdfast.evaluation.report, birdfast.plots, birdfast.evaluation.gains", {"torch", "fastai"}),
        ("import birdfast.studies.ladder", {"torch", "fastai"}),
        ("import birdfast.inference.predictor, birdfast.inference.bundle", {"fastai"}),
        ("import birdfast.spectrogram.logmel, birdfast.models", {"fastai"}),
        ("import birdfast.studies.folds", {"fastai", "timm"}),
    ],
)
def test_heavy_packages_stay_out(code, never):
    assert not loads(code) & never


def test_every_public_name_is_there():
    for name in birdfast.__all__:
        assert getattr(birdfast, name) is not None
    assert set(birdfast.__all__) <= set(dir(birdfast))


DOCUMENTS = [PACKAGE.parent / "README.md", *sorted((PACKAGE.parent / "docs").glob("*.md"))]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_what_the_documents_import_is_there(document):
    blocks = re.findall(r"^```python\n(.*?)^```", document.read_text(), flags=re.DOTALL | re.MULTILINE)
    for node in (node for block in blocks for node in ast.walk(ast.parse(block))):
        if isinstance(node, ast.ImportFrom) and str(node.module).split(".")[0] == "birdfast":
            missing = [name.name for name in node.names if not hasattr(import_module(str(node.module)), name.name)]
            assert not missing, f"{document.name} imports {missing} from {node.module}"


def test_names_that_the_documents_speak_of_are_public():
    assert {"load_ensemble", "read_groups", "create_model"} <= set(birdfast.__all__)
