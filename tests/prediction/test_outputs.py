"""What people open: tables, selection tables, labels, sound."""

import io
import os
from dataclasses import replace
from pathlib import Path

import fsspec
import numpy as np
import pandas as pd
import pytest
import soundfile
from test_predictor import CLASSES, RATE, make_bundle, song, write
from typer.testing import CliRunner

from birdfast.cli import app
from birdfast.errors import BirdfastError
from birdfast.evaluation.calibration import METHODS, TARGETS, fit_calibration
from birdfast.files.places import version_of
from birdfast.prediction.outputs.events import EVENTS, find_events
from birdfast.prediction.outputs.forms import FORMS, check_outputs, write_outputs
from birdfast.prediction.outputs.names import below_common, label_names, short_names
from birdfast.prediction.outputs.selections import Texts, audacity_text, raven_text
from birdfast.prediction.outputs.sounds import cut_segments
from birdfast.prediction.outputs.view import View
from birdfast.prediction.run import predict_into
from birdfast.scoring.bundle import save_bundle
from birdfast.sources.read import read_source

BAND = {"fmin": 50.0, "fmax": 4000.0}


@pytest.fixture(scope="module")
def result(tiny_recipe, tmp_path_factory):
    """A job of three recordings, two of one name; the third is shorter than a window."""
    root = tmp_path_factory.mktemp("outputs")
    model = save_bundle(make_bundle(tiny_recipe.with_(duration=2.0)), root / "birds.safetensors")
    for name, seconds in {"a.wav": 9, "deep/a.flac": 8.5, "b.wav": 1.5}.items():
        write(root / "sounds" / name, seconds, len(name))
    return predict_into(root / "out", [model], root / "sounds", progress=False)


@pytest.fixture(scope="module")
def scores(result):
    return pd.concat(result.tables())


def view(scores, **changes) -> View:
    """One that calls about a third of all."""
    threshold = float(np.quantile(scores.to_numpy(), 0.66))
    return View(**{"classes": CLASSES, "thresholds": np.full(len(CLASSES), threshold)} | changes)


def test_no_event_ends_after_its_recording(result, scores):
    everything = view(scores, thresholds=np.zeros(len(CLASSES)), gap=None)
    for path, table in zip(result.done, result.tables(), strict=True):
        shown, events = everything.look(table)
        duration = soundfile.info(path).duration
        assert shown.index.get_level_values("end_time").max() > duration  # windows have one length
        assert events["end_time"].max() == pytest.approx(duration)
        assert (events["end_time"] > events["start_time"]).all()
        stretches = replace(everything, average=0.5).look(table)[1]  # of which some begin after a short recording
        assert (stretches["end_time"] > stretches["start_time"]).all()


def test_tables(result, scores, tmp_path):
    counts = write_outputs(result, str(tmp_path), ["csv", "events"], view(scores), **BAND)
    csv = pd.read_csv(tmp_path / "scores.csv", index_col=[0, 1, 2])
    pd.testing.assert_frame_equal(csv.astype(np.float32), scores, atol=1e-6, rtol=0)
    events = pd.read_csv(tmp_path / "events.csv")
    expected = find_events(scores, view(scores).thresholds)
    ends = expected["path"].map(lambda path: soundfile.info(path).duration)
    expected["end_time"] = expected["end_time"].clip(upper=ends)
    pd.testing.assert_frame_equal(events, expected, atol=1e-6, check_dtype=False)
    assert counts == {"windows": len(scores), "events": len(events)} and len(events) > 5
    assert set(tmp_path.iterdir()) == {tmp_path / name for name in ("scores.csv", "events.csv", "outputs.csv")}


