"""Pseudo-labels: never by a model that heard the file, kept only where they help, made once."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import soundfile

from birdfast.errors import BirdfastError
from birdfast.prediction.predictor import Predictor
from birdfast.sources.read import read_source
from birdfast.sources.source import Source
from birdfast.splits.run_folder import describe_run
from birdfast.splits.sides import site_of
from birdfast.studies import folds as folds_module
from birdfast.studies import pseudo as module
from birdfast.studies import teachers
from birdfast.studies.pseudo import LABELS, find_unlabelled, pseudo_label, soft_labels
from birdfast.training.dataloaders import bird_dls
from tests.conftest import SAMPLE_RATE, chirp


def write_soundscape(folder, number, site):
    path = folder / f"BC2026_Train_{number:04d}_S{site:02d}_20250227_010002.wav"
    soundfile.write(path, np.concatenate([chirp(j % 3, 1.0, number) for j in range(3)]), SAMPLE_RATE)
    return str(path)


@pytest.fixture(scope="module")
def source(tiny_birds, tmp_path_factory) -> Source:
    """The tiny birds, 4 labelled soundscapes at sites 0 and 1, and 6 unlabelled ones at sites 0 to 5 in the same folder."""
    folder = tmp_path_factory.mktemp("train_soundscapes")
    labelled = [write_soundscape(folder, i, i % 2) for i in range(4)]
    for i in range(6):
        write_soundscape(folder, 10 + i, i)
    rows = [(path, float(j), j + 1.0, (f"species{j}",)) for path in labelled for j in range(3)]
    table = pd.DataFrame(rows, columns=["path", "start_time", "end_time", "labels"])
    return Source(**{**vars(read_source(tiny_birds)), "soundscapes": table, "unlabelled": folder})


@pytest.fixture(scope="module")
def recipe(tiny_recipe):
    return tiny_recipe.with_(epochs=1, n_folds=2, mixup_alpha=0.0, soundscape_share=0.25, activation="sigmoid")


@pytest.fixture(scope="module")
def study(source, recipe, tmp_path_factory):
    out = tmp_path_factory.mktemp("pseudo") / "study"
    return pseudo_label(source, recipe, out, rounds=1, device="cpu")


def heard(folder):
    split = pd.read_csv(folder / "split.csv")
    return set(split.loc[~split["is_valid"], "path"])


def labels_of(study, number=1):
    return pd.read_parquet(study.out / f"round{number}" / LABELS)


def test_the_first_labels_are_the_mean_of_all_teachers(study, source):
    table = labels_of(study)
    assert set(table["path"]) == {str(p) for p in source.unlabelled.glob("*_001*.wav")}
    assert table.groupby("path")["start_time"].agg(list).map(lambda starts: starts == [0, 1, 2]).all()
    path = table["path"][0]
    alone = [Predictor(study.out / f"round0/fold{k}/birds.safetensors").predict(path, progress=False) for k in (0, 1)]
    mean = np.mean([scores.to_numpy() for scores in alone], axis=0)
    np.testing.assert_allclose(table.loc[table["path"] == path, source.classes], mean, atol=1e-5)


def test_a_soundscape_is_never_labelled_by_a_model_that_trained_on_it(study, source, recipe):
    students = [study.out / "round1" / f"fold{k}" for k in (0, 1)]
    table = labels_of(study)
    for fold, student in enumerate(students):
        mine, other = (set(table.loc[(table["fold"] == fold) == same, "path"]) for same in (True, False))
        assert mine and other
        assert not heard(student) & mine
        assert other <= heard(student)
    folds = folds_module.Folds(study.out / "round1", recipe, source.classes, [0, 1])
    again = soft_labels(folds, sorted(set(table["path"])), study.out / "again", root=source.root, device="cpu")
    models = [Predictor(student / "birds.safetensors") for student in students]
    for path, rows in again.groupby("path"):
        fold = int(table.loc[table["path"] == path, "fold"].iloc[0])
        own, other = (models[k].predict(path, progress=False) for k in (fold, 1 - fold))
        np.testing.assert_allclose(rows[source.classes], own, atol=1e-5)
        assert np.abs(own - other).to_numpy().max() > 1e-4


def test_files_that_every_model_heard_are_not_labelled(study, source, recipe):
    folds = folds_module.Folds(study.out / "round1", recipe, source.classes, [0])
    table = labels_of(study)
    known = sorted(heard(study.out / "round1" / "fold0") & set(table["path"]))
    with pytest.raises(BirdfastError, match=f"no soundscape of {len(known)} can be labelled"):
        soft_labels(folds, known, study.out / "never", root=source.root, device="cpu")


def test_a_soundscape_that_cannot_be_read_is_left_out(study, source, recipe, tmp_path, capsys):
    folds = folds_module.Folds(study.out / "round1", recipe, source.classes, [0, 1])
    empty, cut = tmp_path / "empty.wav", tmp_path / "cut.flac"  # heard by no model: a group of their own
    empty.write_bytes(b"")
    soundfile.write(cut, chirp(0, 8.0, 9), SAMPLE_RATE)
    cut.write_bytes(cut.read_bytes()[:60])  # no more than its header
    known, broken = sorted(set(labels_of(study)["path"])), [str(empty), str(cut)]
    table = soft_labels(folds, [*known, *broken], tmp_path / "labels", root=source.root, device="cpu")
    assert sorted(set(table["path"])) == known
    said = " ".join(capsys.readouterr().err.split())
    assert f"left out: none of the 2 recordings can be read; the first, {empty}: it holds zero bytes" in said
    with pytest.raises(BirdfastError, match="no soundscape of 2 can be labelled"):
        soft_labels(folds, broken, tmp_path / "labels", root=source.root, device="cpu")


def test_data_that_moved_are_labelled_by_no_model_that_heard_them(study, source, recipe, tmp_path):
    table, old = labels_of(study), Source(**{**vars(source), "root": source.unlabelled})
    folds = folds_module.Folds(tmp_path, recipe, source.classes, [0, 1])
    for fold in (0, 1):
        dls = bird_dls(old, recipe.with_(fold=fold, pseudo_mix=1.0), device="cpu", pseudo=table)
        shutil.copytree(study.out / f"round1/fold{fold}", tmp_path / f"fold{fold}")
        describe_run(tmp_path / f"fold{fold}", dls.plan, recipe, resume=False)
    moved = tmp_path / "moved"
    moved.symlink_to(source.unlabelled)
    files = {moved / Path(path).name: fold for path, fold in zip(table["path"], table["fold"], strict=True)}
    again = soft_labels(folds, sorted(map(str, files)), tmp_path / "labels", root=moved, device="cpu")
    for path, rows in again.groupby("path"):
        model = Predictor(tmp_path / f"fold{files[Path(path)]}" / "birds.safetensors")  # it alone has not heard it
        np.testing.assert_allclose(rows[source.classes], model.predict(path, progress=False), atol=1e-5)
    (tmp_path / "fold1/split.csv").unlink()
    with pytest.raises(BirdfastError, match="fold1 lacks its split.csv, by which it is known"):
        soft_labels(folds, sorted(map(str, files)), tmp_path / "labels", root=moved, device="cpu")


def test_labels_are_found_where_the_data_have_moved_to(source, recipe, tmp_path, monkeypatch):
    def said(files):
        rows = pd.DataFrame({"path": files, "start_time": 0.0, "end_time": 1.0})
        return rows.assign(**dict.fromkeys(source.classes, 0.5))

    def at(name):
        folder = shutil.copytree(source.unlabelled, tmp_path / name)
        return Source(**{**vars(source), "root": folder, "unlabelled": folder, "soundscapes": None})

    monkeypatch.setattr(module, "soft_labels", lambda teacher, files, place, **options: said(files))
    monkeypatch.setattr(teachers, "label_windows", lambda folder, bundles, files, classes, device: said(files))
    first = at("first")
    study = module._Study(tmp_path / "study", first, recipe, find_unlabelled(first, None), [0, 1], {"device": "cpu"})
    study._labels(1, None)
    taught = teachers.labels_of(tmp_path / "teacher.safetensors", first, "cpu")
    second = at("second")
    shutil.rmtree(tmp_path / "first")
    knobs = {"soundscape_share": 0.0, "pseudo_mix": 1.0}
    for table in (study.out / "round1" / LABELS, taught):
        dls = bird_dls(second, recipe.with_(**knobs), device="cpu", pseudo=table)
        assert {Path(path).parent for path in dls.plan.pools[0].windows[0]} == {second.root}


def test_no_site_that_validates_is_trained_on_by_pseudo_labels(study, source, recipe):
    table = labels_of(study)
    for fold in (0, 1):
        knobs = {"fold": fold, "pseudo_mix": 1.0}
        dls = bird_dls(source, recipe.with_(**knobs), device="cpu", pseudo=table)
        valid = {site_of(path) for path in dls.valid.items["path"] if "BC2026" in path}
        assert valid
        assert not valid & {site_of(path) for path in dls.plan.pools[0].windows[0]}
        at_these = table[[site_of(path) in valid for path in table["path"]]]
        assert set(at_these["fold"]) == {fold}  # so that the model of this fold can label them later
        assert dls.plan.leaks.shared_sites.empty and dls.plan.leaks.shared_recordings.empty


def test_a_finished_study_trains_and_labels_nothing(study, source, recipe, monkeypatch):
    def never(*args, **kwargs):
        raise AssertionError("this was done already")

    monkeypatch.setattr(folds_module, "_train", never)
    monkeypatch.setattr(module, "soft_labels", never)
    again = pseudo_label(source, recipe, study.out, rounds=1, device="cpu")
    pd.testing.assert_frame_equal(again.rounds, study.rounds)
    assert json.loads((study.out / "rounds.json").read_text())[1]["windows"] == 18
    with pytest.raises(BirdfastError, match="another recipe, you changed pseudo_power"):
        pseudo_label(source, recipe, study.out, rounds=1, device="cpu", pseudo_power=3.0)
    with pytest.raises(BirdfastError, match="another study, you changed soundscapes"):
        pseudo_label(source, recipe, study.out, labels_of(study)["path"][:1].tolist(), device="cpu")


def run(monkeypatch, tmp_path, scores, powers):
    """The rounds of a study whose trainings give these scores; which round's models labelled for each."""
    asked = []
    results = [SimpleNamespace(scores={"roc_auc": score}, number=i) for i, score in enumerate(scores)]
    monkeypatch.setattr(module._Study, "_train", lambda self, number, recipe, **kwargs: results[number])
    monkeypatch.setattr(
        module._Study, "_labels", lambda self, number, teacher: asked.append(teacher.number) or pd.DataFrame()
    )
    study = module._Study(tmp_path, None, SimpleNamespace(with_=lambda **knobs: None), [], [0, 1], {})
    return study.run([{"pseudo_power": power} for power in powers]), asked


