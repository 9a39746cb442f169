"""Files are whole or absent."""

import pytest

from birdfast.errors import BirdfastError
from birdfast.files.writing import check_place, replacing


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
