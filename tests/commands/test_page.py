"""The page of a report: whole, safe, and with sound where there is some."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import soundfile

from birdfast.commands.evaluating.evaluation import Evaluation
from birdfast.evaluation.calibration import fit_calibration

EVIL = "<script>alert(1)</script>"
CLASSES = ["ash", "bee", EVIL]


@pytest.fixture
def result(tmp_path, tiny_recipe):
    """Twelve windows of two soundscapes, one of which is gone."""
    rng = np.random.default_rng(0)
    path = tmp_path / f"{EVIL.replace('/', '')}.wav"
    soundfile.write(path, rng.normal(0, 0.1, 6 * 8000), 8000)
    paths = [str(path)] * 6 + [str(tmp_path / "gone.wav")] * 6
    rows = pd.DataFrame({"path": paths, "start_time": [*range(6)] * 2, "end_time": [*range(1, 7)] * 2})
    truth, scores = (rng.random((12, 3)) < 0.4).astype(float), rng.random((12, 3))
    calibration = fit_calibration(truth, scores, CLASSES)
    return Evaluation(
        "x",
        truth,
        scores,
        CLASSES,
        calibration=calibration,
        rows=rows.astype({"start_time": float}),
        recipe=tiny_recipe,
    )


def test_the_page_holds_all_and_runs_nothing(result, tmp_path):
    folder = result.write(tmp_path / "report")
    page = (folder / "index.html").read_text()
    assert "<script" not in page and "http" not in page
    assert "padded cmAP lies near 1 by chance where positives are few: read it beside macro ROC-AUC." in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert len(re.findall(r'src="data:image/jpeg', page)) == len(re.findall(r'src="data:audio/mpeg', page)) >= 2
    assert "minute" in page and "f1 at threshold" in page
    assert pd.read_csv(folder / "levels.csv")["level"].tolist() == ["window", "minute", "recording"]
    table = pd.read_csv(folder / "per_class.csv", index_col="class")
    assert table["threshold"].tolist() == pytest.approx(result.calibration.threshold("f1", CLASSES))
    assert (table["f1_at_threshold"] >= table["f1"].fillna(0) - 1e-9).all(), "fitted on these very rows"


def test_without_rows_there_are_no_levels_and_no_sound(result, tmp_path):
    bare = Evaluation("x", result.targets, result.probabilities, CLASSES)
    folder = bare.write(tmp_path / "report")
    page = (folder / "index.html").read_text()
    assert "data:audio" not in page and "bootstrap" not in page and not (folder / "levels.csv").exists()


def test_a_page_shows_nothing_of_an_earlier_one(result, tmp_path):
    folder = replace(result, train_counts={"ash": 3, "bee": 1}).write(tmp_path / "report")
    assert (folder / "per_class.png").exists()
    Evaluation("x", result.targets, result.probabilities, CLASSES).write(folder)
    assert "by the number of training recordings" not in (folder / "index.html").read_text()
    assert not (folder / "per_class.png").exists() and not (folder / "levels.csv").exists()


def test_players_are_mp3_where_mp3_knows_the_rate():
    from birdfast.commands.evaluating.page import _player

    sound = np.sin(np.arange(9000) / 10).astype(np.float32)
    assert _player(sound, 32_000)[1] == "mpeg" and _player(sound, 96_000)[1] == "wav"
    assert _player(np.zeros(8000, np.float32), 8000)[0]
