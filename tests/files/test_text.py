"""Text is read as its program saved it; a guess is told."""

from __future__ import annotations

import pytest

from birdfast.errors import BirdfastError
from birdfast.files.text import read_csv, read_head, read_text

TEXT = "file,label\nKüste/Æsop.wav,Zaunkönig\nNiño.wav,naïve Gänse\n"
MIDDLE = "file,label\nłąka.wav,Żuraw zwyczajny\nb.wav,Mewa śmieszka\nc.wav,dzięcioł\n"  # Polish
# name: (text, how it is saved, as what it is said to be read: "" for nothing said)
SAVED = {
    "UTF-8": (TEXT, lambda text: text.encode(), ""),
    "UTF-8 with its mark": (TEXT, lambda text: text.encode("utf-8-sig"), ""),
    "UTF-16, as Excel's and Raven's": (TEXT, lambda text: text.encode("utf-16"), ""),
    "UTF-16, big end first": (TEXT, lambda text: b"\xfe\xff" + text.encode("utf-16-be"), ""),
    "UTF-16 without a mark": (TEXT, lambda text: text.encode("utf-16-le"), ""),
    "UTF-16 without a mark, big end first": (TEXT, lambda text: text.encode("utf-16-be"), ""),
    "UTF-32": (TEXT, lambda text: text.encode("utf-32"), ""),
    "Windows, west": (TEXT, lambda text: text.encode("cp1252"), "cp1252"),
    "Windows, middle of Europe": (MIDDLE, lambda text: text.encode("cp1250"), "cp1250"),
    "an old Mac": (TEXT, lambda text: text.encode("mac_roman"), "mac_roman"),
    "DOS": (TEXT, lambda text: text.encode("cp850"), "cp850"),
    "lines of Windows": (TEXT, lambda text: text.replace("\n", "\r\n").encode("utf-16"), ""),
}


@pytest.mark.parametrize("case", SAVED)
def test_every_encoding(tmp_path, capsys, case):
    text, save, guessed = SAVED[case]
    (tmp_path / "a.csv").write_bytes(save(text))
    assert read_text(tmp_path / "a.csv") == text
    table = read_csv(tmp_path / "a.csv")
    assert [",".join(row) for row in [list(table.columns), *table.values.tolist()]] == text.splitlines()
    assert read_head(tmp_path / "a.csv").startswith("file,label\n")
    said = capsys.readouterr().err
    assert said.count("a.csv is not UTF-8, and read as ") == bool(guessed) and guessed in said


def test_what_is_no_table_is_said(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"")
    with pytest.raises(BirdfastError, match="a.csv cannot be read as csv"):
        read_csv(tmp_path / "a.csv")
    (tmp_path / "a.csv").write_text("a,b\n1,2,3,4\n5,6,7,8,9\n")
    with pytest.raises(BirdfastError, match="a.csv cannot be read as csv.*: take it anew"):
        read_csv(tmp_path / "a.csv", remedy="take it anew")
