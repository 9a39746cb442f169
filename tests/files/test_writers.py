"""Files are whole or absent."""

import pandas as pd
import pytest

from birdfast.errors import BirdfastError
from birdfast.files.writing import check_place, replacing, write_csv


def test_csv_holds_the_index_as_columns(tmp_path):
    index = pd.MultiIndex.from_tuples([("a,b.wav", 0.0, 5.0)], names=["path", "start_time", "end_time"])
    table = pd.DataFrame({"1491113": [0.25]}, index=index)
    path = write_csv(table, tmp_path / "new" / "scores.csv")
    assert path.read_text() == 'path,start_time,end_time,1491113\n"a,b.wav",0.0,5.0,0.25\n'
    pd.testing.assert_frame_equal(pd.read_csv(path, index_col=[0, 1, 2]), table)


def test_a_failure_leaves_the_old_file_and_no_rest(tmp_path):
    path = tmp_path / "scores.csv"
    path.write_text("old")
    with pytest.raises(RuntimeError, match="stop"), replacing(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError("stop")
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_where_no_file_can_be_put_is_said(tmp_path, monkeypatch):
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "file").touch()
    for place, reason in {
        "folder.csv": "is a folder: give",
        "file/new/x.csv": "cannot be written, .*file is a file",
    }.items():
        with pytest.raises(BirdfastError, match=reason):
            check_place(tmp_path / place)
    for place in (tmp_path / "new" / "x.csv", tmp_path / "file", "s3://bucket/x.csv"):
        check_place(place)
    monkeypatch.setattr("os.access", lambda *_: False)
    with pytest.raises(BirdfastError, match="is read-only"):
        check_place(tmp_path / "new" / "x.csv")
