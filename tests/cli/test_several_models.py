"""Several models at the shell: evaluated, predicted with, exported and measured as one."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from birdfast.scoring.bundle import load_bundle, save_bundle


@pytest.fixture(scope="module")
def second(trained, tmp_path_factory):
    """Another model of the same classes, whose scores differ."""
    bundle = load_bundle(trained / "birds.safetensors")
    bundle.model.head[-1].bias.data += bundle.model.head[-1].bias.new_tensor([2.0, 0.0, -1.0])
    return save_bundle(bundle, tmp_path_factory.mktemp("second") / "second.safetensors")


def scores(birdfast, folder, *words) -> pd.DataFrame:
    birdfast("predict", *words, "--out", folder / "scores.csv")
    return pd.read_csv(folder / "scores.csv", index_col=[0, 1, 2])


def test_they_are_one_model(birdfast, trained, second, tiny_birds, tmp_path):
    sounds = tiny_birds / "species0"
    a, b = (scores(birdfast, tmp_path, model, sounds) for model in (trained, second))
    assert np.abs(a - b).to_numpy().max() > 0.05
    weighted = scores(birdfast, tmp_path, trained, second, sounds, "--weights", "3,1")
    pd.testing.assert_frame_equal(weighted, 0.75 * a + 0.25 * b, atol=1e-5, rtol=0)
    ranked = scores(birdfast, tmp_path, trained, second, sounds, "--blend", "rank")
    pd.testing.assert_frame_equal(ranked, (a.rank(pct=True) + b.rank(pct=True)) / 2, atol=1e-5, rtol=0)
    both = tmp_path / "both.safetensors"
    birdfast("export", trained, second, both, "--weights", "3,1")
    pd.testing.assert_frame_equal(scores(birdfast, tmp_path, both, sounds), weighted, atol=1e-5, rtol=0)
    judged = [
        birdfast("evaluate", *words, tiny_birds).stdout for words in ([trained, second, "--weights", "3,1"], [both])
    ]
    assert judged[0] == judged[1] and "macro ROC-AUC" in judged[0]
    assert judged[0] != birdfast("evaluate", trained, tiny_birds).stdout


def test_what_cannot_be_meant(birdfast, trained, second, tiny_birds, tmp_path):
    folder = birdfast("predict", trained, second, tiny_birds, "--out", tmp_path / "out", "--blend", "rank", code=1)
    assert "ranks compare the windows of all recordings" in folder.stderr
    assert "are for several models" in birdfast("evaluate", trained, tiny_birds, "--weights", "1,2", code=1).stderr
    wrong = birdfast("evaluate", trained, second, tiny_birds, "--weights", "much", code=1)
    assert "--weights takes a number for each model" in wrong.stderr
    assert "holds one learner" in birdfast("export", trained, second, tmp_path / "both.pkl", code=1).stderr
    assert "only" in birdfast("evaluate", trained, code=1).stderr
    assert "is named: give the folder of a run" in birdfast("export", trained, code=1).stderr
