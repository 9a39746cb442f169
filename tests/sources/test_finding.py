"""Files are found under the names that other systems, programs and people give them."""

from __future__ import annotations

import os
from pathlib import Path
from unicodedata import normalize

import pandas as pd
import pytest

from birdfast.errors import BirdfastError
from birdfast.sources.finding import find_files
from birdfast.sources.read import read_source

pytestmark = pytest.mark.skipif(os.name == "nt", reason="names that only other systems' files can have")
NFC, NFD = normalize("NFC", "Küste/Bồ câu.wav"), normalize("NFD", "Küste/Bồ câu.wav")

# name: (files that lie there, how a table names one, the file meant; None: none)
NAMES = {
    "as it is": (["sub0/r0.wav"], "sub0/r0.wav", "sub0/r0.wav"),
    "Windows' separators": (["sub0/r0.wav"], r"sub0\r0.wav", "sub0/r0.wav"),
    "a dot before": (["sub0/r0.wav"], r".\sub0\r0.wav", "sub0/r0.wav"),
    "a drive": (["sub0/r0.wav"], r"D:\birds\2024\sub0\r0.wav", "sub0/r0.wav"),
    "a drive, with slashes": (["sub0/r0.wav"], "C:/birds/sub0/r0.wav", "sub0/r0.wav"),
    "a drive and nothing else": (["r0.wav"], r"C:\r0.wav", "r0.wav"),
    "a folder of another machine": (["sub0/r0.wav"], "/home/nobody-here/birds/sub0/r0.wav", "sub0/r0.wav"),
    "the longest end counts": (["r0.wav", "sub0/r0.wav"], r"D:\birds\sub0\r0.wav", "sub0/r0.wav"),
    "a file with a backslash in its name": ([r"sub0\r0.wav", "sub0/r0.wav"], r"sub0\r0.wav", r"sub0\r0.wav"),
    "without its suffix": (["sub0/r0.flac"], "sub0/r0", "sub0/r0.flac"),
    "without its suffix, beside a text": (["sub0/r0.flac", "sub0/r0.txt"], "sub0/r0", "sub0/r0.flac"),
    "a dot in the stem": (["r0.2024.wav"], "r0.2024", "r0.2024.wav"),
    "without its suffix, in a folder of Windows": (["sub0/r0.ogg"], r"D:\sub0\r0", "sub0/r0.ogg"),
    "another case": (["Sub0/R0.WAV"], "sub0/r0.wav", "Sub0/R0.WAV"),
    "the case it has, beside another": (["r0.wav", "R0.wav"], "R0.wav", "R0.wav"),
    "composed, the files are not": ([NFD], NFC, NFD),
    "not composed, the files are": ([NFC], NFD, NFC),
    "Turkish and German": (["STRASSE.wav"], "straße.wav", "STRASSE.wav"),
    "nowhere": (["sub0/r0.wav"], "sub0/r1.wav", None),
    "another suffix is another file": (["sub0/r0.flac"], "sub0/r0.wav", None),
}


def lay(folder: Path, files: list[str]) -> Path:
    for name in files:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


@pytest.mark.parametrize("case", NAMES)
def test_every_way_of_naming_a_file(tmp_path, capsys, case):
    files, name, meant = NAMES[case]
    lay(tmp_path, files)
    (found,) = find_files([name], tmp_path, "labels.csv")
    said = capsys.readouterr().err
    if meant is None:
        assert found == str(tmp_path / name) and not said
    else:
        assert found == str(tmp_path / meant)
        assert said.count("labels.csv: 1 files are named otherwise than they are on the disk") == (name != meant)


@pytest.mark.parametrize(
    ("files", "name"),
    [(["r0.wav", "r0.flac"], "r0"), (["r0.wav", "R0.WAV"], "r0.Wav"), (["Sub/r.wav", "SUB/r.wav"], "sub/r.wav")],
)  # fmt: skip
def test_several_candidates_are_an_error_that_lists_them(tmp_path, files, name):
    lay(tmp_path, files)
    with pytest.raises(BirdfastError, match=r"may be any of 2 files, name the one: ") as caught:
        find_files([name], tmp_path, "labels.csv")
    assert all(str(tmp_path / file) in str(caught.value) for file in files)


def test_names_are_counted_once(tmp_path, capsys):
    lay(tmp_path, ["sub0/r0.wav", "sub0/r1.wav", "r2.wav"])
    find_files([r"sub0\r0.wav", r"sub0\r0.wav", "sub0/r1", "r2.wav"], tmp_path, "labels.csv")
    assert capsys.readouterr().err.count("2 files are named otherwise") == 1


# what is read: (file, text of it), and whether the sound files' folder is named beside it
TABLES = {
    "csv": ("labels.csv", "file,label\nsub0\\r0.wav,wren\nsub1\\r1.wav,robin\n", False),
    "csv of drives, with its root": ("labels.csv", "file,label\nE:\\x\\sub0\\r0.wav,wren\nE:\\x\\sub1\\r1.wav,robin\n", True),
    "Raven's Begin File": (
        "t.txt", "Begin Time (s)\tEnd Time (s)\tBegin File\tSpecies\n0\t1\tsub0\\r0.wav\twren\n0\t1\tsub1\\r1.wav\trobin\n", True
    ),
    "Raven's Begin Path": (
        "t.txt",
        "Begin Time (s)\tEnd Time (s)\tBegin Path\tBegin File\tSpecies\n0\t1\tC:\\d\\sub0\\r0.wav\tr0.wav\twren\n"
        "0\t1\tC:\\d\\sub1\\r1.wav\tr1.wav\trobin\n",
        True,
    ),
    "Raven's Begin Path of a folder": (
        "t.txt",
        "Begin Time (s)\tEnd Time (s)\tBegin Path\tBegin File\tSpecies\n0\t1\tC:\\d\tsub0/r0.wav\twren\n"
        "0\t1\tC:\\d\tsub1/r1.wav\trobin\n",
        True,
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", TABLES)
def test_tables_made_on_windows(tmp_path, case):
    name, text, apart = TABLES[case]
    sounds = lay(tmp_path / "sounds", ["sub0/r0.wav", "sub1/r1.wav"])
    table = (tmp_path if apart else sounds) / name
    table.write_bytes(text.replace("\n", "\r\n").encode("utf-16" if name.endswith("txt") else "utf-8"))
    recordings = read_source(table, audio_root=sounds if apart else None).recordings
    assert recordings["path"].tolist() == [str(sounds / "sub0/r0.wav"), str(sounds / "sub1/r1.wav")]
    assert recordings["primary_label"].tolist() == ["wren", "robin"]


def test_a_dataframe_of_windows_names(tmp_path):
    lay(tmp_path, ["a/1.wav", "b/2.wav"])
    table = pd.DataFrame({"path": [r"a\1.wav", r"b\2"], "label": ["x", "y"]})
    assert read_source(table, audio_root=tmp_path).recordings["path"].tolist() == [
        str(tmp_path / "a/1.wav"),
        str(tmp_path / "b/2.wav"),
    ]
