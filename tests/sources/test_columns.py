"""Any table's columns become the recordings table's, with exact types."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from birdfast.errors import BirdfastError
from birdfast.sources.columns import Columns, find_columns, rename, secondary, seconds, tidy


def tidied(**columns) -> pd.DataFrame:
    return tidy(pd.DataFrame(columns), root=Path("/data"), where="labels.csv")


def test_common_names_are_found():
    there = ["Filename", "category", "Recordist", "start", "end", "fold", "licence"]
    assert find_columns(Columns(), there, "x.csv") == {
        "path": "Filename", "primary_label": "category", "author": "Recordist", "fold": "fold",
        "start_time": "start", "end_time": "end",
    }  # fmt: skip


def test_named_columns_win():
    table = pd.DataFrame({"path": ["x"], "wav": ["a.wav"], "label": ["no"], "bird": ["wren"]})
    renamed = rename(table, find_columns(Columns(file="wav", label="bird"), list(table), "x.csv"))
    assert renamed.loc[0, ["path", "primary_label", "label"]].tolist() == ["a.wav", "wren", "no"]


def test_a_column_is_left_out():
    table = pd.DataFrame({"file": ["a.wav"], "label": ["wren"], "fold": [1], "author": ["Ann"]})
    found = find_columns(Columns(fold="none"), list(table), "x.csv")
    recordings = tidy(rename(table, found), root=Path("/data"), where="x.csv")
    assert recordings["fold"].isna().all() and recordings["author"].tolist() == ["Ann"]
    with pytest.raises(BirdfastError, match="column of x.csv given as label"):
        find_columns(Columns(label="none"), list(table), "x.csv")


def test_missing_columns_say_what_there_is():
    with pytest.raises(BirdfastError, match=r"x.csv has no column for the label: name it with label=.*wav, bird"):
        find_columns(Columns(file="wav"), ["wav", "bird"], "x.csv")
    with pytest.raises(BirdfastError, match="did you mean 'bird'"):
        find_columns(Columns(file="wav", label="brid"), ["wav", "bird"], "x.csv")


def test_types():
    t = tidied(path=["a.wav", "/b.wav"], primary_label=[1491113, 25073], rating=[0, 4.5])
    assert t["path"].tolist() == ["/data/a.wav", "/b.wav"]
    assert t["primary_label"].tolist() == ["1491113", "25073"]
    assert t["secondary_labels"].tolist() == [(), ()]
    assert t["author"].isna().all() and t["fold"].isna().all() and t["start_time"].isna().all()
    assert t["fold"].dtype == "Int64" and t["end_time"].dtype == np.float64
    assert np.isnan(t["rating"][0]) and t["rating"][1] == 4.5


def test_unknown_authors():
    t = tidied(path=["a"] * 5, primary_label=["x"] * 5, author=["Ann", "", "Unknown", "anonymous ", None])
    assert t["author"].isna().tolist() == [False, True, True, True, True]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("[]", ()),
        ("['']", ()),
        ("", ()),
        (float("nan"), ()),
        (None, ()),
        ("['b', 'a', 'b']", ("b", "a")),
        ("[25073, 'x']", ("25073", "x")),
        ("a b", ("a", "b")),
        ("a;b", ("a", "b")),
        (["a", ""], ("a",)),
        (np.array(["a"]), ("a",)),
    ],
)
def test_secondary_labels(value, expected):
    assert secondary(value) == expected


def test_a_broken_list_is_an_error():
    with pytest.raises(BirdfastError, match="not a list"):
        secondary("['a'")


@pytest.mark.parametrize(("value", "expected"), [("00:01:05", 65), ("1:05.5", 65.5), (7, 7), ("7.5", 7.5)])
def test_seconds(value, expected):
    assert seconds(value, "x.csv") == expected


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"primary_label": ["x", ""]}, "1 rows have no label .first: b.wav"),
        ({"fold": [1, "train"]}, "fold must be a whole number, not 'train'"),
        ({"start_time": [0, 5], "end_time": [5, 5]}, "b.wav goes from 5 to 5 s"),
        ({"start_time": ["soon", 5]}, "'soon' is not a time"),
        ({"path": ["a.wav", None]}, "without a file"),
    ],
)
def test_wrong_values_are_named(columns, message):
    with pytest.raises(BirdfastError, match=f"labels.csv.*{message}"):
        tidied(**({"path": ["a.wav", "b.wav"], "primary_label": ["x", "y"]} | columns))
