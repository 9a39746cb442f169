"""Soundscape labels and row_ids of every year."""

from pathlib import Path

import pandas as pd
import pytest

from birdfast.errors import BirdfastError
from birdfast.sources.birdclef import make_row_ids, parse_row_ids, read_soundscape_labels


def rows(table: pd.DataFrame) -> list[tuple]:
    return [(Path(r.path).name, r.start_time, r.end_time, r.labels) for r in table.itertuples()]


def test_labels_of_2021(tmp_path):
    (tmp_path / "3575_COR_20190904.ogg").touch()
    (tmp_path / "357_COR_20190904.ogg").touch()
    csv = tmp_path / "train_soundscape_labels.csv"
    csv.write_text(
        "row_id,site,audio_id,seconds,birds\n3575_COR_5,COR,3575,5,nocall\n3575_COR_10,COR,3575,10,wren robin\n"
        "99_SSW_5,SSW,99,5,owl\n"
    )
    assert rows(read_soundscape_labels(csv, tmp_path)) == [
        ("3575_COR_20190904.ogg", 0, 5, ()),
        ("3575_COR_20190904.ogg", 5, 10, ("wren", "robin")),
        ("99_SSW.ogg", 0, 5, ("owl",)),  # no such file: training and doctor report it
    ]


def test_labels_of_2026(tmp_path):
    csv = tmp_path / "train_soundscapes_labels.csv"
    line = "BC2026_Train_0001_S05_20250227_010002.ogg,"
    body = f"{line}00:00:05,00:00:10,1491113; wren\n{line}00:00:00,00:00:05,wren\n{line}00:01:05,00:01:10,\n"
    csv.write_text("filename,start,end,primary_label\n" + body + body + f"{line}00:00:00,00:00:05,47158son01;\n")
    name = line[:-1]
    assert rows(read_soundscape_labels(csv, tmp_path)) == [
        (name, 0, 5, ("wren", "47158son01")),
        (name, 5, 10, ("1491113", "wren")),
        (name, 65, 70, ()),
    ]


def test_other_columns_are_an_error(tmp_path):
    (tmp_path / "a.csv").write_text("file,label\nx,y\n")
    with pytest.raises(BirdfastError, match=r"has not the columns of soundscape labels.*file, label"):
        read_soundscape_labels(tmp_path / "a.csv", tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        "filename,start,end,primary_label\na.ogg,0,5,wren\na_b.ogg,00:00:05,,wren\n",
        "filename,start,end,primary_label\na.ogg,0,5,wren\na_b.ogg,,00:00:05,wren\n",
        "row_id,site,audio_id,seconds,birds\na_b_5,b,a,5,wren\na_b_10,b,a,,wren\n",
    ],
)
def test_a_row_without_its_time_is_an_error(tmp_path, text):
    (tmp_path / "labels.csv").write_text(text)
    with pytest.raises(BirdfastError, match=r"labels.csv: row 2 \(a_b.ogg\) lacks its start or end: fill it in"):
        read_soundscape_labels(tmp_path / "labels.csv", tmp_path)
    (tmp_path / "labels.csv").write_text(text.replace(",,", ",soon,"))
    with pytest.raises(BirdfastError, match="labels.csv: 'soon' is not a time"):
        read_soundscape_labels(tmp_path / "labels.csv", tmp_path)


@pytest.mark.parametrize(
    ("year", "name", "species", "row_id"),
    [
        (2021, "3575_COR_20190904.ogg", None, "3575_COR_15"),
        (2022, "soundscape_453028782.ogg", "maupar", "soundscape_453028782_maupar_15"),
        (2023, "soundscape_29201.ogg", None, "soundscape_29201_15"),
        (2024, "1446779.ogg", None, "1446779_15"),
        (2025, "soundscape_8358733.ogg", None, "soundscape_8358733_15"),
        (2026, "BC2026_Test_0001_S05_20250227_010002.ogg", None, "BC2026_Test_0001_S05_20250227_010002_15"),
    ],
)
def test_row_ids_go_there_and_back(year, name, species, row_id):
    assert make_row_ids(f"/test/{name}", [15.0], year=year, species=species) == [row_id]
    for told in (year, None):
        table = parse_row_ids([row_id], [f"/test/{name}", "/test/357_COR_20190904.ogg"], told)
        assert table.loc[0, ["row_id", "path", "end_time"]].tolist() == [row_id, f"/test/{name}", 15.0]
        assert table.get("primary_label", pd.Series([None]))[0] == species


def test_row_ids_that_fit_no_file():
    with pytest.raises(BirdfastError, match=r"'soundscape_1_5'; the first of 1 is soundscape_2"):
        parse_row_ids(["soundscape_1_5"], ["soundscape_2.ogg"])
    with pytest.raises(BirdfastError, match="there are none"):
        parse_row_ids(["soundscape_1_5"], [])
    with pytest.raises(BirdfastError, match="does not end in"):
        parse_row_ids(["soundscape_1_x"], ["soundscape_1.ogg"])
    with pytest.raises(BirdfastError, match="give species"):
        make_row_ids("soundscape_1.ogg", [5], year=2022)


def test_rows_of_which_some_fit_no_file():
    ids = ["soundscape_9_5", "soundscape_1_5", "soundscape_1_x"]
    table = parse_row_ids(ids, ["soundscape_1.ogg"], some=True)
    assert table["row_id"].tolist() == ids and table["path"].isna().tolist() == [True, False, True]
    assert table["end_time"].isna().tolist() == [True, False, True]
    with pytest.raises(BirdfastError, match="'soundscape_9_5'"):
        parse_row_ids(ids[::2], ["soundscape_1.ogg"], some=True)
