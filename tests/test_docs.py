"""What the pages tell people to type: commands that parse, names that are public, links that lead somewhere."""

import re
import shlex
import shutil
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pandas as pd
import pytest
import typer

import birdfast
from birdfast.cli import app

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(), flags=re.DOTALL)


def commands(page: Path) -> list[list[str]]:
    """The words after `birdfast` of each line of the page's shell blocks."""
    lines = [shlex.split(line, comments=True) for block in blocks(page, "sh") for line in block.splitlines()]
    return [words[words.index("birdfast") + 1 :] for words in lines if "birdfast" in words]


TYPED = [(page.name, words) for page in PAGES for words in commands(page)]


@pytest.mark.parametrize(("page", "words"), TYPED, ids=[f"{page}: {' '.join(words)[:60]}" for page, words in TYPED])
def test_every_command_parses(page, words):
    typer.main.get_command(app).commands[words[0]].make_context(words[0], words[1:])


def test_a_wrong_option_would_be_found():
    with pytest.raises(Exception, match="--no-such-option"):
        typer.main.get_command(app).commands["train"].make_context("train", ["data", "--no-such-option"])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_imported_names_are_public_and_links_lead_somewhere(page):
    imports = re.findall(
        r"^from birdfast import (.+?)(?:  #.*)?$", "\n".join(blocks(page, "python")), flags=re.MULTILINE
    )
    names = {name.strip(" ()") for line in imports for name in line.split(",")}
    assert names <= set(birdfast.__all__)
    links = re.findall(r"\]\((?!http)([^)#]+)(?:#[^)]*)?\)", page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []


@pytest.fixture
def table(monkeypatch):
    """benchmarks/table.py, which is no part of the package."""
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    spec = spec_from_file_location("birdfast_benchmarks_table", ROOT / "benchmarks" / "table.py")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_ladder_says_how_far_each_rung_is_from_its_foot(table):
    scores = {"baseline": [0.5, 0.6], "small": [0.4, 0.5], "first_place": [0.6, 0.8], "small without lr": [0.45]}
    rows = pd.DataFrame(
        {"rung": rung, "seed": seed, "adds": "", "over": "", "removes": "without" in rung, "accuracy": score,
         "seconds_per_epoch": 1.0}
        for rung, values in scores.items() for seed, score in enumerate(values)
    )  # fmt: skip
    cells = table.over_baseline(rows)["over `baseline`"]
    assert cells.tolist() == ["", "-0.100 ± 0.000", "+0.150 ± 0.050", "-0.050"]
    text = table.ladder_markdown(table.gains(rows), more=table.over_baseline(rows))
    assert "| verdict | over `baseline` |" in text and "+0.250 ± 0.050 over small | pays | +0.150 ± 0.050 |" in text


def test_tables_hold_what_a_command_measures(table, tmp_path, monkeypatch):
    monkeypatch.setattr(table, "RESULTS", tmp_path)
    (tmp_path / "ladder60").mkdir()
    named = ["small + bce, smoothed", "small, taught by first_place", "small without lr", "baseline", "small"]
    pd.DataFrame({"rung": named, "adds": "a", "over": "small", "recipe": "a", "source": "b"}).to_csv(
        tmp_path / "ladder60" / "ladder.csv"
    )
    rows = table.ladder_rows("ladder60")
    assert rows["rung"].tolist() == ["baseline", "small", "small without lr", "small + bce, smoothed"]
    asked = import_module("ladder").named("small + bce, smoothed,small,B3")
    assert asked == [table.OWN["small + bce, smoothed"], "small", table.OWN["B3"]]
    assert all(rung.get_recipe() for rung in table.OWN.values())


def test_figures_are_those_that_were_measured(table, tmp_path, monkeypatch):
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *(ROOT / "recipes").glob("*.py")]
    for page in pages:
        copy = tmp_path / page.relative_to(ROOT)
        copy.parent.mkdir(exist_ok=True)
        shutil.copy(page, copy)
    monkeypatch.setattr(table, "ROOT", tmp_path)
    table.main()
    for page in pages:
        assert (tmp_path / page.relative_to(ROOT)).read_text() == page.read_text(), "run python benchmarks/table.py"
