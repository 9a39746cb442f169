"""The prediction job: bounded, resumable, no row lost or doubled."""

import os
import random
import signal
import subprocess
import sys
import time

import fsspec
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from test_predictor import make_bundle, write

from birdfast.audio.read import AudioError
from birdfast.commands.predicting.score import predict
from birdfast.errors import BirdfastError
from birdfast.prediction import run, store
from birdfast.prediction.predictor import Predictor
from birdfast.prediction.run import predict_into
from birdfast.scoring.bundle import save_bundle


@pytest.fixture(scope="module")
def bundle(tiny_recipe):
    return make_bundle(tiny_recipe.with_(duration=2.0))


@pytest.fixture(scope="module")
def model(bundle, tmp_path_factory):
    return save_bundle(bundle, tmp_path_factory.mktemp("model") / "birds.safetensors")


@pytest.fixture
def folder(tmp_path):
    for i, seconds in enumerate((7, 4, 1.2, 12.3, 9)):
        write(tmp_path / "sounds" / f"{'deep/' if i == 3 else ''}{i}.wav", seconds, i)
    return tmp_path / "sounds"


def job(out, model, paths, **options):
    models = model if isinstance(model, list) else [model]
    return predict_into(out, models, paths, batch_size=4, workers=2, progress=False, **options)


def on_disk(out) -> pd.DataFrame:
    """All scores in the folder, as anyone reads them."""
    table = pd.read_parquet(out / "scores").set_index(["path", "start_time", "end_time"]).sort_index()
    assert table.index.is_unique
    return table


def scored_in(monkeypatch) -> list[str]:
    """The recordings that are scored from now on."""
    seen, whole = [], run.score_into
    monkeypatch.setattr(
        run,
        "score_into",
        lambda s, p, waiting, **how: seen.extend(r.path for r in waiting) or whole(s, p, waiting, **how),
    )
    return seen


@pytest.mark.parametrize("options", [{}, {"step": 0.75}, {"last": "drop"}, {"last": "shift", "step": 1.5}])
def test_the_folder_holds_what_the_predictor_gives(model, folder, tmp_path, options):
    result = job(tmp_path / "out", model, folder, **options)
    expected = Predictor(model).predict(folder, progress=False, **options)
    pd.testing.assert_frame_equal(pd.concat(result.tables()), expected, atol=1e-5, rtol=0)
    pd.testing.assert_frame_equal(on_disk(tmp_path / "out"), expected.sort_index(), atol=1e-5, rtol=0)
    listed = pd.read_csv(tmp_path / "out" / "recordings.csv")
    assert listed["path"].tolist() == list(result.done) and len(listed) == 5
    assert result.errors.empty


def test_windows_are_exact(model, folder, tmp_path):
    table = pd.concat(job(tmp_path / "out", model, folder / "deep", step=0.7, last="shift").tables())
    starts = table.index.get_level_values("start_time")
    assert starts.tolist() == [*(np.arange(15) * 0.7), 10.3]
    assert table.index.get_level_values("end_time").tolist() == (starts + 2.0).tolist()


def test_what_is_done_is_not_scored_again(model, folder, tmp_path, monkeypatch, capsys):
    job(tmp_path / "out", model, folder)
    before, seen = on_disk(tmp_path / "out"), scored_in(monkeypatch)
    monkeypatch.chdir(folder)
    job(tmp_path / "out", model, ["deep", folder, folder / "0.wav"])
    assert seen == [] and "5 recordings have their scores" in capsys.readouterr().err
    pd.testing.assert_frame_equal(on_disk(tmp_path / "out"), before)


def test_a_stopped_run_goes_on(model, folder, tmp_path, monkeypatch):
    """Stopped again and again; each time the files in place are whole, and in the end nothing is missing."""
    whole = job(tmp_path / "whole", model, folder, step=0.5)
    expected, original = pd.concat(whole.tables()).sort_index(), Predictor._run
    for stop in (0, 3, 2, 1):
        calls = iter(range(100))

        def stopping(self, clips, calls=calls, stop=stop):
            if next(calls) == stop:
                raise KeyboardInterrupt
            return original(self, clips)

        monkeypatch.setattr(Predictor, "_run", stopping)
        with pytest.raises(KeyboardInterrupt):
            job(tmp_path / "out", model, folder, step=0.5)
        assert not list((tmp_path / "out").rglob(".*.tmp"))
    monkeypatch.setattr(Predictor, "_run", original)
    done = on_disk(tmp_path / "out").index.unique("path")
    assert 0 < len(done) < 5
    left, young = (tmp_path / "out" / "scores" / f".0-x.parquet.{i}.tmp" for i in (1, 2))
    left.write_text("what kill -9 left two days ago")
    young.write_text("what another process writes now")
    os.utime(left, (time.time() - 2 * 86400,) * 2)
    seen = scored_in(monkeypatch)
    job(tmp_path / "out", model, folder, step=0.5)
    assert set(seen) == {str(f) for f in folder.rglob("*.wav")} - set(done)
    assert list((tmp_path / "out").rglob(".*.tmp")) == [young]
    pd.testing.assert_frame_equal(on_disk(tmp_path / "out"), expected, atol=1e-5, rtol=0)


