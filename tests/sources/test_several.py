"""Wide tables, cells with several species, several rows for one window: each row's labels are all of them, and no more."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from birdfast.errors import BirdfastError
from birdfast.sources.labels import check_labels, present_targets
from birdfast.sources.no_call import with_no_call
from birdfast.sources.read import read_source

NAN = float("nan")


@pytest.fixture
def folder(tmp_path):
    for name in ("a.wav", "b.wav", "c.wav"):
        (tmp_path / name).touch()
    return tmp_path


def csv(folder, text):
    (folder / "labels.csv").write_text(text)
    return read_source(folder / "labels.csv")


def all_targets(source) -> list[list[float]]:
    """Of each row, by the columns that Source promises."""
    index = {name: i for i, name in enumerate(source.classes)}
    rows = source.recordings.to_dict("records")
    return [
        present_targets(row["present"], row.get("unknown", ()), index, n_classes=len(index)).tolist() for row in rows
    ]


def test_a_table_with_a_column_a_class(folder, capsys):
    """OpenSoundscape's form. Empty is unknown; no 1 is a window without a call."""
    source = csv(
        folder,
        "file,start_time,end_time,wren,robin,owl\na.wav,0,5,1,1,0\na.wav,5,10,0,0,0\nb.wav,0,5,,0,1\nb.wav,5,10,0,,0\n",
    )
    assert source.classes == ["wren", "robin", "owl"]  # the table's order
    assert source.recordings["present"].tolist() == [("wren", "robin"), (), ("owl",), ()]
    assert source.recordings["unknown"].tolist() == [(), (), ("wren",), ("robin",)]
    assert source.recordings["primary_label"].tolist() == ["wren", "", "owl", ""]
    assert source.recordings["end_time"].tolist() == [5, 10, 5, 10]
    np.testing.assert_array_equal(all_targets(source), [[1, 1, 0], [0, 0, 0], [NAN, 0, 1], [0, NAN, 0]])
    assert source.is_multi
    check_labels(source.recordings, source.classes)
    assert "labels.csv has a column a class: 3 classes, wren, robin, owl" in capsys.readouterr().err


def test_rows_without_a_call_train_as_nocall_where_that_is_asked_for(folder):
    source = csv(folder, "file,wren,robin\na.wav,1,0\nb.wav,0,0\nc.wav,,0\n")
    made = with_no_call(source)
    assert made.recordings["primary_label"].tolist() == ["wren", "nocall", ""]  # of the last the wren is unknown
    assert made.recordings["present"].tolist() == [("wren",), ("nocall",), ()]
    assert made.classes == ["wren", "robin", "nocall"]


@pytest.mark.parametrize("form", ["true and false", "index", "semicolons", "whole files", "beside other columns"])
def test_forms_of_wide_tables(folder, form):
    table = pd.DataFrame({"file": ["a.wav", "b.wav"], "start_time": [0.0, 5.0], "end_time": [5.0, 10.0],
                          "wren": [1, 0], "007": [1, 1]})  # fmt: skip
    if form == "true and false":
        table = table.astype({"wren": bool, "007": bool})
    if form == "whole files":
        table = table.drop(columns=["start_time", "end_time"])
    if form == "beside other columns":
        table = table.assign(author=["Ann", "Bob"], comment=["loud", ""], rating=[4, 5], fold=[0, 1])
    if form == "index":
        source = read_source(table.set_index(["file", "start_time", "end_time"]), audio_root=folder)
    else:
        table.to_csv(folder / "labels.csv", index=False, sep=";" if form == "semicolons" else ",")
        source = read_source(folder / "labels.csv")
    assert source.classes == ["wren", "007"]
    assert source.recordings["present"].tolist() == [("wren", "007"), ("007",)]
    if form == "beside other columns":
        assert source.recordings[["author", "rating", "fold"]].values.tolist() == [["Ann", 4, 0], ["Bob", 5, 1]]


