"""`birdfast predict`: what is typed, and what comes of it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import soundfile
from typer.testing import CliRunner

from birdfast.cli import app
from birdfast.commands.predict import PredictOptions, predict, split_words
from birdfast.commands.view import ViewOptions, make_view
from birdfast.errors import BirdfastError
from birdfast.evaluation.calibration import fit_calibration
from birdfast.models import create_model
from birdfast.prediction.predictor import Predictor
from birdfast.scoring.bundle import Bundle, save_bundle
from birdfast.spectrogram.logmel import LogMel
from tests.conftest import SAMPLE_RATE, chirp

CLASSES = ["ash", "bee", "cow"]


@pytest.fixture(scope="module")
def calibration():
    rng = np.random.default_rng(0)
    scores = rng.random((200, 3)).astype(np.float32)
    return fit_calibration(rng.random((200, 3)) < scores**2, scores, CLASSES)


@pytest.fixture(scope="module")
def model(tiny_recipe, calibration, tmp_path_factory):
    net = create_model(tiny_recipe, 3, weights="random").eval()
    bundle = Bundle(net, LogMel.from_recipe(tiny_recipe), CLASSES, tiny_recipe)
    bundle.extra["calibration"] = calibration.to_dict()
    return save_bundle(bundle, tmp_path_factory.mktemp("predict") / "birds.safetensors")


def test_models_come_first_and_are_told_by_suffix_or_as_runs(tmp_path):
    run, sounds = tmp_path / "run", tmp_path / "sounds"
    for folder in (run, sounds):
        folder.mkdir()
    (run / "recipe.toml").write_text("")
    assert split_words(["a.safetensors", "sounds"]) == (["a.safetensors"], ["sounds"])
    words = ["a.onnx", str(run), "b.xml", str(sounds), "x.wav", "s3://b/run"]
    assert split_words(words) == (words[:3], words[3:])
    assert split_words(["nowhere", "sounds"]) == (["nowhere"], ["sounds"]), "the first is the model, whatever it is"
    with pytest.raises(BirdfastError, match=r"no recordings are named, only models \(a.onnx, b.onnx\)"):
        split_words(["a.onnx", "b.onnx"])
    with pytest.raises(BirdfastError, match="b.onnx is a model and stands among the recordings"):
        split_words(["a.onnx", "sounds", "b.onnx"])


def test_thresholds_as_typed(model, calibration, tmp_path):
    def typed(**options):
        return make_view(ViewOptions(**options), [model], None)[0].thresholds.tolist()

    assert typed() == [0.5] * 3 and typed(top_k=1) == [0.0] * 3 and typed(threshold="0.2", top_k=1) == [0.2] * 3
    assert typed(threshold="f1") == calibration.threshold("f1", CLASSES).tolist()
    promised = calibration.threshold("precision", CLASSES[:1]).tolist()
    assert typed(threshold="precision", calibrate=True, keep="ash") == promised
    for given, raw in (("precision", True), ("0.3", False)):
        assert make_view(ViewOptions(threshold=given, calibrate=True), [model], None)[0].decide_raw == raw
    pd.DataFrame({"class": CLASSES[::-1], "threshold": [0.1, 0.2, 0.3]}).to_csv(tmp_path / "t.csv", index=False)
    assert typed(threshold=str(tmp_path / "t.csv"), drop="bee") == [0.3, 0.1]
    (tmp_path / "wrong.csv").write_text("a,b\n")
    for wrong in ("1.5", "often", "nan", str(tmp_path / "none.csv")):
        with pytest.raises(BirdfastError, match="--threshold takes a number between 0 and 1, f1 or precision"):
            typed(threshold=wrong)
    with pytest.raises(BirdfastError, match="no csv with the columns class and threshold"):
        typed(threshold=str(tmp_path / "wrong.csv"))


def test_other_options_of_the_view(model, calibration, tiny_recipe):
    view, recipe = make_view(ViewOptions(calibrate=True, average=True, merge=False), [model], 0.25)
    assert (view.average, view.gap, recipe) == (0.25, None, tiny_recipe)
    some = np.full((2, 3), 0.3, np.float32)
    np.testing.assert_array_equal(view.calibrate(some, CLASSES), calibration.apply(some, CLASSES))
    assert make_view(ViewOptions(gap=2.0, average=True), [model], None)[0].gap == 2.0
    with pytest.raises(BirdfastError, match="does not suit the mean of several"):
        make_view(ViewOptions(threshold="f1"), [model, model], None)


def test_a_model_without_calibration(tiny_recipe, tmp_path):
    net = create_model(tiny_recipe, 3, weights="random").eval()
    bare = save_bundle(Bundle(net, LogMel.from_recipe(tiny_recipe), CLASSES, tiny_recipe), tmp_path / "b.safetensors")
    with pytest.raises(BirdfastError, match="carries no calibration, which birdfast train alone stores"):
        make_view(ViewOptions(calibrate=True), [bare], None)


def test_a_submission_of_true_and_false_takes_a_threshold_and_has_its_name(model, tmp_path, monkeypatch):
    (tmp_path / "sounds").mkdir()
    soundfile.write(tmp_path / "sounds" / "soundscape_1.wav", chirp(0, 15.0, 1), SAMPLE_RATE)
    ids = [f"soundscape_1_{name}_{end}" for name in CLASSES for end in (5, 10, 15)]
    pd.DataFrame({"row_id": ids, "target": False}).to_csv(tmp_path / "sample.csv", index=False)
    monkeypatch.chdir(tmp_path)
    for threshold, wanted in (("0", True), ("1", False)):
        words = ["predict", str(model), "sounds", "--submission", "sample.csv", "--threshold", threshold]
        result = CliRunner().invoke(app, words)
        assert result.exit_code == 0, result.output
        assert pd.read_csv("submission.csv")["target"].tolist() == [wanted] * 9
    assert not (tmp_path / "predictions.csv").exists()


def test_where_to_write_is_tried_before_anything_is_scored(model, tmp_path, monkeypatch):
    (tmp_path / "d.csv").mkdir()
    (tmp_path / "a.wav").touch()
    pd.DataFrame({"row_id": ["a_5"], **dict.fromkeys(CLASSES, 0.1)}).to_csv(tmp_path / "sample.csv", index=False)
    monkeypatch.setattr(Predictor, "score_all", lambda *_, **__: pytest.fail("scored first"))
    monkeypatch.setattr("birdfast.prediction.run.score_into", lambda *_, **__: pytest.fail("scored first"))
    ranks = PredictOptions(blend="rank")
    for models, options in (
        ([model], {}),
        ([model, model], {"how": ranks}),
        ([model], {"submission": tmp_path / "sample.csv"}),
    ):
        with pytest.raises(BirdfastError, match=r"d.csv is a folder: give the name of a file"):
            predict(models, [tmp_path], tmp_path / "d.csv", **options)


def test_a_submission_of_overlapping_windows(model, tmp_path, monkeypatch):
    (tmp_path / "sounds").mkdir()
    soundfile.write(tmp_path / "sounds" / "soundscape_1.wav", chirp(0, 15.0, 1), SAMPLE_RATE)
    ids = [f"soundscape_1_{end}" for end in (5, 10, 15)]
    pd.DataFrame({"row_id": ids, **dict.fromkeys(CLASSES, 0.1)}).to_csv(tmp_path / "sample.csv", index=False)
    monkeypatch.chdir(tmp_path)
    words = ["predict", str(model), "sounds", "--submission", "sample.csv", "--step", "1"]
    wrong = CliRunner().invoke(app, words)
    assert wrong.exit_code == 1 and "leave out --step (unless with --average)" in " ".join(wrong.stderr.split())
    result = CliRunner().invoke(app, [*words, "--average"])
    assert result.exit_code == 0, result.output
    written = pd.read_csv("submission.csv")
    how = {"step": 1.0, "average": True, "progress": False}
    expected = Predictor(model).submission("sounds", "sample.csv", "again.csv", **how)
    np.testing.assert_allclose(written[CLASSES], expected[CLASSES], atol=1e-5)
    plain = Predictor(model).submission("sounds", "sample.csv", "plain.csv", progress=False)
    assert np.abs(expected[CLASSES] - plain[CLASSES]).to_numpy().max() > 1e-6
