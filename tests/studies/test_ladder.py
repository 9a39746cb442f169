"""A ladder of tiny trainings: paired, resumed, never measured twice."""

import re
import shutil

import numpy as np
import pandas as pd
import pytest

from birdfast import synth
from birdfast.errors import BirdfastError
from birdfast.prediction.predictor import Predictor
from birdfast.recipe.recipe import Recipe
from birdfast.sources.read import read_source
from birdfast.sources.source import Source
from birdfast.studies import ladder as module
from birdfast.studies.key import begin, digest_rows
from birdfast.studies.ladder import ladder
from birdfast.studies.rungs import Rung, ablation
from birdfast.studies.scores import score_learner, soundscape_sides


@pytest.fixture
def rungs(tiny_recipe):
    first = tiny_recipe.with_(epochs=1)
    return [
        Rung(name="plain", recipe=first),
        Rung(name="mixed", adds="MixUp", recipe=first, changes={"mixup_alpha": 1.0}),
    ]


@pytest.fixture
def told(monkeypatch):
    """Scores that a table tells, in place of trainings: of what was asked, in order."""
    asked = []

    def train_and_score(source, recipe, keep=None, **options):
        asked.append((recipe.name, recipe.seed))
        if keep is not None:
            keep.touch()
        score = 0.5 + 0.1 * recipe.seed + (0.05 if recipe.mixup_alpha == 1.0 else 0.0)
        return {"accuracy": score, "roc_auc": score, "seconds_per_epoch": 1.0, "lr": 1e-3}

    monkeypatch.setattr(module, "train_and_score", train_and_score)
    return asked


def test_rows_come_from_trainings_and_carry_what_made_them(tiny_table, rungs, tmp_path):
    done = ladder(tiny_table, rungs, tmp_path, [3], command="as typed", num_workers=0)
    rows = pd.read_csv(tmp_path / "ladder.csv")
    assert rows["rung"].tolist() == ["plain", "mixed"] and set(rows["seed"]) == {3}
    assert rows["accuracy"].between(0, 1).all() and rows["roc_auc"].between(0, 1).all()
    assert (rows["lr"] > 0).all() and (rows["seconds"] >= rows["seconds_per_epoch"]).all()
    assert rows[["torch", "fastai", "timm", "birdfast", "device"]].notna().all(axis=None)
    assert set(rows["command"]) == {"as typed"}
    assert rows["recipe"].nunique() == 2 and rows["source"].nunique() == 1
    assert rows["over"].tolist()[1] == "plain" and rows["over"].isna().tolist() == [True, False]
    assert "| mixed | MixUp |" in str(done) and "one seed" in str(done)
    done.write()
    assert {"ladder.md", "ladder.png", "table.csv"} <= {file.name for file in tmp_path.iterdir()}


def test_seeds_pair_rungs_and_finished_rows_are_not_run_twice(tiny_table, rungs, tmp_path, told):
    ladder(tiny_table, rungs, tmp_path, 1)
    assert told == [("plain", 0), ("mixed", 0)]
    done = ladder(tiny_table, rungs, tmp_path, 3)
    assert told[2:] == [("plain", 1), ("mixed", 1), ("plain", 2), ("mixed", 2)]
    assert done.table.loc["mixed", "gain"] == pytest.approx(0.05) and done.table.loc["mixed", "verdict"] == "pays"
    assert len(pd.read_csv(tmp_path / "ladder.csv")) == 6


def test_a_stopped_ladder_goes_on(tiny_table, rungs, tmp_path, told, monkeypatch):
    tell = module.train_and_score

    def stop(source, recipe, **options):
        if len(told) == 1:
            raise KeyboardInterrupt
        return tell(source, recipe, **options)

    monkeypatch.setattr(module, "train_and_score", stop)
    with pytest.raises(KeyboardInterrupt):
        ladder(tiny_table, rungs, tmp_path, 2)
    monkeypatch.setattr(module, "train_and_score", tell)
    ladder(tiny_table, rungs, tmp_path, 2)
    assert told == [("plain", 0), ("mixed", 0), ("plain", 1), ("mixed", 1)]


