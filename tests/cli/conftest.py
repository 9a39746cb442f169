"""The command line in this process, and the folder of a run of one epoch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from birdfast.cli import app


@pytest.fixture(scope="session")
def birdfast() -> Callable[..., Result]:
    """A function that runs a command and expects an exit status. Never a traceback."""

    def run(*words: object, code: int = 0) -> Result:
        result = CliRunner().invoke(app, [str(word) for word in words])
        assert result.exit_code == code, result.output + repr(result.exception)
        assert "Traceback" not in result.output
        return result

    return run


@pytest.fixture(scope="session")
def recipe_file(tiny_recipe, tmp_path_factory) -> Path:
    """A recipe that trains one epoch in about a second."""
    file = tmp_path_factory.mktemp("recipe") / "tiny.toml"
    tiny_recipe.with_(epochs=1).save(file)
    return file


@pytest.fixture(scope="session")
def trained(birdfast, tiny_birds, recipe_file, tmp_path_factory) -> Path:
    """The folder of a run of one epoch."""
    run = tmp_path_factory.mktemp("trained") / "run"
    result = birdfast("train", tiny_birds, "--recipe", recipe_file, "--out", run, "--workers", 0)
    assert "macro ROC-AUC  " in result.stdout
    assert "read it beside macro ROC-AUC)" in result.stdout
    assert str(run) in result.stdout
    assert "whether the split leaks cannot be told" in result.stderr
    assert "recordists unknown" in result.stderr and "0 recordists" not in result.stderr
    return run
