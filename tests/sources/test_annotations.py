"""Raven selection tables and Audacity labels."""

import os
import re
from io import StringIO
from pathlib import Path

import pandas as pd
import pytest

from birdfast.errors import BirdfastError
from birdfast.prediction.outputs.combined import raven_combined_text
from birdfast.sources.annotations import read_audacity, read_raven
from birdfast.sources.read import read_source

RAVEN = """Selection\tView\tChannel\tBegin Time (s)\tEnd Time (s)\tLow Freq (Hz)\tHigh Freq (Hz)\tSpecies
1\tWaveform 1\t1\t0.5\t2.0\t0\t16000\twren
1\tSpectrogram 1\t1\t0.5\t2.0\t800\t9000\twren
2\tSpectrogram 1\t1\t3.0\t4.5\t800\t9000\trobin
3\tSpectrogram 1\t1\t5.0\t5.5\t800\t9000\t
"""
AUDACITY = "1.5\t3.0\twren\n\\\t1000.0\t5000.0\n4.0\t4.0\tpoint\n6.25\t7.5\t25073\n"


@pytest.fixture
def folder(tmp_path):
    for name in ("day1.wav", "day2.FLAC"):
        (tmp_path / name).touch()
    (tmp_path / "README.txt").write_text("Recorded in spring.\n")
    return tmp_path


def test_raven(folder, capsys):
    (folder / "day1.Table.1.selections.txt").write_text(RAVEN)
    source = read_source(folder)
    assert (source.layout, source.classes) == ("Raven", ["robin", "wren"])
    assert source.recordings["path"].tolist() == [str(folder / "day1.wav")] * 2
    assert source.recordings[["start_time", "end_time"]].values.tolist() == [[0.5, 2.0], [3.0, 4.5]]
    assert "1 of 3 annotations have no label" in capsys.readouterr().err


@pytest.mark.parametrize("text", [RAVEN, AUDACITY])
def test_label_files_of_other_countries(folder, text):
    file = folder / "day1.txt"
    file.write_text(text)
    known = read_source(file).recordings
    file.write_text(re.sub(r"(\d)\.(\d)", r"\1,\2", text))
    assert read_source(file).recordings.equals(known)
    file.write_bytes(text.replace("wren", "Mönch").encode("latin-1"))
    assert "Mönch" in read_source(file).classes


def test_raven_times_that_are_none(folder):
    (folder / "day1.txt").write_text(RAVEN.replace("4.5", "late"))
    with pytest.raises(BirdfastError, match=r"day1.txt: End Time \(s\) must be a number of seconds, not 'late'"):
        read_source(folder / "day1.txt")


def test_raven_with_another_label_column(folder):
    (folder / "day1.txt").write_text(RAVEN.replace("Species", "Who"))
    with pytest.raises(BirdfastError, match=r"name it with label=.*Who"):
        read_source(folder / "day1.txt")
    assert len(read_source(folder / "day1.txt", label="Who").recordings) == 2
    with pytest.raises(BirdfastError, match="holds annotations, of which label may be named: leave out author='By'"):
        read_source(folder / "day1.txt", label="Who", author="By")
    with pytest.raises(BirdfastError, match="did you mean 'Who'"):
        read_raven(folder / "day1.txt", label="Whom")


def test_raven_over_several_files(folder):
    rows = [
        "Begin Time (s)\tEnd Time (s)\tBegin File\tFile Offset (s)\tAnnotation",
        "1\t2\tday1.wav\t1\twren",
        "61\t63.5\tday2.FLAC\t1\trobin",
    ]
    (folder / "all.txt").write_text("\n".join(rows))
    t = read_raven(folder / "all.txt").recordings
    assert t["path"].tolist() == [str(folder / "day1.wav"), str(folder / "day2.FLAC")]
    assert t[["start_time", "end_time"]].values.tolist() == [[1, 2], [1, 3.5]]


def test_audacity(folder, tmp_path_factory):
    labels = tmp_path_factory.mktemp("labels")
    (labels / "day2.txt").write_text(AUDACITY)
    source = read_source(labels, audio_root=folder)
    assert (source.layout, source.classes) == ("Audacity", ["25073", "wren"])
    assert source.recordings["path"].tolist() == [str(folder / "day2.FLAC")] * 2
    assert source.recordings[["start_time", "end_time"]].values.tolist() == [[1.5, 3.0], [6.25, 7.5]]
    with pytest.raises(BirdfastError, match=r"none of the 2 files.*day2.wav.*audio_root"):
        read_audacity(labels)


def test_a_folder_without_label_files(folder):
    with pytest.raises(BirdfastError, match="no Raven or Audacity label files"):
        read_raven(folder)


def test_only_unlabelled_annotations(folder):
    (folder / "day1.txt").write_text("1.0\t2.0\t\n")
    with pytest.raises(BirdfastError, match="no annotation with a label"):
        read_audacity(folder)


def test_a_raven_table_of_a_sequence_of_files_comes_back(tmp_path):
    """Times go on from file to file; each annotation comes back to the file and the time that it is of."""
    paths = [str(tmp_path / name) for name in ("night/b.wav", "night/a.wav", "day/a.wav")]
    for path in paths:
        Path(path).parent.mkdir(exist_ok=True)
        Path(path).touch()
    events = pd.DataFrame(
        {"path": [paths[2], paths[0], paths[0]], "start_time": [1.0, 0.0, 55.0], "end_time": [3.5, 5.0, 60.0],
         "label": ["robin", "wren", "robin"], "probability": [0.5, 0.9, 0.75]}
    )  # fmt: skip
    durations = dict(zip(paths, [60.0, 30.0, 10.0], strict=True))
    names = {path: os.path.relpath(path, tmp_path).replace("/", "\\") for path in paths}
    text = raven_combined_text(events, durations, (50, 15_000), names)
    table = pd.read_csv(StringIO(text), sep="\t")
    assert table["Begin Time (s)"].tolist() == [0.0, 55.0, 91.0]  # in the order of the files
    assert table["End Time (s)"].tolist() == [5.0, 60.0, 93.5]
    assert table["File Offset (s)"].tolist() == [0.0, 55.0, 1.0]
    assert table["Begin File"].tolist() == ["b.wav", "b.wav", "a.wav"]
    assert table["Begin Path"].tolist() == ["night\\b.wav", "night\\b.wav", "day\\a.wav"]
    (tmp_path / "all.txt").write_text(text)
    back = read_source(tmp_path / "all.txt").recordings
    keys = ["path", "start_time", "end_time"]
    assert back[keys].values.tolist() == events.iloc[[1, 2, 0]][keys].values.tolist()
    assert back["primary_label"].tolist() == ["wren", "robin", "robin"]


def test_a_raven_table_in_utf_16_is_found_in_its_folder(folder):
    (folder / "day1.txt").write_bytes(RAVEN.encode("utf-16"))
    assert read_source(folder).layout == "Raven"


def test_an_annotation_of_several_species_is_one_each(folder):
    (folder / "day1.txt").write_text(RAVEN.replace("wren", "wren;robin"))
    with pytest.raises(BirdfastError, match="is 'wren;robin' .* one species or several"):  # nobody else says wren
        read_source(folder / "day1.txt")
    (folder / "day1.txt").write_text(RAVEN.replace("wren", "[wren, robin]"))
    recordings = read_source(folder / "day1.txt").recordings
    assert recordings["primary_label"].tolist() == ["wren", "robin", "robin"]