def test_another_recipe_of_the_same_name_or_other_data_is_measured_anew(tiny_table, rungs, tmp_path, told, capsys):
    ladder(tiny_table, rungs[:1], tmp_path, 1)
    done = ladder(tiny_table, rungs[:1], tmp_path, 1, epochs=5)
    ladder(tiny_table.iloc[1:], rungs[:1], tmp_path, 1)
    assert told == [("plain", 0)] * 3
    assert len(done.rows) == 1 and "1 rows" in capsys.readouterr().err


def test_a_row_is_known_by_its_recipe_not_by_its_name(tiny_table, rungs, tmp_path, told):
    ladder(tiny_table, rungs[:1], tmp_path, 1)
    renamed = Rung(name="other", recipe=rungs[0].recipe)
    assert ladder(tiny_table, [renamed], tmp_path, 1).rows["rung"].tolist() == ["other"]
    assert len(told) == 1


def test_a_knob_younger_than_a_row_had_its_default(tiny_table, rungs, tmp_path, told):
    ladder(tiny_table, rungs[:1], tmp_path, 1)
    file = tmp_path / "recipes.json"
    assert '"warmup"' in file.read_text()
    file.write_text("".join(line for line in file.read_text().splitlines(True) if '"warmup"' not in line))
    ladder(tiny_table, rungs[:1], tmp_path, 1)
    assert len(told) == 1
    ladder(tiny_table, rungs[:1], tmp_path, 1, warmup=0.5)
    assert len(told) == 2


def test_mistakes_are_found_before_anything_is_trained(tiny_table, rungs, tmp_path, told, capsys):
    wrong = Rung(name="wrong", changes={"mixup": 0.1})
    with pytest.raises(BirdfastError, match="the rung 'wrong'"):
        ladder(tiny_table, [*rungs, wrong], tmp_path)
    with pytest.raises(BirdfastError, match="seeds"):
        ladder(tiny_table, rungs, tmp_path, 0)
    assert not told
    lonely = Rung(name="lonely", recipe=rungs[0].recipe, over="small")
    ladder(tiny_table, [lonely], tmp_path, 1)
    assert "'small', which is not measured" in capsys.readouterr().err


@pytest.mark.parametrize("seeds", [2.5, None, "3", [0, 1.5]])
def test_seeds_are_how_many_or_which(tiny_table, rungs, tmp_path, told, seeds):
    with pytest.raises(BirdfastError, match=f"seeds must be how many, .* not {re.escape(repr(seeds))}"):
        ladder(tiny_table, rungs, tmp_path, seeds)
    with pytest.raises(BirdfastError, match=r"seed=5 is no knob of a ladder.*seeds=\[5"):
        ladder(tiny_table, rungs, tmp_path, seed=5)
    assert not told
    ladder(tiny_table, rungs[0], tmp_path, np.arange(2))
    assert told == [("plain", 0), ("plain", 1)]


def test_a_score_that_will_not_be_there_is_refused_first(tiny_table, rungs, tmp_path, told):
    with pytest.raises(BirdfastError, match="unknown score of a ladder 'acuracy': did you mean 'accuracy'"):
        ladder(tiny_table, rungs, tmp_path, score="acuracy")
    with pytest.raises(BirdfastError, match="soundscape_roc_auc cannot decide: 'plain'"):
        ladder(tiny_table, rungs, tmp_path, score="soundscape_roc_auc")
    assert not told


