import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from birdfast.cli import app


def birdfast(*words, code=0):
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == code, result.output + repr(result.exception)
    return result


@pytest.fixture
def recipe_file(tiny_recipe, tmp_path):
    tiny_recipe.with_(epochs=1).save(tmp_path / "tiny.toml")
    return tmp_path / "tiny.toml"


@pytest.mark.parametrize("kind", ["waveform", "spectrogram"])
def test_cache_then_train(tiny_birds, recipe_file, tmp_path, kind):
    cache = tmp_path / "cache"
    result = birdfast("cache", tiny_birds, "--out", cache, "--recipe", recipe_file, "--kind", kind)
    assert "30 recordings are cached in" in result.stdout
    assert f"--cache {kind} --cache-dir {cache}" in result.stdout
    run = tmp_path / "run"
    result = birdfast("train", tiny_birds, "-r", recipe_file, "-o", run, "--cache", kind, "--cache-dir", cache)
    assert "all 30 recordings are cached" in result.stderr
    assert np.isfinite(pd.read_csv(run / "history.csv")["train_loss"]).all()


def test_mistakes_are_told(tiny_birds, tmp_path):
    assert "did you mean 'spectrogram'" in birdfast("cache", tiny_birds, "--kind", "spectogram", code=1).stderr
    folder = tiny_birds / "cache"
    assert "among the class folders" in birdfast("cache", tiny_birds, "--out", folder, code=1).stderr
    assert not folder.exists()


def test_another_rate_is_another_cache(tiny_birds, tmp_path):
    for rate in (8000, 16000):
        birdfast("cache", tiny_birds, "--out", tmp_path, "--set", f"sample_rate={rate}", "--set", "fmax=4000")
    assert len(list(tmp_path.iterdir())) == 2