def test_a_changed_file_is_scored_anew_and_only_that(model, folder, tmp_path, monkeypatch):
    job(tmp_path / "out", model, folder)
    before = on_disk(tmp_path / "out")
    write(folder / "1.wav", 6, 77)
    seen = scored_in(monkeypatch)
    job(tmp_path / "out", model, folder)
    after, path = on_disk(tmp_path / "out"), str(folder / "1.wav")
    assert seen == [path] and len(after.loc[path]) == 3 and len(before.loc[path]) == 2
    pd.testing.assert_frame_equal(after.drop(path, level="path"), before.drop(path, level="path"))


def test_another_model_or_setting_replaces_all(model, bundle, folder, tmp_path, monkeypatch, capsys):
    job(tmp_path / "out", model, folder)
    seen = scored_in(monkeypatch)
    job(tmp_path / "out", model, folder, step=1.0)
    assert len(seen) == 5 and "5 recordings changed, or had scores by another model" in capsys.readouterr().err
    assert len(on_disk(tmp_path / "out")) == len(Predictor(model).predict(folder, step=1.0, progress=False))
    other = make_bundle(bundle.recipe)
    other.model.head[-1].bias.data += 1
    job(tmp_path / "out", save_bundle(other, tmp_path / "other.safetensors"), folder / "deep", step=1.0)
    assert on_disk(tmp_path / "out").index.unique("path").tolist() == [str(folder / "deep" / "3.wav")]


def test_broken_recordings_are_listed_and_tried_again(model, folder, tmp_path, monkeypatch):
    job(tmp_path / "good", model, folder)
    (folder / "aa.wav").write_bytes(b"")
    (folder / "ab.ogg").write_bytes(b"not a sound at all")
    result = job(tmp_path / "out", model, [folder, folder / "gone.wav"])
    errors = pd.read_csv(tmp_path / "out" / "errors.csv")
    assert errors["path"].tolist() == [str(folder / name) for name in ("aa.wav", "ab.ogg", "gone.wav")]
    assert errors["reason"].str.len().min() > 5 and result.errors.equals(errors.astype(str))
    pd.testing.assert_frame_equal(on_disk(tmp_path / "out"), on_disk(tmp_path / "good"))
    write(folder / "aa.wav", 3, 1)
    seen = scored_in(monkeypatch)
    job(tmp_path / "out", model, folder)
    assert str(folder / "aa.wav") in seen and len(on_disk(tmp_path / "out").loc[str(folder / "aa.wav")]) == 2


def test_a_name_that_is_not_utf_8_is_listed_and_the_rest_is_scored(model, folder, tmp_path, capsys):
    try:
        (folder / "0.wav").rename(folder / os.fsdecode(b"K\xfcste.wav"))
    except OSError:
        pytest.skip("this file system takes UTF-8 names alone")
    result = job(tmp_path / "out", model, folder)
    errors, shown = pd.read_csv(tmp_path / "out" / "errors.csv"), str(folder / "K\\xfcste.wav")
    assert errors.values.tolist() == result.errors.values.tolist() == [[shown, "its name is not UTF-8: rename it"]]
    assert len(on_disk(tmp_path / "out").index.unique("path")) == 4 and "K\\xfcste.wav" in capsys.readouterr().err
    predictor = Predictor(model)
    assert len(predictor.predict(folder, progress=False).index.unique("path")) == 4
    assert predictor.errors.equals(result.errors)
    predict(model, [folder], tmp_path / "scores.csv")
    assert pd.read_csv(tmp_path / "scores.errors.csv").equals(errors)
    sample = pd.DataFrame({"row_id": ["x_5"], **dict.fromkeys(predictor.classes, 0.1)})
    sample.to_csv(tmp_path / "sample.csv", index=False)
    for average in (False, True):
        table = predictor.submission(
            folder, tmp_path / "sample.csv", tmp_path / "s.csv", average=average, progress=False
        )
        assert "K\\xfcste_5" in set(table["row_id"])


