"""Folders, csvs and DataFrames become the same Source."""

import os

import pandas as pd
import pytest

from birdfast.audio.listing import get_audio_files
from birdfast.errors import BirdfastError
from birdfast.sources.read import Source, read_folders, read_source

ALWAYS = ["path", "primary_label", "secondary_labels", "author", "start_time", "end_time", "fold", "kind"]


@pytest.fixture
def folders(tmp_path):
    """Two classes of two recordings (empty files will do: nothing is decoded here)."""
    for name in (
        "wren/a.wav",
        "wren/b.ogg",
        "robin/a.wav",
        "robin/deep/c.mp3",
        ".cache/x.wav",
        "wren/.b.wav",
        "stray.wav",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "notes.txt").write_text("a few words\n")
    return tmp_path


def test_folder_per_class(folders):
    source = read_source(folders)
    assert (source.layout, source.classes) == ("folder per class", ["robin", "wren"])
    assert list(source.recordings.columns) == ALWAYS
    assert source.recordings["primary_label"].tolist() == ["robin", "robin", "wren", "wren"]
    assert source.recordings["path"].tolist()[1] == str(folders / "robin/deep/c.mp3")


@pytest.mark.parametrize(
    "made", ["runs/first/recipe.toml", "runs/all/fold0/recipe.toml", "cache/waveform-1/settings.json"]
)
def test_runs_and_caches_of_ours_are_no_classes(folders, made):
    before = read_folders(folders)
    (folders / made).parent.mkdir(parents=True)
    (folders / made).with_name("0.npy").touch()
    (folders / made).write_text("gain = 3")
    assert len(read_folders(folders).classes) == len(before.classes) + 1  # somebody else's
    (folders / made).write_text('"kind": "waveform"' if made.endswith("json") else 'backbone = "resnet18"')
    assert read_folders(folders).classes == before.classes
    assert len(read_folders(folders).recordings) == len(before.recordings)


NOBODYS = [
    "__MACOSX",
    ".ipynb_checkpoints",
    "@eaDir",
    "$RECYCLE.BIN",
    "System Volume Information",
    ".Trash-1000",
    "lost+found",
]


@pytest.mark.parametrize("name", NOBODYS)
def test_folders_that_no_person_made_are_nobody_s_species(folders, name):
    before = read_folders(folders)
    for made in (f"{name}/wren/a.wav", f"{name}/x.wav", f"wren/{name}/a.wav"):
        (folders / made).parent.mkdir(parents=True, exist_ok=True)
        (folders / made).touch()
    after = read_folders(folders)
    assert after.classes == before.classes and after.recordings.equals(before.recordings)
    assert not [file for file in get_audio_files(folders) if name in file.parts]  # what predict goes through


def test_an_empty_class_folder_is_a_class_without_recordings(folders, capsys):
    (folders / "owl").mkdir()
    assert read_folders(folders).classes == ["owl", "robin", "wren"]
    assert "1 classes without a recording: owl" in capsys.readouterr().err


@pytest.mark.parametrize(("keep", "found"), [(1, "only one, 'wren'"), (0, "none")])
def test_too_few_class_folders(tmp_path, keep, found):
    (tmp_path / "wren").mkdir()
    if keep:
        (tmp_path / "wren" / "a.wav").touch()
    with pytest.raises(BirdfastError, match=f"two or more classes; found {found}"):
        read_source(tmp_path)


def test_names_that_are_not_utf_8(folders, capsys):
    try:
        (folders / "wren/a.wav").rename(folders / "wren" / os.fsdecode(b"K\xfcste.wav"))
    except OSError:
        pytest.skip("this file system takes UTF-8 names alone")
    assert len(read_folders(folders).recordings) == 3
    assert "1 files whose names are not UTF-8 are left out" in (said := capsys.readouterr().err) and "K\\xfcste" in said
    (folders / "wren").rename(folders / os.fsdecode(b"\xfcwren"))
    with pytest.raises(BirdfastError, match=r"the name of the folder \\xfcwren is not UTF-8: rename it"):
        read_folders(folders)


