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
# The rooms in the order of the data's way: a room imports those before it, never one after.
ROOMS = [
    "errors", "notes", "recipe", "files", "audio", "embedders", "synthetic", "sources", "splits", "spectrogram", "models",
    "evaluation", "plots", "scoring", "prediction", "training", "studies", "doctor", "commands", "cli", "__main__",
]  # fmt: skip
APART = {
    "training": {"scoring", "prediction"},  # what trains and what predicts do not know each other
    "evaluation": {"audio", "sources", "splits", "spectrogram", "models"},  # tables in, figures out
    "synthetic": {"recipe", "audio"},  # an invented data set knows no reader
}


def modules() -> dict[str, Path]:
    """Every module of the package by its name, `birdfast.` left out."""
    names = {".".join(path.relative_to(PACKAGE).with_suffix("").parts): path for path in PACKAGE.rglob("*.py")}
    return {name.removesuffix(".__init__") if name != "__init__" else "": path for name, path in names.items()}


def imports() -> dict[str, set[str]]:
    """What each module imports of the package: at its top, in functions, and under TYPE_CHECKING."""
    there = modules()

    def of(path: Path) -> set[str]:
        found = set()
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                assert node.level == 0, f"{path}: a relative import"
                found |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
        names = {name.removeprefix("birdfast.") for name in found if name.startswith("birdfast.")}
        return names & there.keys()

    return {name: of(path) - {name} for name, path in there.items()}


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """Strongly connected components of more than one module (Tarjan 1972)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found = []

    def visit(node: str) -> None:
        index[node] = low[node] = len(index)
        stack.append(node)
        for other in sorted(graph[node]):
            if other not in index:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in stack:
                low[node] = min(low[node], index[other])
        if low[node] == index[node]:
            at = stack.index(node)
            if len(stack) - at > 1:
                found.append(sorted(stack[at:]))
            del stack[at:]

    for node in graph:
        if node not in index:
            visit(node)
    return found


def test_circles_are_seen():
    graph = {"a": {"b"}, "b": {"c"}, "c": {"a", "d"}, "d": set(), "e": {"f"}, "f": {"e"}}
    assert circles(graph) == [["a", "b", "c"], ["e", "f"]]


def test_no_imports_go_in_circles():
    assert circles(imports()) == []


def test_rooms_import_only_those_before():
    for name, others in imports().items():
        room = name.split(".")[0]
        if room == "":
            continue
        before = {"", *ROOMS[: ROOMS.index(room) + 1]} - APART.get(room, set())
        wrong = {other for other in others if other.split(".")[0] not in before}
        assert not wrong, f"{name} imports {sorted(wrong)}"


def test_every_room_has_its_place():
    assert {name.split(".")[0] for name in modules()} - {""} == set(ROOMS)


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
        ("import birdfast.sources.read, birdfast.splits.folds, birdfast.audio.read", {"torch", "fastai"}),
        ("import birdfast.evaluation.report, birdfast.plots.ladder, birdfast.evaluation.gains", {"torch", "fastai"}),
        ("import birdfast.studies.ladder", {"torch", "fastai"}),
        (
            "import birdfast.embedders.load, birdfast.embedders.matching",
            {"torch", "fastai", "onnxruntime", "ai_edge_litert"},
        ),
        ("import birdfast.prediction.predictor, birdfast.scoring.bundle", {"fastai"}),
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