DAMAGE = {
    "empty": (lambda text: "", "cannot be read as csv"),
    "binary": (lambda text: text.replace("plain", "pl\udcff"), "cannot be read as csv"),
    "foreign": (lambda text: "name,score\na,1\n", "has no column 'recipe'"),
    "extra fields in the first line": (lambda text: text.replace("plain,", "plain,1,", 1), "more fields in a line"),
    "extra fields in the second": (lambda text: text.replace("mixed,", "mixed,1,", 1), "cannot be read as csv"),
    "cut in a key": (lambda text: text[: text.rindex(",0.")], "cut short: delete that line"),
    "cut in the last field": (lambda text: text[:-3], "cut short: delete that line"),
    "a line without keys": (lambda text: text + "small,0,0.5\n", "cut short: delete that line"),
    "text as score": (lambda text: text.replace("mixed,0,0.55", "mixed,0,good"), "'good' in place of a number as acc"),
    "text as seed": (lambda text: text.replace("mixed,0,", "mixed,first,"), "'first' in place of a number as seed"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_rows_that_cannot_be_read_are_told_before_anything_is_trained(tiny_table, rungs, tmp_path, told, damage):
    ladder(tiny_table, rungs, tmp_path, 1)
    file, (spoil, words) = tmp_path / "ladder.csv", DAMAGE[damage]
    file.write_bytes(spoil(file.read_text()).encode(errors="surrogateescape"))
    with pytest.raises(BirdfastError, match=words) as error:
        ladder(tiny_table, rungs, tmp_path, 2)
    assert str(file) in str(error.value) and len(told) == 2


def test_a_table_of_no_rows_yet_is_filled(tiny_table, rungs, tmp_path, told):
    ladder(tiny_table, rungs, tmp_path, 1)
    file = tmp_path / "ladder.csv"
    file.write_text(file.read_text().partition("\n")[0] + "\n")
    assert len(ladder(tiny_table, rungs, tmp_path, 1).rows) == 2 and len(told) == 4


@pytest.mark.parametrize("text", ['{"a": {', "[1]", '{"a": 1}', "null"])
def test_recipes_that_cannot_be_read_are_told(tiny_table, rungs, tmp_path, told, text):
    (tmp_path / "recipes.json").write_text(text)
    with pytest.raises(BirdfastError, match=r"recipes\.json is damaged .*: mend it, move it away"):
        ladder(tiny_table, rungs, tmp_path)
    with pytest.raises(BirdfastError, match=r"recipes\.json is a file: give a folder"):
        ladder(tiny_table, rungs, tmp_path / "recipes.json")
    assert not told


def test_rungs_that_the_data_cannot_train_are_left_out(tiny_table, rungs, tmp_path, told, capsys):
    needs = [
        Rung(name=name, recipe=rungs[0].recipe, changes=changes)
        for name, changes in {
            "windows": {"soundscape_mix": 0.5},
            "silence": {"no_call": True},
            "taught": {"pseudo_mix": 1.0},
        }.items()
    ]
    done = ladder(tiny_table, [needs[0], rungs[0], *needs[1:]], tmp_path, 1)
    assert told == [("plain", 0)] and list(done.table.index) == ["plain"]
    said = " ".join(capsys.readouterr().err.split())
    assert "the rung 'windows' is left out" in said and "the rung 'silence' is left out" in said
    assert "the rung 'taught' is left out: table has no unlabelled soundscapes" in said and "--soundscapes" not in said
    with pytest.raises(BirdfastError, match="no rung can be measured"):
        ladder(tiny_table, needs, tmp_path, 1)


def test_a_rung_whose_split_holds_nothing_out_is_left_out(tiny_table, rungs, tmp_path, told, monkeypatch, capsys):
    windows = [(f"H02_20230420_07400{i}.ogg", 0.0, 5.0, ("species0",)) for i in range(2)]
    soundscapes = pd.DataFrame(windows, columns=["path", "start_time", "end_time", "labels"])
    source = Source(**{**vars(read_source(tiny_table)), "soundscapes": soundscapes})
    changes = {"one site": {"soundscape_mix": 0.5}, "by file": {"soundscape_mix": 0.5, "soundscape_group": "file"}}
    hear = [Rung(name=name, recipe=rungs[0].recipe, changes=knobs) for name, knobs in changes.items()]
    splits, split_both = [], module.split_both
    monkeypatch.setattr(module, "split_both", lambda rows, recipe: splits.append(recipe) or split_both(rows, recipe))
    done = ladder(source, [*rungs, *hear], tmp_path, 2)
    assert list(done.table.index) == ["plain", "mixed", "by file"] and len(told) == 6
    said = " ".join(capsys.readouterr().err.split())
    assert "the rung 'one site' is left out: all soundscapes are of one site (H02)" in said
    assert [(recipe.name, recipe.seed) for recipe in splits] == [
        ("plain", 0), ("plain", 1), ("one site", 0), ("by file", 0), ("by file", 1)
    ]  # fmt: skip


def test_a_rung_learns_from_what_the_one_below_says_of_soundscapes(tmp_path, tiny_recipe, monkeypatch, capsys):
    folder = synth(
        tmp_path / "s", n_classes=3, n_recordings=24, n_recordists=8, n_labelled=0, n_unlabelled=2, n_test=1, seed=1
    )
    plain = Rung(name="plain", recipe=tiny_recipe.with_(duration=5.0, epochs=1))
    taught = Rung(name="taught", recipe=plain.recipe, changes={"pseudo_mix": 1.0, "pseudo_power": 2.0})
    heard, train_and_score = [], module.train_and_score

    def listen(source, recipe, **options):
        heard.append((recipe.pseudo_mix, recipe.seed, options.get("pseudo")))
        return train_and_score(source, recipe, **options)

    monkeypatch.setattr(module, "train_and_score", listen)
    ladder(folder, [plain, taught], tmp_path / "out", 1, num_workers=0)
    assert [asked[:2] for asked in heard] == [(0.0, 0), (1.0, 0)] and heard[0][2] is None
    labels = pd.read_parquet(heard[1][2])
    assert labels["path"].nunique() == 2 and labels["start_time"].max() == 55.0
    teacher = Predictor(heard[1][2].with_suffix(".safetensors"))
    wanted = teacher.predict(folder / labels["path"][0], progress=False)
    found = labels[labels["path"] == labels["path"][0]][list(wanted)]
    np.testing.assert_allclose(found, wanted, atol=1e-5)

    del heard[:]  # a teacher that is not kept is trained again, without a row of its own
    heard_again = ladder(folder, [taught], tmp_path / "out", [1], num_workers=0)
    assert [asked[:2] for asked in heard] == [(0.0, 1), (1.0, 1)] and len(heard_again.rows) == 1
    assert len(pd.read_csv(tmp_path / "out" / "ladder.csv")) == 3
    first, *_ = (folder / "train_soundscapes").iterdir()
    shutil.copy(
        first, first.with_name("another.ogg")
    )  # one more soundscape: what was learnt from two is not of these data
    del heard[:]
    ladder(folder, [plain, taught], tmp_path / "out", 1, num_workers=0)
    assert [asked[:2] for asked in heard] == [(1.0, 0)]
    assert pd.read_parquet(heard[0][2])["path"].nunique() == 3
    rows = pd.read_csv(tmp_path / "out" / "ladder.csv")
    assert rows["unlabelled"].nunique() == 2 and rows["unlabelled"].isna().tolist() == [True, False, False, False]
    rows.drop(columns="unlabelled").to_csv(tmp_path / "out" / "ladder.csv", index=False)  # as they were once written
    ladder(folder, [plain, taught], tmp_path / "out", 1, num_workers=0)
    assert len(heard) == 1
    for file in (folder / "train_soundscapes").iterdir():
        file.unlink()
    ladder(folder, [plain, taught], tmp_path / "out", 1, num_workers=0)
    assert "the rung 'taught' is left out" in " ".join(capsys.readouterr().err.split())


def test_a_teacher_that_is_a_rung_itself_is_trained_once(tmp_path, tiny_recipe, told, monkeypatch):
    folder = synth(tmp_path / "s", n_classes=3, n_recordings=6, n_labelled=0, n_unlabelled=1, n_test=1, seed=1)
    monkeypatch.setattr(module, "labels_of", lambda *_: None)
    rungs = [*ablation(tiny_recipe.with_(name="whole", duration=5.0, pseudo_mix=1.0))]
    rungs = [rung for rung in rungs if rung.name in ("whole", "whole without pseudo-labels")]
    done = ladder(folder, rungs, tmp_path / "out", 2)
    assert told == [(name, seed) for seed in (0, 1) for name in ("whole without pseudo-labels", "whole")]
    assert list(done.table.index) == ["whole", "whole without pseudo-labels"]


def test_the_fingerprint_is_of_the_data_not_of_its_place(tmp_path):
    options = {"n_classes": 3, "n_recordings": 6, "n_labelled": 1, "n_unlabelled": 0, "n_test": 1, "seed": 2}
    one, two = (read_source(synth(tmp_path / name, **options)) for name in "ab")
    assert digest_rows(one) == digest_rows(two)
    recipe = Recipe()
    begin(tmp_path / "study", recipe, one)
    begin(tmp_path / "study", recipe, two)  # no error: a moved folder is the same study
    before = digest_rows(two)
    two.recordings = two.recordings.iloc[::-1]
    assert digest_rows(two) != before
    solution = tmp_path / "a" / "solution.csv"
    solution.write_text(solution.read_text().replace("0\n", "1\n", 1))
    assert digest_rows(one) != before


def test_soundscapes_with_a_truth_are_scored(tmp_path, tiny_recipe):
    from birdfast import bird_dls, bird_learner

    folder = synth(
        tmp_path / "s", n_classes=3, n_recordings=24, n_recordists=8, n_labelled=2, n_unlabelled=0, n_test=2, seed=1
    )
    recipe = tiny_recipe.with_(duration=5.0, epochs=1)
    learn = bird_learner(bird_dls(folder, recipe, num_workers=0))
    row = score_learner(learn)
    assert {"soundscape_roc_auc", "rare_soundscape_roc_auc", "accuracy", "roc_auc"} <= set(row)
    assert 0 < row["soundscape_roc_auc"] < 1
    (folder / "solution.csv").unlink()
    labelled = score_learner(learn)["soundscape_roc_auc"]
    assert 0 < labelled < 1 and labelled != row["soundscape_roc_auc"]
    learn.dls.plan.source.soundscapes = None
    assert "soundscape_roc_auc" not in score_learner(learn)
    assert not np.isnan(row["accuracy"])


@pytest.mark.parametrize("knobs", [{"duration": 2.0}, {"duration": 10.0}, {"duration": 5.0, "window": 2.5}])
def test_labelled_soundscapes_score_models_of_any_window(tmp_path, tiny_recipe, knobs):
    from birdfast import bird_dls, bird_learner

    folder = synth(
        tmp_path / "s", n_classes=3, n_recordings=24, n_recordists=8, n_labelled=2, n_unlabelled=0, n_test=1, seed=1
    )
    (folder / "solution.csv").unlink()
    learn = bird_learner(bird_dls(folder, tiny_recipe.with_(**knobs), num_workers=0, device="cpu"))
    truth, scores = soundscape_sides(learn)
    windows = learn.dls.plan.source.soundscapes
    assert len(truth) == len(scores) >= len(windows)
    assert truth.to_numpy().sum() == sum(len(labels) for labels in windows["labels"])
    assert scores.to_numpy().std() > 0


@pytest.mark.skipif("soundscape_share" not in Recipe().to_dict(), reason="soundscapes do not train yet")
def test_labelled_windows_are_no_recordings_and_do_not_score_what_they_trained(tmp_path, tiny_recipe):
    from birdfast import bird_dls, bird_learner

    folder = synth(
        tmp_path / "s", n_classes=3, n_recordings=24, n_recordists=8, n_labelled=4, n_unlabelled=0, n_test=1, seed=1
    )
    recipe = tiny_recipe.with_(duration=5.0, epochs=1)
    (folder / "solution.csv").unlink()
    alone, both = (
        score_learner(bird_learner(bird_dls(folder, recipe.with_(soundscape_share=share), num_workers=0)))
        for share in (0.0, 0.25)
    )
    assert alone["n_rare"] == both["n_rare"]
    assert "soundscape_roc_auc" in alone and "soundscape_roc_auc" not in both


@pytest.mark.parametrize("task", ["single", "multi"])
def test_clips_without_a_call_are_no_recordings_that_are_scored(with_silence, tiny_recipe, task):
    from birdfast import bird_dls, bird_learner

    recipe = tiny_recipe.with_(task=task, activation="softmax" if task == "single" else "sigmoid", no_call=True)
    learn = bird_learner(bird_dls(with_silence, recipe, num_workers=0, device="cpu"))
    row = score_learner(learn)
    valid = learn.dls.valid.items.drop_duplicates("recording")["primary_label"]
    assert (valid == "nocall").any() and 0 < row["n_rare"] <= (valid != "nocall").sum()
    assert 0 <= row["rare_accuracy"] <= 1 and 0 <= row["accuracy"] <= 1 and 0 < row["roc_auc"] <= 1


def test_soundscapes_whose_silence_was_trained_on_do_not_score(tmp_path, tiny_recipe):
    from birdfast import bird_dls, bird_learner

    folder = synth(
        tmp_path / "s",
        year=2021,
        n_classes=3,
        n_recordings=24,
        n_recordists=8,
        n_labelled=4,
        n_unlabelled=0,
        n_test=1,
        seed=1,
    )
    (folder / "solution.csv").unlink(missing_ok=True)
    recipe = tiny_recipe.with_(duration=5.0)
    alone, silent = (
        score_learner(bird_learner(bird_dls(folder, recipe.with_(no_call=no_call), num_workers=0, device="cpu")))
        for no_call in (False, True)
    )
    assert "soundscape_roc_auc" in alone and "soundscape_roc_auc" not in silent
