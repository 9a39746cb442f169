"""What is told before PyTorch loads, and that a verb is loaded when it is asked for."""

from __future__ import annotations

import json
import subprocess
import sys
import time

import pytest

from birdfast import notes
from birdfast.cli import Birdfast

MISTAKES = {
    "synth": ["{data} --year 2026", "{new} --year 1999"],
    "doctor": ["{new}", "{data} --recipe improvd"],
    "train": [
        "{new}",
        "{data} --recipe improvd",
        "{data} --set mixup_alfa=1",
        "{data} --lr fast",
        "{data} --out {new} --export bets",
        "{data} --cache wavform",
        "{data} --out {new} --resume",
        "{data} --set pseudo_mix=1 --pseudo {new}",
        "{data} --out {run}",
    ],
    "folds": ["{new}", "{data} --set mixup_alfa=1", "{data} --folds one", "{data} --cache wavform"],
    "pseudo": ["{new}", "{data} --recipe improvd", "{data} --soundscapes {new}", "{data} --pseudo-how mixed"],
    "cache": ["{new}", "{data} --kind wavform", "{data} --set mixup_alfa=1"],
    "evaluate": [
        "{new}.safetensors {data}",
        "{run} {new}",
        "{run} {run} {data} --blend means",
        "{run} {data} --smooth much",
        "{run} {data} --out {run}/recipe.toml/x",
    ],
    "ladder": [
        "{new} --out {new}",
        "{data} --out {new} --rungs smal",
        "{data} --out {new} --score aucc",
        "{data} --out {new} --set mixup_alfa=1",
    ],
    "predict": [
        "{new}.safetensors {data}",
        "{run} {new}",
        "{run} {data} --out {new} --as ravne",
        "{run} {data} --out {new} --engine spark",
        "{run} {data} --out {new} --last keep",
        "{run} {data} --out {new} --step 0",
        "{run} {data} --submission {new}",
        "{run} {data} --out {new} --lat 52",
        "{run} {data} --out {new} --lat 52 --lon 13 --week 60",
    ],
    "embed": ["{new} --out {new}2", "{data} --out {new} --with birdnat"],
    "export": [
        "{run} {new}.pt",
        "{new}.safetensors {new}.onnx",
        "{new}.pkl {new}.onnx",
        "{run} {new}.onnx --check {new}",
    ],
    "budget": ["{new}.safetensors", "{run} --limit 0", "{run} --on {new}"],
}
SCRIPT = """
import json, sys
from typer.testing import CliRunner
from birdfast.cli import app
for words in json.loads(sys.argv[1]):
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 1 and "birdfast: " in result.stderr or words[0] == "doctor", (words, result.output)
    assert not {"torch", "fastai", "timm"} & set(sys.modules), words
"""


def test_every_verb_has_its_mistakes():
    assert MISTAKES.keys() == set(Birdfast.verbs)


@pytest.mark.parametrize("verb", MISTAKES)
def test_mistakes_are_told_before_pytorch_loads(verb, trained, tiny_birds, tmp_path):
    places = {"new": tmp_path / "new", "data": tiny_birds, "run": trained}
    typed = [[verb, *words.format(**places).split()] for words in MISTAKES[verb]]
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, json.dumps(typed)], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr


def test_a_verb_loads_no_other():
    script = (
        "import sys; from birdfast.cli import app; import typer.main; typer.main.get_command(app).commands['cache']"
    )
    script += "; print(*(name for name in sys.modules if name.startswith('birdfast.commands.')))"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    verbs = {name.removeprefix("birdfast.commands.") for name in loaded} & set(Birdfast.verbs)
    assert verbs == {"cache"}


def test_long_loading_is_told_once_on_a_terminal(monkeypatch, capsys):
    def wait(seconds):
        with notes.loading():
            time.sleep(seconds)

    monkeypatch.setattr(notes, "LONG", 0.05)
    notes._say_loading.cache_clear()
    wait(0.2)
    assert capsys.readouterr().err == "", "nothing in pipes"
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    wait(0.0)
    time.sleep(0.2)
    assert capsys.readouterr().err == "", "nothing where it is quick"
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    wait(0.2)
    wait(0.2)
    assert capsys.readouterr().err == "birdfast: loading ...\n"
