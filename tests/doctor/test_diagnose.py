"""The doctor reads a run's history and says why it does not learn."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from birdfast.audio.bad_files import BadFiles
from birdfast.doctor import diagnose, is_run
from birdfast.errors import BirdfastError
from birdfast.recipe.presets import RECIPES

EPOCHS = 10
FALLING = np.linspace(5.2, 1.0, EPOCHS)
FLAT = np.linspace(5.33, 5.30, EPOCHS)


@pytest.fixture
def run(tmp_path):
    """A function that writes the folder of a run and examines it."""

    def write(
        train, valid, accuracy, auc, *, n_classes=206, n_train=28_000, lr=1e-3, recipe="improved", knobs=(), **data
    ):
        folder = tmp_path / "my run"
        folder.mkdir()
        columns = {"train_loss": train, "valid_loss": valid, "accuracy": accuracy, "roc_auc": auc, "lr": lr}
        table = pd.DataFrame({"epoch": np.arange(len(train)), **columns})
        table.to_csv(folder / "history.csv", index=False)
        (folder / "state.json").write_text(json.dumps({"epoch": len(train) - 1, "epochs": len(train), "lr": lr}))
        numbers = {"source": "data/birds", "n_classes": n_classes, "n_train": n_train, "n_valid": 100} | data
        (folder / "data.json").write_text(json.dumps(numbers))
        RECIPES[recipe].with_(lr=lr, **dict(knobs)).save(folder / "recipe.toml")
        return diagnose(folder)

    return write


def line(start, end):
    return np.linspace(start, end, EPOCHS)


def test_a_run_that_learned(run):
    settled = 1 - 0.5 * np.exp(-np.arange(EPOCHS))
    report = run(FALLING, FALLING + 0.2, 0.7 * settled, 0.95 * settled)
    assert report.ok, report.text()
    assert "accuracy of 0.5%" in report["run"].message
    assert report["advice"].status == "ok"
    assert {f.status for f in report.findings} == {"ok"}, report.text()


def test_a_fold_of_a_study_goes_on_with_all_folds(run, tmp_path):
    (tmp_path / "study.json").write_text("{}")
    settled = 1 - 0.5 * np.exp(-np.arange(EPOCHS))
    report = run(FALLING, FALLING + 0.2, 0.7 * settled, 0.95 * settled)
    study = f"'{tmp_path / 'my run' / 'recipe.toml'}' --set epochs=20 --out {tmp_path}-2"
    assert report["advice"].remedy == f"birdfast folds data/birds --recipe {study}"


def test_a_run_that_still_rises(run):
    report = run(FALLING, FALLING + 0.2, line(0.01, 0.4), line(0.5, 0.9))
    assert report["plateau"].status == "warn"
    assert (
        report["advice"].remedy == "go on: birdfast train data/birds --out " + _quoted(report) + " --resume --epochs 20"
    )


def _quoted(report):
    return f"'{report.subject}'"


@pytest.mark.parametrize(("recipe", "remedy"), [("baseline", "mixup_alpha=0.4"), ("improved", "dropout=0.5")])
def test_over_fitting(run, recipe, remedy):
    valid = np.concatenate([np.linspace(5.2, 3.0, 5), np.linspace(3.2, 6.0, 5)])
    report = run(FALLING, valid, np.full(EPOCHS, 0.3), np.full(EPOCHS, 0.8), recipe=recipe)
    assert report["overfit"].status == "warn"
    assert "--epochs 5" in report["overfit"].remedy
    assert remedy in report["overfit"].remedy
    assert report["advice"].message == "it over-fits"
    assert report.ok


@pytest.mark.parametrize("loss", [line(5.2, 9.0), np.append(FALLING[:-1], np.nan), np.append(FALLING[:-1], np.inf)])
def test_divergence(run, loss):
    report = run(loss, FALLING, np.full(EPOCHS, 0.005), np.full(EPOCHS, 0.5), lr=0.5)
    assert not report.ok
    assert report["loss"].status == "fail"
    assert report["advice"].message == "the learning rate is too high"
    assert "--lr 0.05" in report["advice"].remedy


def test_not_learned_at_a_low_rate_on_little_data(run):
    report = run(FLAT, FLAT, np.full(EPOCHS, 0.006), np.full(EPOCHS, 0.52), n_train=200, lr=1e-4)
    assert not report.ok
    assert report["learned"].status == "fail"
    assert "1.2 times chance" in report["learned"].message
    assert "--lr auto" in report["advice"].remedy
    assert report["advice"].remedy.startswith("birdfast train data/birds --recipe improved")


def test_mixed_up_labels(run):
    report = run(FALLING, line(5.3, 6.0), np.full(EPOCHS, 0.006), np.full(EPOCHS, 0.5))
    assert report["labels"].status == "fail"
    assert "mixed up" in report["advice"].message
    assert report["advice"].remedy == "birdfast doctor data/birds"


def test_few_classes_have_another_bar(run):
    report = run(FALLING, FALLING, np.full(EPOCHS, 0.95), np.full(EPOCHS, 0.97), n_classes=2)
    assert report["learned"].status == "ok"


def test_naming_the_commonest_class_is_not_learning(run):
    report = run(FLAT, FLAT, np.full(EPOCHS, 0.64), np.full(EPOCHS, 0.4), n_classes=4, commonest=0.64)
    assert report["learned"].status == "fail"
    assert "64.0%" in report["learned"].message


def test_a_loss_that_jumps(run):
    zigzag = np.array([5, 6, 4, 5.5, 3.5, 5, 3, 4.5, 2.5, 4])
    report = run(zigzag, FALLING, np.full(EPOCHS, 0.3), np.full(EPOCHS, 0.8))
    assert report["lr"].status == "warn"
    assert "jumps" in report["lr"].message


def test_one_epoch_is_too_early(run):
    report = run([5.3], [5.3], [0.005], [0.5])
    assert report.ok
    assert report["advice"].message == "too early to tell"


def test_random_weights_on_little_data(run, tmp_path):
    report = run(FLAT, FLAT, np.full(EPOCHS, 0.005), np.full(EPOCHS, 0.5), n_train=300)
    folder = Path(report.subject)
    RECIPES["baseline"].with_(weights="random").save(folder / "recipe.toml")
    again = diagnose(folder)["advice"]
    assert "random weights" in again.message
    assert "recipe.toml" in again.remedy  # the recipe is no preset any more
    assert "--weights pretrained" in again.remedy


def test_few_right_of_few_is_not_learning(run):
    """3 of 15 among 10 classes, twice chance: guessing does as well in one of five epochs."""
    accuracy, auc = line(1 / 15, 3 / 15), line(0.5, 0.68)
    report = run(FALLING, FALLING + 0.2, accuracy, auc, n_classes=10, n_train=60, n_valid=15)
    learned = report["learned"]
    assert learned.status == "fail" and "begun to learn" not in learned.message
    assert "3 of 15 right, one recording is worth 6.7%" in learned.message
    assert "labels" not in report
    assert "15 validation recordings are too few" in report["advice"].message
    folder = Path(report.subject)
    RECIPES["improved"].with_(weights="random").save(folder / "recipe.toml")
    advice = diagnose(folder)["advice"]
    assert "60 recordings are too few to start from random weights; and 15 validation" in advice.message


def test_the_same_share_of_many_is_learning(run):
    accuracy, auc = line(0.1, 0.2), line(0.5, 0.68)
    learned = run(FALLING, FALLING + 0.2, accuracy, auc, n_classes=10, n_train=600, n_valid=500)["learned"]
    assert learned.status == "ok" and learned.details["by_chance"] < 0.001
    assert "one recording" not in learned.message


def test_many_right_of_few_is_learning(run):
    accuracy, auc = line(0.1, 10 / 15), line(0.5, 0.9)
    learned = run(FALLING, FALLING + 0.2, accuracy, auc, n_classes=10, n_train=60, n_valid=15)["learned"]
    assert learned.status == "ok" and "10 of 15 right" in learned.message


def test_begun_from_random_weights(run):
    report = run(FALLING, FALLING + 0.2, np.full(EPOCHS, 0.006), np.full(EPOCHS, 0.7), n_train=300)
    assert "begun to learn" in report["learned"].message
    folder = Path(report.subject)
    RECIPES["baseline"].with_(weights="random").save(folder / "recipe.toml")
    assert "random weights" in diagnose(folder)["advice"].message


def test_epochs_count_from_1(run):
    valid = np.concatenate([np.linspace(5.2, 3.0, 5), np.linspace(3.2, 6.0, 5)])
    report = run(FALLING, valid, np.full(EPOCHS, 0.3), np.full(EPOCHS, 0.8))
    assert "lowest in epoch 5 (3.000)" in report["overfit"].message


@pytest.mark.parametrize("loss", ["bce", "focal", "soft_auc"])
def test_a_loss_of_each_class_diverges_far_below_cross_entropy_s_guess(run, loss):
    knobs = {"loss": loss, "activation": "sigmoid"}
    report = run(line(0.03, 0.6), line(0.03, 0.6), np.full(EPOCHS, 0.3), np.full(EPOCHS, 0.8), knobs=knobs)
    assert report["loss"].status == "fail"
    assert "diverged" in report["loss"].message


def test_the_epoch_that_diverged_counts_from_1(run):
    report = run(np.append(FALLING[:-1], np.nan), FALLING, np.full(EPOCHS, 0.005), np.full(EPOCHS, 0.5))
    assert "in epoch 10:" in report["loss"].message


def test_bad_files_are_counted(run):
    report = run(FALLING, FALLING, line(0.1, 0.4), line(0.5, 0.9))
    BadFiles(Path(report.subject) / "bad_files.jsonl").add("a.ogg", "truncated")
    again = diagnose(report.subject)
    assert "1 of 28100 recordings" in again["files"].message


def test_silence_in_the_data_of_a_run_that_learned_nothing(run, tmp_path):
    report = run(FLAT, FLAT, np.full(EPOCHS, 0.005), np.full(EPOCHS, 0.5))
    files = [tmp_path / f"{i}.wav" for i in range(4)]
    for file in files:
        soundfile.write(file, np.zeros(8000), 8000)
    pd.DataFrame({"path": files}).to_csv(Path(report.subject) / "split.csv", index=False)
    again = diagnose(report.subject)
    assert again["sound"].status == "fail"
    assert "no usable sound" in again["advice"].message


def test_the_columns_of_the_source_are_in_the_commands(run):
    report = run(FALLING, FALLING + 0.2, line(0.01, 0.4), line(0.5, 0.9), columns={"label": "my bird", "fold": "f"})
    assert "birdfast train data/birds --label 'my bird' --fold-column f" in report["advice"].remedy


def test_a_history_alone_is_enough(tmp_path):
    pd.DataFrame({"epoch": [0, 1], "train_loss": [2.0, 1.0], "valid_loss": [2.0, 1.5]}).to_csv(tmp_path / "history.csv")
    report = diagnose(tmp_path)
    assert "chance is unknown" in report["run"].message
    json.dumps(report.to_dict(), allow_nan=False)


def test_what_is_no_run(tmp_path):
    assert not is_run(tmp_path)
    with pytest.raises(BirdfastError, match=r"no history\.csv"):
        diagnose(tmp_path)
    (tmp_path / "history.csv").write_text("epoch,loss\n0,1\n")
    assert is_run(tmp_path)
    with pytest.raises(BirdfastError, match="lacks train_loss, valid_loss"):
        diagnose(tmp_path)
    (tmp_path / "history.csv").write_text("")
    with pytest.raises(BirdfastError, match="cannot be read as csv"):
        diagnose(tmp_path)


@pytest.mark.parametrize(("called", "status"), [(0.0, "ok"), (0.25, "warn")])
def test_birds_that_are_called_in_noise_are_told(run, tmp_path, called, status):
    rows = {
        "noise": ["silence", "hum"],
        "windows": [12, 12],
        "highest": [0.1, 0.9],
        "called": [0.0, called],
        "class": ["a", "b"],
    }
    settled = 1 - 0.5 * np.exp(-np.arange(EPOCHS))
    run(FALLING, FALLING + 0.2, 0.7 * settled, 0.95 * settled)
    pd.DataFrame(rows).to_csv(tmp_path / "my run" / "noise.csv", index=False)
    found = diagnose(tmp_path / "my run")["noise"]
    assert found.status == status and ("25%" in found.message) == (status == "warn")