def test_probabilities_count_from_a_half(folder, capsys):
    """The form that `birdfast predict` writes."""
    source = csv(folder, "path,start_time,end_time,wren,robin\na.wav,0.0,5.0,0.91,0.5\nb.wav,0.0,5.0,0.2,0.49\n")
    assert source.recordings["present"].tolist() == [("wren", "robin"), ()]
    assert "0.5 or more counts as heard" in capsys.readouterr().err


def test_a_table_that_is_not_wide_still_lacks_a_label(folder):
    with pytest.raises(BirdfastError, match="labels.csv has no column for the label"):
        csv(folder, "file,bird,rating\na.wav,wren,4\nb.wav,robin,5\n")
    with pytest.raises(BirdfastError, match="labels.csv has no column for the label"):
        csv(folder, "file,wren\na.wav,1\nb.wav,0\n")


def test_several_rows_for_one_window_are_one(folder, capsys):
    source = csv(
        folder,
        "file,start_time,end_time,label,fold\na.wav,0,5,wren,1\na.wav,0,5,robin,1\na.wav,5,10,wren,1\nb.wav,0,5,owl,2\nb.wav,0,5,owl,2\n",
    )
    recordings = source.recordings
    assert recordings["primary_label"].tolist() == ["wren", "wren", "owl", "owl"]
    assert recordings["secondary_labels"].tolist() == [("robin",), (), (), ()]
    assert (
        recordings["present"].tolist()[0] == ("wren", "robin")
        and recordings["present"].isna().tolist()[1:] == [True] * 3
    )
    assert recordings["fold"].tolist() == [1, 1, 2, 2] and source.classes == ["owl", "robin", "wren"]
    assert "2 rows name several species for 1 windows: their labels are joined" in capsys.readouterr().err


# what a cell holds: the species in it
CELLS = {
    "wren,robin": ("wren", "robin"),
    "wren;robin": ("wren", "robin"),
    "wren; robin": ("wren", "robin"),
    "wren robin": ("wren", "robin"),
    "wren|robin": ("wren", "robin"),
    "wren + robin": ("wren", "robin"),
    '["wren","robin"]': ("wren", "robin"),
    "['wren', 'robin']": ("wren", "robin"),
    "[wren, robin]": ("wren", "robin"),
    '["wren","gull"]': ("wren", "gull"),  # a list is one, whatever it names
    "['wren']": ("wren",),
    "wren,wren": ("wren",),
    "Turdus merula": ("Turdus merula",),
    "wren tit": ("wren tit",),
    "Owl, Barn": ("Owl, Barn",),
    "Mew/Short-billed Gull": ("Mew/Short-billed Gull",),
}


@pytest.mark.parametrize("cell", CELLS)
def test_a_cell_with_several_species(folder, cell):
    table = pd.DataFrame({"file": ["a.wav", "b.wav", "c.wav"], "label": [cell, "wren", "robin"]})
    for source in (read_source(table, audio_root=folder), csv(folder, table.to_csv(index=False))):
        row = source.recordings.iloc[0]
        assert (row["primary_label"], *row["secondary_labels"]) == CELLS[cell]
        assert source.classes == sorted({*CELLS[cell], "wren", "robin"})
        assert source.is_multi == (len(CELLS[cell]) > 1)
        if source.is_multi:
            assert row["present"] == CELLS[cell] and source.recordings["present"].isna().tolist() == [False, True, True]


def test_a_cell_of_which_a_part_is_no_label_is_asked_about(folder):
    with pytest.raises(BirdfastError, match=r"is 'wren,gull' \(of .*a.wav\) one species or several\? .*'gull' is none"):
        csv(folder, 'file,label\na.wav,"wren,gull"\nb.wav,wren\nc.wav,robin\n')


def test_a_class_list_settles_what_a_cell_is(folder):
    table = pd.DataFrame({"file": ["a.wav", "b.wav"], "label": ["wren,gull", "wren"]})
    source = read_source(table, audio_root=folder, classes=["wren", "gull"])
    assert source.recordings["present"].tolist()[0] == ("wren", "gull")
    source = read_source(table, audio_root=folder, classes=["wren", "wren,gull"])
    assert source.recordings["primary_label"].tolist() == ["wren,gull", "wren"]
