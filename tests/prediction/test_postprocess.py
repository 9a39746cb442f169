"""The switches of predict: what each does to scores, recording by recording, and what a ranking notices of it."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from test_predictor import CLASSES, make_bundle, write

from birdfast.audio import windows
from birdfast.audio.read import AudioError
from birdfast.errors import BirdfastError
from birdfast.evaluation.metrics import class_auc
from birdfast.prediction.outputs.events import average_overlaps
from birdfast.prediction.postprocess import (
    KERNEL,
    PostProcess,
    average_places,
    read_groups,
    scale_by_file,
    shifted_starts,
    smooth_neighbours,
)
from birdfast.prediction.predictor import Predictor
from birdfast.prediction.run import predict_into
from birdfast.scoring.bundle import save_bundle

EVERYTHING = PostProcess(shift=1.0, smooth=KERNEL, file_top=2)


@pytest.fixture(scope="module")
def bundle(tiny_recipe):
    return make_bundle(tiny_recipe.with_(duration=2.0))


@pytest.fixture(scope="module")
def predictor(bundle):
    return Predictor(bundle, batch_size=4, workers=2, device="cpu")


@pytest.fixture
def folder(tmp_path):
    for i, seconds in enumerate((13, 7.3, 1.2)):
        write(tmp_path / "sounds" / f"{i}.wav", seconds, i)
    return tmp_path / "sounds"


@pytest.fixture
def scores() -> pd.DataFrame:
    """Three recordings of 4, 6 and 2 windows, two classes."""
    lengths = {"a": 4, "b": 6, "c": 2}
    rows = [(name, 5.0 * k, 5.0 * k + 5) for name, n in lengths.items() for k in range(n)]
    index = pd.MultiIndex.from_tuples(rows, names=["path", "start_time", "end_time"])
    values = np.random.default_rng(3).random((12, 2)).astype(np.float32)
    return pd.DataFrame(values, index=index, columns=["ash", "bee"])


def test_neighbours_are_weighted_and_the_ends_have_fewer():
    scores = np.array([[1.0], [0], [0], [0], [0], [1]], np.float32)
    smoothed = smooth_neighbours(scores, KERNEL)[:, 0]
    expected = [0.4 / 0.7, 0.2 / 0.9, 0.1, 0.1, 0.2 / 0.9, 0.4 / 0.7]
    np.testing.assert_allclose(smoothed, expected, rtol=1e-6)
    np.testing.assert_allclose(smooth_neighbours(np.full((3, 2), 0.3, np.float32), KERNEL), 0.3, rtol=1e-6)
    np.testing.assert_array_equal(smooth_neighbours(scores[:1], KERNEL), scores[:1])
    np.testing.assert_array_equal(smooth_neighbours(scores, (1.0,)), scores)
    early = smooth_neighbours(scores, (1.0, 1.0, 0.0))[:, 0]
    assert early.tolist() == [1, 0.5, 0, 0, 0, 0.5], "the first weight is of the window before"


def test_scaling_multiplies_by_the_best_windows():
    scores = np.array([[0.1, 0.8], [0.5, 0.2], [0.3, 0.6]], np.float32)
    np.testing.assert_allclose(scale_by_file(scores, 1), scores * [0.5, 0.8], rtol=1e-6)
    np.testing.assert_allclose(scale_by_file(scores, 2), scores * [0.4, 0.7], rtol=1e-6)
    np.testing.assert_allclose(scale_by_file(scores, 9), scores * scores.mean(axis=0), rtol=1e-6)


def test_shifted_windows_stay_in_the_recording_and_are_scored_once():
    starts, places = shifted_starts(np.array([0.0, 5, 10]), duration=13.0, window=5.0, shift=2.5)
    assert starts.tolist() == [0, 2.5, 5, 7.5, 10]
    assert places.tolist() == [[0, -1, 1], [2, 1, 3], [4, 3, -1]], "12.5 to 17.5 s leaves it, 10 to 15 is its own"
    values = np.arange(5, dtype=np.float32)[:, None]
    np.testing.assert_allclose(average_places(values, places)[:, 0], [0.5, 2, 3.5])
    short, alone = shifted_starts(np.array([0.0]), duration=3.0, window=5.0, shift=2.5)
    assert short.tolist() == [0] and alone.tolist() == [[0, -1, -1]]


def test_a_table_is_treated_recording_by_recording(scores):
    post = PostProcess(smooth=KERNEL, file_top=1)
    shuffled = scores.sample(frac=1, random_state=1)
    together = post.on_table(shuffled).loc[scores.index]
    for name, own in scores.groupby(level="path"):
        alone = scale_by_file(smooth_neighbours(own.to_numpy(), KERNEL), 1)
        np.testing.assert_allclose(together.loc[[name]], alone, rtol=1e-6)
        assert (np.abs(alone - own.to_numpy()) > 0.01).any()
    pd.testing.assert_frame_equal(PostProcess().on_table(scores), scores)


def test_groups_have_weights_of_their_own(scores):
    third = (1 / 3, 1 / 3, 1 / 3)
    post = PostProcess(
        smooth=(0.2, 0.6, 0.2), groups={"ash": "Amphibia", "bee": "Aves"}, group_smooth={"Amphibia": third}
    )
    smoothed, first = post.on_table(scores).loc["a"], scores.loc["a"].to_numpy()
    np.testing.assert_allclose(smoothed["ash"], smooth_neighbours(first[:, :1], third)[:, 0], rtol=1e-6)
    np.testing.assert_allclose(smoothed["bee"], smooth_neighbours(first[:, 1:], (0.2, 0.6, 0.2))[:, 0], rtol=1e-6)
    only = PostProcess(groups={"ash": "Amphibia", "bee": "Aves"}, group_smooth={"Amphibia": third})
    assert (only.on_table(scores)["bee"] == scores["bee"]).all()


def test_what_a_ranking_notices(scores):
    """A column times one number changes no AUC: scaling of one recording does that, of several it does not."""
    truth = np.random.default_rng(4).random((12, 2)) < 0.5
    values = scores.to_numpy()
    before = class_auc(truth, values)
    np.testing.assert_array_equal(class_auc(truth, values * np.float32([0.3, 0.7])), before)
    np.testing.assert_array_equal(class_auc(truth, scale_by_file(values, 2)), before)
    for post in (PostProcess(file_top=1), PostProcess(file_top=2), PostProcess(smooth=KERNEL)):
        assert (class_auc(truth, post.on_table(scores).to_numpy()) != before).any(), post
    one = scores.loc[["b"]]
    auc = class_auc(truth[4:10], one.to_numpy())
    np.testing.assert_array_equal(class_auc(truth[4:10], PostProcess(file_top=1).on_table(one).to_numpy()), auc)
    lone, first = np.array([[0.5], [0], [0], [0.4], [0.45], [0.4]], np.float32), np.eye(6)[:, :1]
    assert class_auc(first, lone) == 1
    assert class_auc(first, smooth_neighbours(lone, KERNEL)) < 1, "smoothing moves windows of one recording"


def test_predict_shifts_then_smooths_then_scales(predictor, folder):
    plain = predictor.predict(folder, progress=False)
    halves = predictor.predict(folder, step=1.0, last="drop", progress=False)
    path, table = str(folder / "0.wav"), predictor.predict(folder, post=EVERYTHING, progress=False)
    pd.testing.assert_index_equal(table.index, plain.index)
    own, between = (
        plain.loc[path].to_numpy(),
        halves.loc[path].to_numpy(),
    )  # windows of 2 s from 0, 2, ...; 0, 1, 2, ...
    means = [(own[0] + between[1]) / 2] + [between[2 * k - 1 : 2 * k + 2].mean(axis=0) for k in range(1, 5)]
    means += [(own[5] + between[9] + between[11]) / 3, (own[6] + between[11]) / 2]
    shifted = predictor.predict(folder, post=PostProcess(shift=1.0), progress=False)
    np.testing.assert_allclose(shifted.loc[path], means, atol=1e-5)
    expected = scale_by_file(smooth_neighbours(np.array(means, np.float32), KERNEL), 2)
    np.testing.assert_allclose(table.loc[path], expected, atol=1e-5)
    assert np.abs(shifted - plain).to_numpy().max() > 0.01
    averaged = predictor.predict(folder, step=1.0, average=True, progress=False)
    pd.testing.assert_frame_equal(averaged, average_overlaps(predictor.predict(folder, step=1.0, progress=False), 1.0))


def test_a_job_gives_the_same_and_another_switch_scores_anew(bundle, predictor, folder, tmp_path):
    model, out = save_bundle(bundle, tmp_path / "birds.safetensors"), tmp_path / "out"

    def job(**how):
        result = predict_into(out, model, folder, batch_size=4, workers=2, progress=False, **how)
        return pd.concat(result.tables()), {file.name for file in (out / "scores").iterdir()}

    table, files = job(post=EVERYTHING)
    expected = predictor.predict(folder, post=EVERYTHING, progress=False)
    pd.testing.assert_frame_equal(table, expected, atol=1e-5, rtol=0)
    assert job(post=EVERYTHING)[1] == files
    for other in (PostProcess(shift=1.0, smooth=KERNEL), PostProcess(file_top=1), PostProcess()):
        table, new = job(post=other)
        assert not new & files, "the scores of other switches are stale"
        pd.testing.assert_frame_equal(table, predictor.predict(folder, post=other, progress=False), atol=1e-5, rtol=0)
        files = new
    assert job()[1] == files, "no switch and none named are the same"


def test_a_recording_that_breaks_off_leaves_the_others_as_they_are(predictor, folder, monkeypatch):
    def fragile(path, *, start_time, **how):
        if str(path).endswith("0.wav") and start_time >= 6:
            raise AudioError(path, "breaks off")
        return whole(path, start_time=start_time, **how)

    good, whole = predictor.predict(folder, post=EVERYTHING, progress=False), windows.read_clip
    monkeypatch.setattr(windows, "CHUNK", 2.0)
    monkeypatch.setattr(windows, "read_clip", fragile)
    table = predictor.predict(folder, post=EVERYTHING, progress=False)
    pd.testing.assert_frame_equal(table, good.drop(str(folder / "0.wav"), level="path"), atol=1e-5, rtol=0)


def test_a_submission_is_post_processed(tiny_recipe, tmp_path):
    predictor = Predictor(make_bundle(tiny_recipe.with_(duration=5.0)), device="cpu")
    for k in range(2):
        write(tmp_path / "test" / f"soundscape_{k}.ogg", 20, k)
    ids = [f"soundscape_{k}_{end}" for k in (1, 0) for end in (20, 5, 10, 15)]
    pd.DataFrame({"row_id": ids, **dict.fromkeys(CLASSES, 0.1)}).to_csv(tmp_path / "sample.csv", index=False)
    post = PostProcess(shift=2.5, smooth=KERNEL, file_top=1)
    table = predictor.submission(
        tmp_path / "test", tmp_path / "sample.csv", tmp_path / "out.csv", post=post, progress=False
    ).set_index("row_id")
    scores = predictor.predict(tmp_path / "test", post=post, progress=False)
    for k in range(2):
        rows = [f"soundscape_{k}_{end}" for end in (5, 10, 15, 20)]
        np.testing.assert_allclose(
            table.loc[rows], scores.loc[str(tmp_path / "test" / f"soundscape_{k}.ogg")], atol=1e-5
        )
    plain = predictor.predict(tmp_path / "test", progress=False)
    assert np.abs(scores - plain).to_numpy().max() > 0.05


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"shift": -1.0}, "shift is a time"),
        ({"shift": float("nan")}, "shift is a time"),
        ({"file_top": -1}, "file_top is a number of windows"),
        ({"smooth": (0.5, 0.5)}, "odd number"),
        ({"smooth": (0.5, 0.0, 0.5)}, "the middle one above 0"),
        ({"smooth": (-0.5, 1.0, 0.5)}, "from 0 up"),
        ({"groups": {"ash": "Aves"}, "group_smooth": {"Avess": (1.0,)}}, "unknown group to smooth 'Avess'.*'Aves'"),
    ],
)
def test_what_cannot_be_meant_is_refused(wrong, message):
    with pytest.raises(BirdfastError, match=message):
        PostProcess(**wrong)


def test_shifts_need_the_model(scores):
    with pytest.raises(BirdfastError, match="have to be scored"):
        PostProcess(shift=2.5).on_table(scores)


def test_groups_are_read_from_a_taxonomy(tmp_path):
    csv = tmp_path / "taxonomy.csv"
    csv.write_text("primary_label,class_name\n1491113,Amphibia\namecro,Aves\n")
    assert read_groups(csv) == {"1491113": "Amphibia", "amecro": "Aves"}
    csv.write_text("SPECIES_CODE\namecro\n")
    with pytest.raises(BirdfastError, match="columns primary_label and class_name"):
        read_groups(csv)
    with pytest.raises(BirdfastError, match="no taxonomy at"):
        read_groups(tmp_path / "none.csv")


def test_no_torch():
    script = "import birdfast.prediction.postprocess, sys; assert 'torch' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