def test_recordings_of_any_name_are_found_again(model, tmp_path):
    """pandas passes over files whose names begin with a line or a point."""
    names = ["good", "_under", "(1) copy", "#2", "🐦 wren", "%20x", 'quo"te', "new\nline", "..a", "~t"]
    for i, name in enumerate(names):
        write(tmp_path / "sounds" / f"{name}.wav", 2, i)
    assert len(job(tmp_path / "out", model, [*(tmp_path / "sounds").iterdir()]).done) == len(names)
    assert on_disk(tmp_path / "out").index.get_level_values("path").nunique() == len(names)


def test_what_was_cut_out_is_no_recording(model, folder, tmp_path, capsys):
    out = folder / "results"
    for _ in range(2):
        assert len(job(out, model, folder).done) == 5
        write(out / "segments" / "wren" / "0_00000.000-00002.000_0.90.wav", 2, 9)
    assert "left out: 1 sounds that were cut out of recordings" in capsys.readouterr().err
    write(folder / "deep" / "segments" / "a.wav", 2, 9)  # someone else's folder of that name
    assert len(job(out, model, folder).done) == 6
    assert len(job(tmp_path / "other", model, out / "segments").done) == 1


def test_scores_of_a_recording_that_is_gone_stay_those_of_a_broken_one_do_not(model, folder, tmp_path):
    job(tmp_path / "out", model, folder)
    paths, before = [folder / f"{i}.wav" for i in (0, 1, 2)], on_disk(tmp_path / "out")
    paths[0].rename(tmp_path / "elsewhere.wav")
    paths[1].write_bytes(b"")
    result = job(tmp_path / "out", model, paths)
    assert list(result.done) == [str(paths[2])] and set(result.errors["path"]) == {str(p) for p in paths[:2]}
    pd.testing.assert_frame_equal(on_disk(tmp_path / "out"), before.drop(str(paths[1]), level="path"))
    paths[2].unlink()
    with pytest.raises(BirdfastError, match="none of the 3 recordings can be read"):
        job(tmp_path / "out", model, paths, step=1.0)
    assert len(on_disk(tmp_path / "out").index.unique("path")) == 4, "other settings and a lost disk remove nothing"


def test_a_recording_that_breaks_off_leaves_nothing(model, folder, tmp_path, monkeypatch):
    from birdfast.audio import windows

    def fragile(path, *, start_time, **how):
        if path.endswith("3.wav") and start_time >= 4:
            raise AudioError(path, "cannot be decoded at 4 s")
        return whole(path, start_time=start_time, **how)

    whole = windows.read_clip
    monkeypatch.setattr(windows, "CHUNK", 2.0)
    monkeypatch.setattr(windows, "read_clip", fragile)
    result = predict_into(tmp_path / "out", [model], folder, batch_size=1, workers=1, progress=False)
    assert result.errors["reason"].tolist() == ["cannot be decoded at 4 s"]
    assert len(on_disk(tmp_path / "out").index.unique("path")) == 4
    assert len(list((tmp_path / "out" / "scores").iterdir())) == 4


@pytest.mark.parametrize("batch_size", [2, 3, 5, 8])
def test_broken_recordings_do_not_tear_others_apart(model, bundle, tmp_path, monkeypatch, batch_size):
    """Each recording is given in one run of parts without a gap, or with a reason, whatever breaks beside it."""
    from birdfast.audio import windows

    def fragile(path, *, start_time, **how):
        if path.endswith("x.wav") and start_time >= int(path[-6]):
            raise AudioError(path, "breaks off")
        return whole(path, start_time=start_time, **how)

    whole = windows.read_clip
    monkeypatch.setattr(windows, "CHUNK", 4.0)
    monkeypatch.setattr(windows, "read_clip", fragile)
    for i in range(12):
        write(tmp_path / "sounds" / f"{i:02}-{i % 3 * 2}{'x' if i % 3 else ''}.wav", 9 + i % 4, i)
    result = predict_into(
        tmp_path / "out", model, tmp_path / "sounds", batch_size=batch_size, workers=2, progress=False
    )
    sizes = on_disk(tmp_path / "out").groupby(level="path").size()
    expected = Predictor(bundle).predict(tmp_path / "sounds", progress=False)
    assert sizes.to_dict() == expected.groupby(level="path").size().to_dict() and len(sizes) == 4
    pd.testing.assert_frame_equal(pd.concat(result.tables()), expected, atol=1e-5, rtol=0)
    assert len(result.errors) == 8