def test_a_view_chooses_calibrates_and_averages(result, scores, tmp_path):
    halved = view(scores, classes=CLASSES[1:3], thresholds=np.array([0.0, 1.0]), calibrate=lambda p, names: p / 2)
    write_outputs(result, str(tmp_path), ["csv", "events"], halved, **BAND)
    csv = pd.read_csv(tmp_path / "scores.csv", index_col=[0, 1, 2])
    np.testing.assert_allclose(csv, scores[CLASSES[1:3]] / 2, atol=1e-6)
    assert pd.read_csv(tmp_path / "events.csv")["label"].unique().tolist() == [CLASSES[1]]
    thirds = View(CLASSES, np.ones(4), average=1.0)
    write_outputs(result, str(tmp_path), ["csv"], thirds, **BAND)
    assert pd.read_csv(tmp_path / "scores.csv").groupby("path").size().tolist() == [10, 2, 10]


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("method", METHODS)
def test_thresholds_decide_alike_where_calibrated_probabilities_are_shown(method, target):
    rng = np.random.default_rng(1)
    truth = rng.random((200, 1)) < 0.3
    values = (rng.random((200, 1)) * 0.6 + 0.3 * truth).astype(np.float32)
    fitted = fit_calibration(truth, values, ["wren"], method=method)
    index = pd.MultiIndex.from_tuples([("x", float(i), i + 1.0) for i in range(200)], names=EVENTS[:3])
    table = pd.DataFrame(values, index=index, columns=["wren"])
    plain = View(["wren"], fitted.threshold(target, ["wren"]), gap=None, decide_raw=True)
    shown, events = replace(plain, calibrate=fitted.apply).look(table)
    np.testing.assert_array_equal(shown, fitted.apply(values, ["wren"]))
    assert events["start_time"].tolist() == plain.look(table)[1]["start_time"].tolist() != []
    assert events["probability"].tolist() == shown["wren"].iloc[events["start_time"].astype(int)].tolist()
    if target == "precision":
        assert truth[events["start_time"].astype(int)].mean() >= 0.9


def test_raven_and_audacity_are_read_back(result, scores, tmp_path):
    write_outputs(result, str(tmp_path), ["raven", "audacity"], view(scores), **BAND)
    path = next(path for path in result.done if path.endswith("b.wav"))
    _, own = view(scores).look(dict(zip(result.done, result.tables()))[path])
    assert len(own)
    raven = pd.read_csv(tmp_path / "raven" / "b.Table.1.selections.txt", sep="\t", dtype={"Species": str})
    assert raven["Selection"].tolist() == list(range(1, len(own) + 1)) and raven["High Freq (Hz)"].eq(4000).all()
    np.testing.assert_allclose(raven["Score"], own["probability"], atol=1e-4)
    for file in (tmp_path / "raven" / "b.Table.1.selections.txt", tmp_path / "audacity" / "b.txt"):
        read = read_source(file, audio_root=Path(result.store.place).parent / "sounds").recordings
        assert read["primary_label"].tolist() == own["label"].tolist()
        assert read["start_time"].tolist() == own["start_time"].tolist()
        assert read["end_time"].tolist() == own["end_time"].tolist()
    assert len(list((tmp_path / "raven").iterdir())) == 3, "a table for each recording, of one name or not"
    sounds = Path(result.store.place).parent / "sounds"
    found = pd.concat(view(scores).look(scores.loc[[path]])[1] for path in result.done)
    everything = read_source(tmp_path / "raven", audio_root=sounds).recordings
    deep = read_source(tmp_path / "audacity" / "deep", audio_root=sounds / "deep").recordings
    columns = {"path": "path", "start_time": "start_time", "label": "primary_label"}
    for read, wanted in ((everything, found), (deep, found[found["path"].str.contains("deep")])):
        rows = (read[list(columns.values())].values.tolist(), wanted[list(columns)].values.tolist())
        assert sorted(rows[0]) == sorted(rows[1]) != []


