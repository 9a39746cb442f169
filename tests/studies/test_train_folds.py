"""Folds in one call: each recording is scored by the model that has not heard it, and nothing is trained twice."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from birdfast.errors import BirdfastError
from birdfast.evaluation.metrics import roc_auc
from birdfast.recipe.recipe import Recipe
from birdfast.sources.read import read_source
from birdfast.sources.source import Source
from birdfast.splits.run_files import run_sides
from birdfast.studies import folds as module
from birdfast.studies.folds import Folds, train_folds
from birdfast.training import dataloaders


@pytest.fixture(scope="module")
def recipe(tiny_recipe):
    return tiny_recipe.with_(epochs=1, n_folds=3, mixup_alpha=0.0)


@pytest.fixture(scope="module")
def trained(tiny_birds, recipe, tmp_path_factory):
    out = tmp_path_factory.mktemp("folds") / "study"
    return train_folds(tiny_birds, recipe, out, device="cpu")


def test_every_recording_is_scored_by_the_fold_that_has_not_heard_it(trained, tiny_birds):
    table = pd.read_parquet(trained.out / "predictions.parquet")
    assert list(table.columns) == ["path", "start_time", "end_time", "recording", "fold", *trained.classes]
    assert set(table["path"]) == set(read_source(tiny_birds).recordings["path"])
    assert table.groupby("path")["fold"].nunique().eq(1).all()
    for fold in trained.folds:
        heard = pd.read_csv(trained.out / f"fold{fold}" / "history.csv")
        assert len(heard) == 1
    mine = table[table["fold"] == 1].iloc[:2]
    again = module.Ensemble([trained.bundles[1]]).predict(mine["path"].iloc[0], last="drop", progress=False)
    np.testing.assert_allclose(mine[trained.classes], again.iloc[:2], atol=1e-4)
    other = module.Ensemble([trained.bundles[0]]).predict(mine["path"].iloc[0], last="drop", progress=False)
    assert np.abs(again.to_numpy() - other.to_numpy()).max() > 1e-3


def test_the_score_is_that_of_all_rows_together(trained):
    targets, probabilities = trained.arrays()
    assert probabilities.shape == (30, 3)
    assert np.bincount(targets).tolist() == [10, 10, 10]
    assert trained.truth["target"].tolist() == [path.split("/")[-2] for path in trained.truth["path"]]
    scores = json.loads((trained.out / "scores.json").read_text())
    assert scores["all"]["roc_auc"] == pytest.approx(roc_auc(targets, probabilities))
    assert set(scores["roc_auc"]) == {"fold0", "fold1", "fold2"}


def test_the_folds_are_one_predictor(trained, tiny_birds):
    file = next(tiny_birds.rglob("*.wav"))
    table = trained.ensemble().predict(file, progress=False)
    alone = [module.Ensemble([bundle]).predict(file, progress=False) for bundle in trained.bundles]
    np.testing.assert_allclose(table, np.mean([a.to_numpy() for a in alone], axis=0), atol=1e-5)


def test_evaluate_knows_what_each_fold_has_heard(trained, tiny_birds):
    from birdfast.commands.evaluating.evaluate import evaluate

    assert evaluate(trained.bundles[1], tiny_birds, fold=1).what.endswith(", which the model held out")
    for model in (trained.bundles[0], trained.bundles, trained.ensemble()):
        what = evaluate(model, tiny_birds, fold=1).what
        assert what.endswith(", on all of which the model was trained: the figures are too good")


def test_a_finished_fold_is_not_trained_again_and_a_missing_one_is(trained, tiny_birds, recipe, monkeypatch):
    calls = []
    real = module._train
    monkeypatch.setattr(module, "_train", lambda *args: (calls.append(args[1].fold), real(*args)))
    train_folds(tiny_birds, recipe, trained.out, device="cpu")
    assert calls == []
    (trained.out / "fold1" / "predictions.parquet").unlink()
    again = train_folds(tiny_birds, recipe, trained.out, [1], device="cpu")
    assert calls == [1]
    assert again.folds == [0, 1, 2]
    for name, expected in (("predictions", trained.predictions), ("truth", trained.truth)):
        pd.testing.assert_frame_equal(getattr(again, name), expected)
        pd.testing.assert_frame_equal(pd.read_parquet(trained.out / f"{name}.parquet"), expected)
    assert json.loads((trained.out / "scores.json").read_text())["roc_auc"].keys() == {"fold0", "fold1", "fold2"}


def test_a_file_that_breaks_moves_no_other_to_another_side(tiny_birds, recipe, tmp_path, monkeypatch):
    birds, seen, bird_dls = shutil.copytree(tiny_birds, tmp_path / "birds"), [], dataloaders.bird_dls

    def stop_once(*args, **kwargs):
        seen.append(bird_dls(*args, **kwargs))
        if len(seen) == 1:
            raise KeyboardInterrupt  # before the first epoch ends
        return seen[-1]

    monkeypatch.setattr(dataloaders, "bird_dls", stop_once)
    with pytest.raises(KeyboardInterrupt):
        train_folds(birds, recipe, tmp_path / "study", device="cpu")
    train, valid = (set(dl.items["path"]) for dl in (seen[0].train, seen[0].valid))
    broken = min(train)
    Path(broken).write_bytes(b"")
    study = train_folds(birds, recipe, tmp_path / "study", device="cpu")
    assert set(seen[1].valid.items["path"]) == valid and set(seen[1].train.items["path"]) == train - {broken}
    sides = run_sides(study.out / "fold0", birds)
    assert {path for path, validates in sides.items() if not validates} == train - {broken}
    tested = study.recordings["path"]
    assert tested.is_unique and set(tested) == (train | valid) - {broken}


def test_a_study_goes_on_once_its_files_are_mended(tiny_birds, recipe, tmp_path, monkeypatch):
    birds, out = shutil.copytree(tiny_birds, tmp_path / "birds"), tmp_path / "study"
    files = sorted(birds.rglob("*.wav"))[:3]
    sounds = [file.read_bytes() for file in files]
    monkeypatch.setattr(module, "_train", lambda *args: None)
    monkeypatch.setattr(module, "_finish", lambda folds: folds)
    train_folds(birds, recipe, out, 0)  # dealt out
    monkeypatch.undo()
    for study in (out, tmp_path / "another"):  # one that breaks later, and one that is broken from the first
        for file in files:
            file.write_bytes(b"")
        with pytest.raises(BirdfastError, match="3 of 30 recordings cannot be read"):
            train_folds(birds, recipe, study, 0, device="cpu")
        for file, sound in zip(files, sounds, strict=True):
            file.write_bytes(sound)
        assert train_folds(birds, recipe, study, 0, device="cpu").folds == [0]


def test_soundscapes_of_one_site_are_refused_before_the_folder_is_taken(tiny_table, recipe, tmp_path):
    windows = [(f"H02_20230420_07400{i}.ogg", 0.0, 5.0, ("species0",)) for i in range(2)]
    soundscapes = pd.DataFrame(windows, columns=["path", "start_time", "end_time", "labels"])
    source = Source(**{**vars(read_source(tiny_table)), "soundscapes": soundscapes})
    with pytest.raises(BirdfastError, match="all soundscapes are of one site"):
        train_folds(source, recipe, tmp_path / "study", soundscape_mix=0.5)
    assert not (tmp_path / "study").exists()


def test_another_recipe_and_other_rows_are_refused(trained, tiny_birds, tiny_table, recipe):
    with pytest.raises(BirdfastError, match=r"another recipe, you changed lr \(0.005 to 0.1\): go on with what"):
        train_folds(tiny_birds, recipe, trained.out, lr=0.1)
    with pytest.raises(BirdfastError, match="a study of other recordings or labels"):
        train_folds(tiny_table, recipe, trained.out)


def test_a_fold_that_is_not_there_is_named(tiny_birds, recipe, tmp_path):
    with pytest.raises(BirdfastError, match="no recording falls into fold 7: there are 0, 1, 2"):
        train_folds(tiny_birds, recipe, tmp_path, [0, 7])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("wrong", ["0,1", [], 1.5, ["0"]])
def test_folds_are_numbers(tiny_birds, recipe, tmp_path, wrong):
    with pytest.raises(BirdfastError, match=r"folds must be the number of a fold or several, as in folds=\[0, 1\]"):
        train_folds(tiny_birds, recipe, tmp_path, wrong)
    source = read_source(tiny_birds)
    assert module.wanted_folds(source, recipe, 0) == module.wanted_folds(source, recipe, np.array([0])) == [0]


@pytest.mark.parametrize("task", ["single", "multi"])
def test_no_call_is_trained_and_has_no_column(with_silence, recipe, tmp_path, task):
    activation = "softmax" if task == "single" else "sigmoid"
    knobs = {"no_call": True, "task": task, "activation": activation, "n_folds": 2}
    study = train_folds(with_silence, recipe, tmp_path, device="cpu", num_workers=0, **knobs)
    assert study.classes == ["species0", "species1", "species2"]
    targets, probabilities = study.arrays()
    silent = 0 if task == "multi" else 10
    assert probabilities.shape == (40 - silent, 3) and len(targets) == len(study.truth) == 40 - silent
    assert "nocall" not in study.predictions.columns
    assert 0 < study.scores["roc_auc"] <= 1


CLASSES = ["species0", "species1", "species2"]


def made(out, seed, multi, n=60, left_out=()):
    """A study as trainings leave it: folds dealt by the seed, two windows a recording, models that are nearly right."""
    rng = np.random.default_rng(seed)
    folds, numbers = rng.integers(0, 3, n), np.repeat(np.setdiff1d(np.arange(n), left_out), 2)
    rows = pd.DataFrame({"path": [f"{i // 2:02d}.ogg" for i in numbers], "start_time": numbers % 2 * 10.0})
    rows["start_time"] += np.tile([0.0, 5.0], len(rows) // 2)
    rows = rows.assign(end_time=rows["start_time"] + 5, fold=folds[numbers], recording=numbers)
    right = np.eye(3)[numbers % 3]
    for fold in range(3):
        (out / f"fold{fold}").mkdir(parents=True)
        mine = rows["fold"] == fold
        said = pd.DataFrame(right + rng.normal(0, 0.4, right.shape), columns=CLASSES)
        pd.concat([rows, said], axis=1)[mine].to_parquet(out / f"fold{fold}" / module.PREDICTIONS)
        truth = (
            pd.DataFrame(right, columns=CLASSES)
            if multi
            else pd.Series([CLASSES[i % 3] for i in numbers], name="target")
        )
        truth = pd.concat([rows[["path", "fold", "recording"]], truth], axis=1)[mine].drop_duplicates("recording")
        truth.to_parquet(out / f"fold{fold}" / module.TRUTH)
    return Folds(out, Recipe(), CLASSES, [0, 1, 2])


@pytest.mark.parametrize("multi", [False, True])
def test_rows_of_studies_with_different_seeds_go_together(tmp_path, multi):
    one, two = (made(tmp_path / str(seed), seed, multi) for seed in (0, 1))
    assert one.recordings["fold"].tolist() != two.recordings["fold"].tolist()
    assert one.recordings["recording"].tolist() == two.recordings["recording"].tolist() == list(range(60))
    targets, probabilities = one.arrays()
    np.testing.assert_array_equal(targets, two.arrays()[0])
    assert min(roc_auc(targets, probabilities), roc_auc(targets, two.arrays()[1])) > 0.95
    weights = one.blend_weights(two)
    assert weights.sum() == pytest.approx(1) and weights.min() > 0.1


def test_studies_of_other_rows_or_classes_are_not_blended(tmp_path):
    whole, less = made(tmp_path / "a", 0, False), made(tmp_path / "b", 0, False, left_out=[7])
    with pytest.raises(BirdfastError, match=r"b has not held out the same recordings as .*a \(first: 03.ogg\)"):
        whole.blend_weights(less)
    other = made(tmp_path / "c", 0, False, left_out=[9])  # as many
    with pytest.raises(BirdfastError, match="has not held out the same recordings"):
        less.blend_weights(other)
    with pytest.raises(BirdfastError, match="knows other classes"):
        whole.blend_weights(Folds(whole.out, whole.recipe, CLASSES[::-1], whole.folds))


def test_official_folds_are_the_same_number_in_every_run(tiny_table, recipe, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(module, "_train", lambda source, recipe, *args: asked.append((recipe.fold, recipe.n_folds)))
    monkeypatch.setattr(module, "_finish", lambda folds: folds)
    table = tiny_table.assign(fold=[i % 5 for i in range(len(tiny_table))])
    study = train_folds(table, recipe, tmp_path, [0, 3])
    assert asked == [(0, 5), (3, 5)] and study.recipe.n_folds == 5