def test_new_scores_never_stand_beside_the_old(model, folder, tmp_path, monkeypatch):
    """Also not when the run is killed as soon as they are in place."""
    job(tmp_path / "out", model, folder)
    write(folder / "1.wav", 6, 77)
    monkeypatch.setattr(run, "_finish", lambda *args: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        job(tmp_path / "out", model, folder)
    assert len(on_disk(tmp_path / "out").loc[str(folder / "1.wav")]) == 3


def test_a_long_recording_is_written_piece_by_piece(model, folder, tmp_path, monkeypatch):
    monkeypatch.setattr(store, "_ROWS", 8)
    job(tmp_path / "out", model, folder / "0.wav", step=0.1)
    (file,) = (tmp_path / "out" / "scores").iterdir()
    groups = pq.ParquetFile(file).metadata
    assert groups.num_row_groups > 5 and groups.num_rows == 51
    expected = Predictor(model).predict(folder / "0.wav", step=0.1, progress=False)
    pd.testing.assert_frame_equal(on_disk(tmp_path / "out"), expected, atol=1e-5, rtol=0)


def test_object_storage(model, folder, tmp_path):
    """Recordings and results by URL, here in fsspec's own memory."""
    memory = fsspec.filesystem("memory")
    memory.put(str(folder), "/birds/sounds", recursive=True)
    for _ in range(2):
        result = job("memory://birds/out", model, "memory://birds/sounds")
    there = pd.concat(result.tables())
    expected = Predictor(model).predict(folder, progress=False)
    np.testing.assert_allclose(there.to_numpy(), expected.to_numpy(), atol=1e-5)
    assert there.index[0][0].startswith("memory://") and len(memory.find("/birds/out/scores")) == 5
    before = memory.info("/birds/out/manifest.json")
    memory.pipe("/birds/sounds/0.wav", b"")
    assert job("memory://birds/out", model, "memory://birds/sounds").errors["path"].str.endswith("0.wav").all()
    assert len(memory.find("/birds/out/scores")) == 4 and before["size"] > 100
    memory.rm("/birds", recursive=True)
    with pytest.raises(BirdfastError, match="cannot be opened"):
        job(tmp_path / "out", model, "nowhere://birds/sounds")


def test_nothing_to_do_is_said(model, folder, tmp_path):
    with pytest.raises(BirdfastError, match="unknown engine 'spark'"):
        job(tmp_path / "out", model, folder, engine="spark")
    with pytest.raises(BirdfastError, match="unknown last 'keep'"):
        job(tmp_path / "out", model, folder, last="keep")
    with pytest.raises(BirdfastError, match="must be above 0, not -1"):
        job(tmp_path / "out", model, folder, step=-1)
    (folder / "0.wav").write_bytes(b"")
    with pytest.raises(BirdfastError, match="none of the 1 recordings can be read"):
        job(tmp_path / "out", model, folder / "0.wav")


@pytest.mark.slow
def test_kill_9_at_random_moments_twenty_times(model, tmp_path):
    for i in range(60):
        write(tmp_path / "sounds" / f"{i}.wav", 30 + i % 7, i)
    command = [sys.executable, "-m", "birdfast", "predict", str(model), str(tmp_path / "sounds"), "--step", "0.05"]
    scores, chance = tmp_path / "out" / "scores", random.Random(0)
    for _ in range(20):
        before = set(scores.glob("*"))
        process = subprocess.Popen([*command, "--out", str(tmp_path / "out")], stderr=subprocess.DEVNULL)
        while process.poll() is None and not set(scores.glob("*")) - before:  # it begins to write
            time.sleep(0.005)
        time.sleep(chance.uniform(0, 1.5))
        assert process.poll() is None, "it ended before it could be killed: give it more to do"
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        if list(scores.glob("*.parquet")):
            on_disk(tmp_path / "out")  # no file that cannot be read, no row twice
    assert 0 < len(list(scores.glob("*.parquet"))) < 60
    for file in scores.glob(".*"):
        os.utime(file, (0, 0))  # left long ago
    for out in ("out", "whole"):
        subprocess.run([*command, "--out", str(tmp_path / out)], check=True, stderr=subprocess.DEVNULL)
    pd.testing.assert_frame_equal(on_disk(tmp_path / "out"), on_disk(tmp_path / "whole"), atol=1e-5, rtol=0)
    assert not list(scores.glob(".*"))