def test_what_other_settings_wrote_goes_and_nothing_else(result, scores, tmp_path, capsys):
    def files():
        return {str(f.relative_to(tmp_path)) for f in tmp_path.rglob("*") if f.is_file()} - {"outputs.csv"}

    forms, calm = ["raven", "audacity", "flac", "csv"], view(scores)
    write_outputs(result, str(tmp_path), forms, calm, **BAND)
    first = files()
    for own in ("raven/mine.txt", "segments/mine.flac", "raven/b.Table.1.selections.txt"):
        (tmp_path / own).write_text("mine, or mended by hand")
    some = replace(result, done=dict(list(result.done.items())[2:]))
    write_outputs(some, str(tmp_path), ["events", "audacity"], calm, **BAND)
    both = {"raven/mine.txt", "segments/mine.flac", "raven/b.Table.1.selections.txt", "events.csv", "scores.csv"}
    assert files() >= (first - {f for f in first if f.startswith("audacity")}) | both, "the same settings: all stays"
    assert "removed" not in capsys.readouterr().err, "and a recording keeps its name beside those of earlier calls"
    before, strict = files(), view(scores, thresholds=np.full(4, 0.99))
    write_outputs(result, str(tmp_path), ["csv"], strict, **BAND)
    said = capsys.readouterr().err
    assert files() == before and "removed" not in said and "are of other scores or thresholds" in said, "not asked for"
    write_outputs(result, str(tmp_path), ["events", "flac", "raven"], strict, **BAND)
    said, left = capsys.readouterr().err, {f for f in files() if not f.startswith(("audacity", "raven"))}
    assert left == {"segments/mine.flac", "events.csv", "scores.csv"} and "removed" in said
    assert "mine.txt" in {f.name for f in (tmp_path / "raven").iterdir()} and "files in" in said


def test_what_a_person_mended_is_not_written_over(result, scores, tmp_path, capsys):
    calm, strict = view(scores), view(scores, thresholds=np.full(4, 0.99))
    forms, mended = ["raven", "audacity"], [tmp_path / "raven/b.Table.1.selections.txt", tmp_path / "audacity/b.txt"]
    write_outputs(result, str(tmp_path), forms, calm, **BAND)
    written = [file.read_bytes() for file in mended]
    mended[0].write_text("mended")
    for asked in (calm, strict, strict):
        write_outputs(result, str(tmp_path), forms, asked, **BAND)
        assert (
            mended[0].read_text() == "mended" and "1 files" in (said := capsys.readouterr().err) and "they stay" in said
        )
    assert mended[1].read_bytes() != written[1], "what nobody changed is written anew"
    mended[0].unlink()
    write_outputs(result, str(tmp_path), forms, calm, **BAND)
    assert [file.read_bytes() for file in mended] == written and "they stay" not in capsys.readouterr().err


def test_a_killed_call_leaves_no_strangers(result, scores, tmp_path, capsys):
    for _ in range(2):  # files without their list, as a kill leaves them
        write_outputs(result, str(tmp_path), ["raven"], view(scores), **BAND)
        (tmp_path / "outputs.csv").unlink()
    write_outputs(result, str(tmp_path), ["raven"], view(scores, gap=None), **BAND)
    assert "2 files" in (said := capsys.readouterr().err) and "they stay" in said, "nobody knows whose they are"
    write_outputs(result, str(tmp_path), ["raven"], view(scores), **BAND)
    assert "they stay" not in capsys.readouterr().err, "the same text is the same file"


@pytest.mark.parametrize("form", ["raven", "audacity", "flac"])
def test_recordings_of_one_name_in_two_calls_keep_their_files(result, scores, tmp_path, form, capsys):
    shallow, deep = (path for path in result.done if not path.endswith("b.wav"))
    assert {Path(shallow).stem, Path(deep).stem} == {"a"}
    calls = [replace(result, done={path: result.done[path]}) for path in (shallow, deep)]

    def write(job, asked):
        write_outputs(job, str(tmp_path), [form], asked, **BAND)
        return pd.read_csv(tmp_path / "outputs.csv")

    write(calls[0], view(scores))
    if form != "flac":
        mended = tmp_path / write(calls[0], view(scores))["file"].item()
        mended.write_text("mended")
        write(calls[0], view(scores))
    for job in (*calls, *calls):
        listed = write(job, view(scores))
    assert set(listed["recording"]) == {shallow, deep}
    for path in (shallow, deep):
        events = view(scores).look(scores.loc[[path]])[1]
        files = listed.loc[listed["recording"] == path, "file"]
        assert len(files) == (len(events) if form == "flac" else 1) and all(
            (tmp_path / f).stat().st_size for f in files
        )
    if form != "flac":
        assert mended.read_text() == "mended" and len(list((tmp_path / form).rglob("*.txt"))) == 2
        assert f"the first {mended.relative_to(tmp_path)}: they stay" in capsys.readouterr().err


