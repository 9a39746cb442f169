"""Post-processing as it is typed."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from birdfast.commands.evaluating.evaluate import evaluate
from birdfast.commands.shared.post import read_post
from birdfast.errors import BirdfastError
from birdfast.prediction.postprocess import KERNEL, PostProcess
from birdfast.prediction.predictor import Predictor


def test_words_become_switches(tmp_path):
    csv = tmp_path / "taxonomy.csv"
    csv.write_text("primary_label,class_name\na,Amphibia\nb,Aves\n")
    assert read_post() == PostProcess() and not read_post()
    assert read_post(2.5, "default", file_top=3) == PostProcess(shift=2.5, smooth=KERNEL, file_top=3)
    post = read_post(smooth="0.2, 0.6, 0.2", smooth_group=["Amphibia=1,1,1"], taxonomy=csv)
    assert post.kernel_of("a") == (1, 1, 1) and post.kernel_of("b") == post.kernel_of("?") == (0.2, 0.6, 0.2)
    with pytest.raises(BirdfastError, match=r"--smooth takes weights with commas, as 0.1,0.2,0.4,0.2,0.1"):
        read_post(smooth="much")
    with pytest.raises(BirdfastError, match="--smooth-group and --taxonomy go together"):
        read_post(smooth_group=["Aves=1"])
    with pytest.raises(BirdfastError, match="unknown group to smooth 'aves': did you mean 'Aves'"):
        read_post(smooth_group=["aves=1"], taxonomy=csv)


def test_predict_and_evaluate_take_them(birdfast, trained, tiny_birds, tmp_path):
    sounds, switches = tiny_birds / "species0", ("--shift", 0.5, "--smooth", "default", "--file-top", 1)
    birdfast("predict", trained, sounds, "--out", tmp_path / "scores.csv", *switches)
    table = pd.read_csv(tmp_path / "scores.csv", index_col=[0, 1, 2])
    predictor = Predictor(trained / "birds.safetensors")
    post = PostProcess(shift=0.5, smooth=KERNEL, file_top=1)
    np.testing.assert_allclose(table, predictor.predict(sounds, post=post, progress=False), atol=1e-5)
    plain, switched = evaluate(trained, tiny_birds), evaluate(trained, tiny_birds, post=post)
    assert np.abs(plain.probabilities - switched.probabilities).max() > 1e-3
    assert "scored all 30 recordings" in birdfast("evaluate", trained, tiny_birds, *switches).stdout
    refused = birdfast("evaluate", tmp_path / "scores.csv", tiny_birds, *switches, code=1)
    assert "post-process and blend where they are made" in refused.stderr