def test_a_round_is_kept_only_if_it_helps_and_the_next_asks_the_last_kept(monkeypatch, tmp_path):
    found, asked = run(monkeypatch, tmp_path, [0.6, 0.7, 0.65, 0.8], [1.0, 2.0, 3.0])
    assert found.rounds["kept"].tolist() == [True, True, False, True]
    assert asked == [0, 1, 1]
    assert found.rounds["teacher"].tolist()[1:] == [0, 1, 1]
    assert found.folds.number == 3


def test_a_round_that_could_only_repeat_a_failure_is_not_run(monkeypatch, tmp_path):
    found, asked = run(monkeypatch, tmp_path, [0.6, 0.6, 0.9], [1.5, 1.5])
    assert asked == [0]
    assert found.rounds["kept"].tolist() == [True, False]
    assert found.folds.number == 0


@pytest.mark.parametrize(
    ("knobs", "given", "expected"),
    [
        ({}, {}, ("mix", 1.0, 1 / 0.65, 0.75)),
        ({"pseudo_how": "substitute"}, {}, ("substitute", 0.5, 1 / 0.65, 0.75)),
        ({"pseudo_mix": 0.3, "pseudo_power": 2.0, "pseudo_label_sum": 0.6}, {}, ("mix", 0.3, 2.0, 0.6)),
        ({"pseudo_mix": 0.3, "pseudo_power": 2.0}, {"pseudo_mix": 0.8, "pseudo_power": 1.0}, ("mix", 0.8, 1.0, 0.75)),
    ],
)
def test_rounds_have_the_knobs_of_the_recipe_unless_others_are_given(
    monkeypatch, source, recipe, tmp_path, knobs, given, expected
):
    trained = []

    def train(self, number, recipe, **kwargs):
        trained.append(recipe)
        return SimpleNamespace(scores={"roc_auc": 0.5 + 0.1 * number})

    monkeypatch.setattr(module._Study, "_train", train)
    monkeypatch.setattr(module._Study, "_labels", lambda self, number, teacher: pd.DataFrame())
    pseudo_label(source, recipe.with_(**knobs), tmp_path, rounds=1, **given)
    teacher, student = trained
    assert teacher.pseudo_mix == 0.0
    assert (student.pseudo_how, student.pseudo_mix, student.pseudo_power, student.pseudo_label_sum) == expected