def test_a_copy_without_its_times_and_files_that_are_gone(result, scores, tmp_path, capsys):
    write_outputs(result, str(tmp_path), ["raven"], view(scores), **BAND)
    files = sorted((tmp_path / "raven").iterdir())
    for file in files:
        os.utime(file, (1, 1))
    files[0].unlink()
    write_outputs(result, str(tmp_path), ["raven"], view(scores, thresholds=np.full(4, 0.99)), **BAND)
    assert "they stay" not in (said := capsys.readouterr().err) and "removed" not in said
    some = replace(result, done=dict(list(result.done.items())[:1]))
    of = pd.read_csv(tmp_path / "outputs.csv").set_index("recording")["file"]
    (tmp_path / of[list(result.done)[1]]).unlink()
    write_outputs(some, str(tmp_path), ["raven"], view(scores), **BAND)
    assert "removed 1 files" in capsys.readouterr().err, "of three one is written anew, one was gone before"


def test_on_object_storage_too(result, scores):
    memory = fsspec.filesystem("memory")
    some = replace(result, done=dict(list(result.done.items())[2:]))
    for job, gap in ((result, 0.0), (some, 1.0)):
        write_outputs(job, "memory://listed", ["audacity", "events"], view(scores, gap=gap), **BAND)
    found = [path.removeprefix("/listed/") for path in memory.find("/listed")]
    memory.rm("/listed", recursive=True)
    assert len(found) == len(some.done) + 2 and {"events.csv", "outputs.csv"} < set(found)


def test_a_failure_removes_nothing_and_lists_what_was_written(result, scores, tmp_path, monkeypatch):
    write_outputs(result, str(tmp_path), ["raven"], view(scores), **BAND)
    before = sorted((tmp_path / "raven").iterdir())
    with monkeypatch.context() as patch, pytest.raises(RuntimeError, match="full"):
        full = Texts("audacity/{}.txt", lambda *_: (_ for _ in ()).throw(RuntimeError("full")))
        patch.setitem(FORMS, "audacity", full)
        (tmp_path / "events.csv").write_text("mine")
        write_outputs(result, str(tmp_path), ["events", "flac", "audacity"], view(scores, gap=None), **BAND)
    assert sorted((tmp_path / "raven").iterdir()) == before
    assert set(pd.read_csv(tmp_path / "outputs.csv")["form"]) == {"raven", "flac"}, (
        "events.csv was not put in its place"
    )
    assert (tmp_path / "events.csv").read_text() == "mine"


@pytest.mark.parametrize("elsewhere", ["{}/mine.txt", "../mine.txt"])
def test_a_list_does_not_reach_beyond_its_folder(result, scores, tmp_path, elsewhere):
    (tmp_path / "mine.txt").write_text("mine")
    (tmp_path / "out").mkdir()
    row = (
        "file,form,recording,settings,version",
        f"{elsewhere.format(tmp_path)},raven,x,y,{version_of(tmp_path / 'mine.txt')}",
    )
    (tmp_path / "out" / "outputs.csv").write_text("\n".join(row))
    write_outputs(result, str(tmp_path / "out"), ["events"], view(scores), **BAND)
    assert (tmp_path / "mine.txt").exists()
    (tmp_path / "out" / "outputs.csv").write_text("a,b\n1,2\n")
    with pytest.raises(BirdfastError, match="outputs.csv is no list of birdfast's: rename it"):
        write_outputs(result, str(tmp_path / "out"), ["events"], view(scores), **BAND)


def test_late_times_keep_their_milliseconds():
    events = pd.DataFrame([("x", 86395.125, 86400.125, "wren", 0.5)], columns=EVENTS)
    text = raven_text(events, "x.wav", (50.0, 4000.0))
    assert pd.read_csv(io.StringIO(text), sep="\t")["Begin Time (s)"].tolist() == [86395.125]


def test_audacity_labels_are_as_they_are():
    events = pd.DataFrame([("x", 0.5, 2.0, 'wren "dawn"', 0.5)], columns=EVENTS)
    assert audacity_text(events) == '0.500000\t2.000000\twren "dawn"\n' and audacity_text(events[:0]) == ""


