"""A submission's form and checks, without a model."""

import numpy as np
import pandas as pd
import pytest

from birdfast.errors import BirdfastError
from birdfast.prediction.submission import (
    asked_classes,
    check_submission,
    check_varied,
    find_soundscapes,
    read_sample,
    submission_rows,
    submission_table,
    submission_year,
)


@pytest.fixture
def sample() -> pd.DataFrame:
    return pd.DataFrame({"row_id": ["x_5", "x_10"], "b": 0.1, "a": 0.1})


@pytest.fixture
def table(sample) -> pd.DataFrame:
    scores = pd.DataFrame({"a": [0.1, 0.2], "b": [0.3, 0.4], "c": [0.5, 0.6]})
    return submission_table(sample["row_id"].tolist(), scores, sample)


def test_the_table_takes_the_samples_order(table, sample):
    assert list(table) == ["row_id", "b", "a"] and table["b"].tolist() == [0.3, 0.4]
    check_submission(table, sample, n_rows=2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.assign(a=[0.1, np.nan]), "NaN"),
        (lambda t: t.assign(row_id="x_5"), "more than once, the first 'x_5'"),
        (lambda t: t.head(1), "has 1 rows, 2 are needed"),
        (lambda t: t[["row_id", "a", "b"]], "another order"),
        (lambda t: t.drop(columns="a"), r"missing \['a'\]"),
        (lambda t: t.assign(z=1.0), r"too many \['z'\]"),
    ],
)
def test_what_kaggle_would_refuse_is_refused(table, sample, change, message):
    with pytest.raises(BirdfastError, match=message):
        check_submission(change(table), sample, n_rows=2)


def test_constant_scores_are_refused_unless_there_is_one_row():
    check_varied(np.array([[0.5, 0.5]]))
    check_varied(np.array([[0.5, 0.5], [0.5, 0.6]]))
    with pytest.raises(BirdfastError, match="same scores for all 3 windows"):
        check_varied(np.full((3, 2), 0.5))


@pytest.mark.parametrize("text", ["", "a,b\n1,2\n", "row_id\nx_5\n", "row_id,a\n", "row_id,a\n,0.1\n"])
def test_a_sample_that_is_none_is_said(tmp_path, text):
    (tmp_path / "sample.csv").write_text(text)
    with pytest.raises(BirdfastError, match=r"sample\.csv"):
        read_sample(tmp_path / "sample.csv")


def test_numeric_labels_and_ids_stay_strings(tmp_path):
    (tmp_path / "sample.csv").write_text("row_id,1491113,25073\n17_5,0.1,0.1\n")
    sample = read_sample(tmp_path / "sample.csv")
    assert sample["row_id"].tolist() == ["17_5"]
    assert asked_classes(sample, ["25073", "1491113", "x"]) == ["1491113", "25073"]


def test_the_year_is_seen_by_the_columns(sample):
    assert submission_year(sample) is None
    assert submission_year(sample[["row_id"]].assign(birds="nocall")) == 2021
    assert submission_year(sample[["row_id"]].assign(target=False)) == 2022


def test_rows_of_an_unreadable_file_are_as_many_as_usual(sample):
    files = ["t/s_1.ogg", "t/s_2.ogg", "t/s_3.ogg"]
    rows = submission_rows(sample, files, {"t/s_1.ogg": 15.0, "t/s_3.ogg": 14.9})
    assert rows["row_id"].tolist() == [f"s_{k}_{end}" for k in (1, 2, 3) for end in (5, 10, 15)]
    assert rows["start_time"].tolist() == [0.0, 5.0, 10.0] * 3


def test_2022_has_a_row_for_each_bird():
    sample = pd.DataFrame({"row_id": ["soundscape_9_akiapo_5", "soundscape_9_aniani_5"], "target": False})
    rows = submission_rows(sample, ["soundscape_4.ogg"], {"soundscape_4.ogg": 10.0})
    assert rows["row_id"].tolist() == [f"soundscape_4_{bird}_{end}" for bird in ("akiapo", "aniani") for end in (5, 10)]


def test_rows_without_a_file_stay(sample, capsys):
    sample = pd.concat([sample, sample.assign(row_id=["gone_5", "x_y"])], ignore_index=True)
    rows = submission_rows(sample, ["x.ogg"], {"x.ogg": 10.0})
    assert rows["row_id"].tolist() == ["x_5", "x_10", "gone_5", "x_y"]
    assert rows["path"].isna().tolist() == [False, False, True, True]
    assert "2 rows of the sample name no window of a file that is there, the first 'gone_5'" in capsys.readouterr().err


@pytest.mark.parametrize("typed", ["test_soundscape", "Test_Soundscapes", "soundscapes"])
def test_a_mistyped_folder_is_no_dry_run(tmp_path, typed):
    (tmp_path / "test_soundscapes").mkdir()
    (tmp_path / "train_soundscapes").mkdir()
    (tmp_path / "train_soundscapes" / "x.ogg").touch()
    with pytest.raises(BirdfastError, match=f"no folder .*{typed}: did you mean {tmp_path}/test_soundscapes"):
        find_soundscapes(tmp_path / typed)


def test_a_missing_folder_is_called_so(tmp_path, capsys):
    """Kaggle's may be missing: the training soundscapes beside it, of nearly its name, are the dry run's."""
    folder = tmp_path / "test_soundscapes"
    with pytest.raises(BirdfastError, match=f"{folder} does not exist, nor are there any in .*train_soundscapes and"):
        find_soundscapes(folder)
    for name in ("train_soundscapes", "train_audio"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.ogg").touch()
    assert find_soundscapes(folder) == [tmp_path / "train_soundscapes" / "x.ogg"]
    assert f"DRY RUN: {folder} does not exist: check the path. These" in capsys.readouterr().err
    folder.mkdir()
    find_soundscapes(folder)
    assert "holds no recordings, as on Kaggle" in capsys.readouterr().err


def test_a_sample_of_some_files_says_so(sample, capsys):
    rows = submission_rows(sample, ["x.ogg", "y.ogg"], {"x.ogg": 10.0, "y.ogg": 10.0})
    assert rows["row_id"].tolist() == ["x_5", "x_10"]
    assert "asks for 1 of the 2 files" in capsys.readouterr().err