def test_csv(folders):
    text = "\ufefffile;label;recordist;fold\nwren/a.wav;25073;Ann;1\nrobin/a.wav;NA;;2\ngone.wav;007;Unknown;2\n"
    (folders / "labels.csv").write_text(text, encoding="utf-8")
    source = read_source(folders / "labels.csv")
    assert (source.layout, source.classes) == ("csv", ["007", "25073", "NA"])
    assert source.recordings["path"].tolist()[0] == str(folders / "wren/a.wav")
    assert source.recordings["author"].isna().tolist() == [False, True, True]
    assert source.recordings["fold"].tolist() == [1, 2, 2]


def test_csv_with_named_columns_and_root(folders, tmp_path_factory):
    csv = tmp_path_factory.mktemp("elsewhere") / "labels.csv"
    csv.write_text("wav,bird,also,from,to\na.wav,wren,\"['robin', 'x']\",00:00:01,00:00:04\nb.ogg,robin,[],2,3.5\n")
    names = {"file": "wav", "label": "bird", "secondary": "also", "start_time": "from", "end_time": "to"}
    source = read_source(csv, audio_root=folders / "wren", **names)
    assert source.recordings["secondary_labels"].tolist() == [("robin",), ()]
    assert source.recordings[["start_time", "end_time"]].values.tolist() == [[1, 4], [2, 3.5]]
    with pytest.raises(BirdfastError, match=r"none of the 2 files named exists.*elsewhere0/a.wav.*audio_root"):
        read_source(csv, **names)


def test_classes_may_be_given(folders):
    table = pd.DataFrame({"path": ["wren/a.wav"], "label": ["wren"]})
    source = read_source(table, audio_root=folders, classes=["wren", "robin", "owl"])
    assert source.classes == ["wren", "robin", "owl"]


def test_dataframe_by_its_index(folders):
    index = pd.MultiIndex.from_tuples(
        [(str(folders / "wren/a.wav"), 0.0, 5.0)], names=["path", "start_time", "end_time"]
    )
    source = read_source(pd.DataFrame({"label": [12]}, index=index))
    assert source.layout == "table"
    assert source.recordings.loc[0, ["primary_label", "start_time", "end_time"]].tolist() == ["12", 0.0, 5.0]


def test_a_filtered_dataframe_gets_a_new_index(folders):
    table = pd.DataFrame({"path": ["wren/a.wav"] * 3, "label": list("abc"), "author": list("xyz")}).iloc[1:]
    recordings = read_source(table, audio_root=folders).recordings
    assert recordings.index.tolist() == [0, 1]
    assert recordings[["primary_label", "author"]].values.tolist() == [["b", "y"], ["c", "z"]]


def test_a_source_is_returned_as_it_is(folders):
    source = read_source(folders)
    assert isinstance(source, Source)
    assert read_source(source) is source


def test_what_cannot_be_read(folders, tmp_path_factory):
    empty = tmp_path_factory.mktemp("empty")
    (empty / "a.csv").touch()
    (empty / "b.csv").write_text("file,label\n")
    (empty / "c.csv").write_text("x,y\n1,2\n")
    for name, message in {
        "a.csv": "cannot be read as csv", "b.csv": "has no rows", "c.csv": "no column for the file.*x, y",
        "nowhere": "looked for",
    }.items():  # fmt: skip
        with pytest.raises(BirdfastError, match=message):
            read_source(empty / name)
    with pytest.raises(BirdfastError, match="one sound file"):
        read_source(folders / "wren/a.wav")
    with pytest.raises(BirdfastError, match="neither a Raven"):
        read_source(folders / "notes.txt")


def test_esc10_reads_itself(shared_data):
    source = read_source(shared_data / "esc10" / "metadata.csv")
    assert (len(source.recordings), len(source.classes)) == (400, 10)
    assert sorted(source.recordings["fold"].unique()) == [1, 2, 3, 4, 5]
    assert source.recordings["author"].notna().all()
    assert read_source(shared_data / "esc10").recordings["primary_label"].nunique() == 10