SPANS = ["00000.000-00002.000_0.90", "00004.000-00006.000_0.50", "00008.000-00010.000_0.71"]


@pytest.mark.parametrize("form", ["flac", "wav"])
def test_segments_are_the_sound_of_the_events(tmp_path, form):
    path = write(tmp_path / "a.wav", 9, 3)
    rows = [(str(path), 0.0, 2.0, "wren", 0.9), (str(path), 4.0, 6.0, "a/b", 0.5), (str(path), 8.0, 10.0, "wren", 0.71)]
    events = pd.DataFrame(rows, columns=EVENTS)
    written = [f"{folder}/a_{span}.{form}" for folder, span in zip(["wren", "a_b", "wren"], SPANS)]
    assert cut_segments(events, str(tmp_path / "cut"), "a", context=0.5, form=form) == written
    files = sorted(f for f in (tmp_path / "cut").rglob("*") if f.is_file())
    names = [f"a_b/a_00004.000-00006.000_0.50.{form}", f"wren/a_00000.000-00002.000_0.90.{form}"]
    assert [str(f.relative_to(tmp_path / "cut")) for f in files][:2] == names
    spans = [(3.5, 6.5), (0, 2.5), (7.5, 9)]
    whole = song(9, 3)
    for file, (start, end) in zip(files, spans, strict=True):
        sound, rate = soundfile.read(file)
        assert rate == RATE
        np.testing.assert_allclose(sound, whole[round(start * RATE) : round(end * RATE)], atol=1e-4)
    assert cut_segments(events[:0], str(tmp_path / "none"), "a") == []
    with pytest.raises(BirdfastError, match="context is the sound"):
        check_outputs([form], -1)


def test_formats_and_names(result, scores, tmp_path):
    with pytest.raises(BirdfastError, match="unknown format 'ravne': did you mean 'raven'"):
        write_outputs(result, str(tmp_path), ["ravne"], view(scores), **BAND)
    names = short_names(["/x/a.wav", "/x/deep/A.flac", "/x/b.wav", "s3://x/c.ogg"])
    assert names["/x/b.wav"] == "b" and names["s3://x/c.ogg"] == "c"
    assert below_common(["/x/a.wav", "/x/deep/A.flac"]) == {"/x/a.wav": "a.wav", "/x/deep/A.flac": "deep/A.flac"}
    twins = label_names({"x/a.wav": "a.wav", "x/a.flac": "a.flac", "x/y/a.wav": "y/a.wav"})
    assert list(twins.values()) == ["a.wav", "a.flac", "y/a"]
    apart = {"/x/in/../out/a.wav": "out/a.wav", "/x/in/b.wav": "in/b.wav"}
    assert below_common(apart) == apart, "never out of the folder"
    assert below_common(["s3://x/y/c.ogg"]) == {"s3://x/y/c.ogg": "c.ogg"}
    assert len(set(names.values())) == 4 and names["/x/a.wav"].startswith("a-")


@pytest.mark.parametrize("form", FORMS)
def test_every_form_writes_lists_and_takes_back_what_is_its_own(result, scores, tmp_path, form):
    assert write_outputs(result, str(tmp_path), [form], view(scores), **BAND)["events"] > 5
    listed = pd.read_csv(tmp_path / "outputs.csv")
    assert set(listed["form"]) == {form}
    written = {str(file.relative_to(tmp_path)) for file in tmp_path.rglob("*") if file.is_file()} - {"outputs.csv"}
    assert set(listed["file"]) == written != set() and all((tmp_path / file).stat().st_size for file in written)
    none = view(scores, thresholds=np.full(len(CLASSES), 1.1))
    write_outputs(result, str(tmp_path), [form], none, **BAND)
    left = {str(file.relative_to(tmp_path)) for file in tmp_path.rglob("*") if file.is_file()} - {"outputs.csv"}
    assert left == set(pd.read_csv(tmp_path / "outputs.csv")["file"]) <= written


def test_the_help_names_every_form():
    said = CliRunner().invoke(app, ["predict", "--help"], env={"COLUMNS": "400"}).output
    assert all(f" {form}" in said for form in FORMS)