def test_other_folds_are_another_study(source, recipe, tmp_path, monkeypatch):
    """Labels are made once, and by all models that there are."""
    monkeypatch.setattr(module._Study, "run", lambda study, plan: None)
    pseudo_label(source, recipe.with_(n_folds=3), tmp_path, folds=[0, 1])
    with pytest.raises(BirdfastError, match=r"another study, you changed folds \(\[0, 1\] to \[0, 1, 2\]\)"):
        pseudo_label(source, recipe.with_(n_folds=3), tmp_path)


def test_soundscapes_of_one_site_are_refused_before_anything_is_trained(source, recipe, tmp_path, monkeypatch):
    files, knobs = [write_soundscape(tmp_path, i, 7) for i in range(2)], {"soundscape_share": 0.0}
    monkeypatch.setattr(module._Study, "run", lambda study, plan: "rounds")
    with pytest.raises(BirdfastError, match=r"all soundscapes are of one site \(S07\).* set soundscape_group='file'"):
        pseudo_label(source, recipe, tmp_path / "study", files, **knobs)
    assert pseudo_label(source, recipe, tmp_path / "study", files, **knobs, soundscape_group="file") == "rounds"


def test_what_cannot_work_is_refused_before_anything_is_trained(tiny_birds, tiny_table, source, recipe, tmp_path):
    out = tmp_path / "study"
    with pytest.raises(
        BirdfastError, match="pseudo-labels without soundscapes: folder per class has no unlabelled ones"
    ):
        pseudo_label(tiny_birds, recipe, out)
    labelled = source.soundscapes["path"].unique().tolist()
    with pytest.raises(BirdfastError, match="pseudo-labels without soundscapes: all of them have labels"):
        pseudo_label(source, recipe, out, labelled)
    with pytest.raises(BirdfastError, match="two folds or more, not 1"):
        pseudo_label(source, recipe, out, folds=[0])
    with pytest.raises(BirdfastError, match="unknown value for the recipe's pseudo_how 'mixx'"):
        pseudo_label(source, recipe, out, pseudo_how="mixx")
    with pytest.raises(BirdfastError, match="pseudo_mix must be above 0"):
        pseudo_label(source, recipe, out, pseudo_mix=0.0)
    with pytest.raises(BirdfastError, match="1 powers are too few for 2 rounds"):
        pseudo_label(source, recipe, out, rounds=2, pseudo_power=[1.0])
    for rounds in ("3", 2.5, 0):
        with pytest.raises(BirdfastError, match=f"rounds must be a whole number, 1 or more, not {rounds!r}"):
            pseudo_label(source, recipe, out, rounds=rounds)
    for power in ("1.5", ["1.5"]):
        with pytest.raises(BirdfastError, match="pseudo_power must be a number, or one for each round, not"):
            pseudo_label(source, recipe, out, rounds=1, pseudo_power=power)
    with pytest.raises(BirdfastError, match=r"folds share \d recordists .* set group='author'"):
        pseudo_label(tiny_table, recipe.with_(group="none"), out, str(source.unlabelled))
    assert not out.exists()


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"pseudo_power": 0}, "pseudo_power must be above 0, not 0"),
        ({"pseudo_power": [1.5, 2, -1]}, "pseudo_power must be above 0, not -1"),
        ({"pseudo_label_sum": 0.0}, "pseudo_label_sum must be above 0"),
        ({"no_call": True}, "pseudo-labels know no clips without a call: set no_call=False"),
        ({"distill": "teacher.npz"}, "a teacher heard the recordings unmixed: set distill=''"),
        ({"cache": "spectrogram"}, "pseudo_mix with cache='spectrogram'"),
    ],
)
def test_what_no_round_could_train_is_refused_before_the_data_are_read(recipe, tmp_path, given, says):
    plain = recipe.with_(soundscape_share=0.0)
    with pytest.raises(BirdfastError, match=says):
        pseudo_label(tmp_path / "nowhere", plain, tmp_path / "study", **given)
    assert not (tmp_path / "study").exists()
