"""The leak report finds what is shared, and nothing else."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
import soundfile

from birdfast.audio.read import read_headers
from birdfast.sources.read import read_source
from birdfast.splits.folds import leak_report, split
from birdfast.splits.leaks import recording_ids


@pytest.fixture
def four(tmp_path) -> pd.DataFrame:
    """Two species, two recordings each, all different."""
    rng = np.random.default_rng(0)
    paths = [tmp_path / f"{i}.wav" for i in range(4)]
    for path in paths:
        soundfile.write(path, rng.normal(0, 0.1, 8000), 8000)
    return pd.DataFrame(
        {
            "path": [str(path) for path in paths],
            "primary_label": ["a", "a", "b", "b"],
            "author": pd.array(["v", "w", "x", "y"], dtype="string"),
        }
    )


IS_VALID = np.array([True, False, True, False])


def test_a_clean_split(four):
    report = leak_report(four, IS_VALID, audio=True)
    assert report.ok
    assert report.line() == "the split does not leak"


def test_shared_recordings(four):
    four.loc[1, "path"] = four.loc[0, "path"]
    report = leak_report(four, IS_VALID)
    assert not report.ok
    assert report.shared_recordings["recording"].tolist() == [four.loc[0, "path"]]
    assert "1 recording on both sides" in report.line()


def test_the_same_number_in_two_folders_is_shared():
    paths = ["/a/XC12.ogg", "/b/XC12.ogg"]
    table = pd.DataFrame({"path": paths, "primary_label": ["a", "b"], "author": [pd.NA, pd.NA]})
    report = leak_report(table, np.array([True, False]))
    assert report.shared_recordings["recording"].tolist() == ["XC12"]
    assert "2 recordings by unknown recordists" in report.line()


def test_no_leak_is_claimed_where_no_recordist_is_known(four):
    for table in (four.assign(author=pd.NA), four.drop(columns="author")):
        report = leak_report(table, IS_VALID)
        assert not report.known and not report.ok
        assert report.line() == "whether the split leaks cannot be told: no recordist is known"
        assert report.to_dict()["known"] is False


def test_what_is_shared_is_said_though_no_recordist_is_known(four):
    four.loc[1, "path"] = four.loc[0, "path"]
    assert "the split leaks: 1 recording on both sides" in leak_report(four.assign(author=pd.NA), IS_VALID).line()


def test_a_column_to_group_by_stands_in_for_recordists(four):
    table = four.assign(author=pd.NA, site=["p", "q", "r", "s"])
    assert leak_report(table, IS_VALID, group="site").ok
    assert not leak_report(table.assign(site=pd.NA), IS_VALID, group="site").known


def test_clips_of_one_source_by_the_names_of_esc():
    names = ["1-100032-A.ogg", "1-100032-B.ogg", "1-137-A-32.wav", "1-12-A.wav", "x-100032-A.ogg"]
    ids = recording_ids(pd.Series([f"/esc/dog/{name}" for name in names]))
    assert ids.tolist()[:3] == ["freesound 100032", "freesound 100032", "freesound 137"]
    assert ids.tolist()[3:] == ["/esc/dog/1-12-A.wav", "/esc/dog/x-100032-A.ogg"]


def test_no_source_of_esc10_is_on_both_sides(shared_data):
    recordings = read_source(shared_data / "esc10").recordings
    sources = recordings["path"].str.extract(r"-(\d+)-", expand=False)
    is_valid = split(recordings)
    assert not set(sources[is_valid]) & set(sources[~is_valid])
    assert not leak_report(recordings, is_valid).known


def test_printed_it_reads_as_the_line_and_what_is_shared(four):
    assert str(leak_report(four, IS_VALID)) == "the split does not leak"
    four.loc[3, "author"] = "v"
    text = str(leak_report(four, IS_VALID))
    assert text.startswith("the split leaks: 1 recordist on both sides\nshared authors (1):\n")
    assert "LeakReport(" not in text


def test_shared_recordists(four):
    four.loc[3, "author"] = "v"
    report = leak_report(four, IS_VALID)
    assert not report.ok
    assert report.shared_authors["author"].tolist() == ["v"]
    assert "1 recordist on both sides" in report.line()


def test_a_recordist_shared_by_a_class_without_validation_is_harmless(four):
    four.loc[3, ["author", "primary_label"]] = ["v", "rare"]
    report = leak_report(four, IS_VALID)
    assert report.ok
    assert report.shared_authors["harmless"].tolist() == [True]
    assert "too rare to hold out" in report.line()


def test_identical_files_and_the_same_sound(four, tmp_path):
    shutil.copy(four.loc[0, "path"], four.loc[1, "path"])
    sound, rate = soundfile.read(four.loc[2, "path"], dtype="int16")
    four.loc[3, "path"] = str(tmp_path / "copy.flac")
    soundfile.write(tmp_path / "copy.flac", sound, rate)
    quick, full = leak_report(four, IS_VALID), leak_report(four, IS_VALID, audio=True)
    assert quick.identical_files.values.tolist() == [[four.loc[1, "path"], four.loc[0, "path"]]]
    assert quick.same_audio is None
    assert full.same_audio.values.tolist() == [[four.loc[3, "path"], four.loc[2, "path"]]]
    assert "1 pair of identical files, 1 pair of the same sound" in full.line()


def test_headers_that_were_read_are_not_read_again(four, tmp_path, monkeypatch):
    sound, rate = soundfile.read(four.loc[2, "path"], dtype="int16")
    four.loc[3, "path"] = str(tmp_path / "copy.flac")
    soundfile.write(tmp_path / "copy.flac", sound, rate)
    known = four.assign(**read_headers(four["path"])[["sample_rate", "channels", "duration"]])
    monkeypatch.setattr(soundfile, "info", None)
    assert len(leak_report(known, IS_VALID, audio=True).same_audio) == 1
    with pytest.raises(TypeError):
        leak_report(four, IS_VALID, audio=True)


def test_two_silent_files_are_not_a_leak(four):
    soundfile.write(four.loc[0, "path"], np.zeros(8000), 8000)
    soundfile.write(four.loc[1, "path"], np.zeros(8000), 8000, subtype="PCM_24")
    assert leak_report(four, IS_VALID, audio=True).ok


def test_missing_and_broken_files_do_not_stop_it(four, tmp_path):
    (tmp_path / "0.wav").unlink()
    (tmp_path / "1.wav").write_text("broken")
    (tmp_path / "2.wav").write_text("broken")
    report = leak_report(four, IS_VALID, audio=True)
    assert len(report.identical_files) == 1


def test_it_fits_into_json(four):
    four.loc[1, "path"] = four.loc[0, "path"]
    found = json.loads(json.dumps(leak_report(four, IS_VALID, audio=True).to_dict()))
    assert found["ok"] is False
    assert found["shared_recordings"][0]["n_valid"] == 1


def test_no_leak_in_mini_birdclef(shared_data):
    recordings = read_source(shared_data / "mini_birdclef").recordings
    for fold in range(5):
        assert leak_report(recordings, split(recordings, fold=fold), audio=True).ok


def test_a_soundscape_that_validates_a_species_makes_no_leak_of_its_recordist(four):
    four.loc[3, ["author", "primary_label"]] = ["v", "rare"]
    window = pd.DataFrame({"path": ["scape.ogg"], "primary_label": "rare", "author": None, "site": "S1"})
    report = leak_report(pd.concat([four, window], ignore_index=True), np.append(IS_VALID, True))
    assert report.ok
    assert report.shared_sites.empty
