"""The predictor: windows to scores, and a submission that Kaggle would take."""

import subprocess
import sys
import threading
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch

from birdfast.audio import windows
from birdfast.audio.read import AudioError, read_clip
from birdfast.errors import BirdfastError
from birdfast.models import create_model
from birdfast.models.losses import probabilities
from birdfast.prediction.predictor import Predictor
from birdfast.scoring.bundle import Bundle, save_bundle
from birdfast.spectrogram.logmel import LogMel

RATE = 8000
CLASSES = ["1491113", "amecro", "banana", "gretin1"]


def song(seconds: float, seed: int) -> np.ndarray:
    """Tones that change each second, so that no two windows are alike."""
    rng = np.random.default_rng(seed)
    pitch = np.repeat(rng.uniform(300, 3500, int(np.ceil(seconds))), RATE)[: round(seconds * RATE)]
    tone = 0.3 * np.sin(2 * np.pi * np.cumsum(pitch) / RATE)
    return (tone + 0.02 * rng.standard_normal(len(pitch))).astype(np.float32)


def by_hand(bundle: Bundle, path, **clip) -> np.ndarray:
    """Probabilities of one clip, by the parts themselves."""
    waveform = read_clip(path, sample_rate=RATE, **clip)
    with torch.inference_mode():
        logits = bundle.model(bundle.logmel(torch.from_numpy(waveform)[None, None]))
    return probabilities(logits, activation=bundle.recipe.activation)[0].numpy()


def write(path, seconds: float, seed: int, rate: int = RATE):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, song(seconds, seed), rate)
    return path


def make_bundle(recipe) -> Bundle:
    torch.manual_seed(0)
    model, logmel = create_model(recipe, len(CLASSES), weights="random"), LogMel.from_recipe(recipe)
    songs = torch.from_numpy(np.stack([song(recipe.duration, seed) for seed in range(8)])[:, None])
    with torch.no_grad():
        for _ in range(20):  # running statistics of true songs, without which all scores of a random model are alike
            model.train()(logmel(songs))
    model.head[-1].weight.data *= 10
    return Bundle(model.eval(), logmel, CLASSES, recipe)


@pytest.fixture(scope="module")
def bundle(tiny_recipe) -> Bundle:
    return make_bundle(tiny_recipe.with_(duration=5.0))


@pytest.fixture(scope="module")
def predictor(bundle) -> Predictor:
    return Predictor(bundle, batch_size=4, workers=2, device="cpu")


@pytest.fixture
def folder(tmp_path):
    """Three soundscapes, one below another folder, one of 12 s."""
    write(tmp_path / "test" / "a.wav", 20, 1)
    write(tmp_path / "test" / "b.ogg", 12, 2)
    write(tmp_path / "test" / "deep" / "c.flac", 3.2, 3)
    return tmp_path / "test"


def test_the_table_holds_each_window(predictor, folder):
    table = predictor.predict(folder, progress=False)
    assert table.index.names == ["path", "start_time", "end_time"] and list(table) == CLASSES
    assert (table.dtypes == np.float32).all() and table.index.is_unique
    windows = table.reset_index()
    assert windows["path"].unique().tolist() == [str(folder / name) for name in ("a.wav", "b.ogg", "deep/c.flac")]
    assert windows["start_time"].tolist() == [0, 5, 10, 15, 0, 5, 10, 0]
    assert (windows["end_time"] - windows["start_time"] == 5).all()
    np.testing.assert_allclose(table.sum(axis=1), 1, atol=1e-5)
    assert table.std().max() > 0.02, "scores too alike for the tests below to tell windows apart"
    assert predictor.errors.empty and list(predictor.errors) == ["path", "reason"]


def test_scores_are_those_of_the_model_on_the_clip(predictor, bundle, folder):
    table = predictor.predict(folder, progress=False)
    for (path, start, _), row in table.iterrows():
        expected = by_hand(bundle, path, start_time=start, duration=5.0, pad=bundle.recipe.pad)
        np.testing.assert_allclose(row.to_numpy(), expected, atol=1e-5)


def test_sigmoid_and_resampling(tiny_recipe, tmp_path):
    recipe = tiny_recipe.with_(duration=2.0, activation="sigmoid")
    bundle = make_bundle(recipe)
    write(tmp_path / "a.wav", 15, 1, rate=11_025)  # played faster: 10.9 s
    table = Predictor(bundle).predict(tmp_path, progress=False)
    assert len(table) == 6 and abs(float(table.iloc[0].sum()) - 1) > 1e-3
    expected = by_hand(bundle, tmp_path / "a.wav", start_time=4.0, duration=2.0)
    np.testing.assert_allclose(table.iloc[2], expected, atol=1e-5)


@pytest.mark.parametrize(("batch_size", "workers"), [(1, 1), (3, 4), (64, 1)])
def test_batch_size_and_workers_change_nothing(predictor, bundle, folder, batch_size, workers):
    other = Predictor(bundle, batch_size=batch_size, workers=workers).predict(folder, step=1.5, progress=False)
    pd.testing.assert_frame_equal(other, predictor.predict(folder, step=1.5, progress=False), atol=1e-5, rtol=0)


def test_pieces_of_a_long_recording_join_without_a_seam(predictor, bundle, tmp_path, monkeypatch):
    path = write(tmp_path / "long.wav", 43, 5)
    whole = predictor.predict(path, step=2.5, progress=False)
    monkeypatch.setattr(windows, "CHUNK", 11.0)
    pd.testing.assert_frame_equal(predictor.predict(path, step=2.5, progress=False), whole, atol=1e-5, rtol=0)


def test_wide_steps_skip_what_lies_between(predictor, tmp_path, monkeypatch):
    path = write(tmp_path / "long.wav", 40, 5)
    asked = []
    monkeypatch.setattr(windows, "read_clip", lambda p, **how: asked.append(how) or read_clip(p, **how))
    table = predictor.predict(path, step=15, progress=False)
    assert table.index.get_level_values("start_time").tolist() == [0, 15, 30]
    assert [how["duration"] for how in asked] == [5, 5, 5]


def test_decoding_runs_ahead_but_not_far(bundle, tmp_path, monkeypatch):
    write(tmp_path / "long.wav", 120, 5)
    monkeypatch.setattr(windows, "CHUNK", 5.0)
    read, scored, ahead, lock = [], [], [], threading.Lock()

    def counted(*args, **how):
        with lock:
            read.append(1)
            ahead.append(len(read) - len(scored))
        return read_clip(*args, **how)

    predictor = Predictor(bundle, batch_size=1, workers=2)
    run = predictor._run
    monkeypatch.setattr(windows, "read_clip", counted)
    monkeypatch.setattr(predictor, "_run", lambda clips: scored.append(1) or run(clips))
    assert len(predictor.predict(tmp_path, progress=False)) == 24
    with predictor.engine.lanes() as lanes:
        assert max(ahead) <= 2 * 2 + 1 + lanes.n + 1  # waiting to be cut, and at the model


def test_last_and_lists_and_duplicates(predictor, folder):
    starts = predictor.predict(folder / "b.ogg", last="drop", progress=False).index.get_level_values("start_time")
    assert starts.tolist() == [0, 5]
    table = predictor.predict([folder / "deep", str(folder / "b.ogg"), folder / "b.ogg"], progress=False)
    assert table.index.get_level_values("path").unique().tolist() == [
        str(folder / "deep/c.flac"),
        str(folder / "b.ogg"),
    ]
    assert table.index.is_unique


def test_broken_files_are_listed_and_have_no_rows(predictor, folder, capsys):
    good = predictor.predict(folder, progress=False)
    (folder / "aa.wav").write_bytes(b"")
    (folder / "ab.ogg").write_bytes(b"not a sound at all")
    table = predictor.predict([folder, folder / "gone.wav"], progress=False)
    pd.testing.assert_frame_equal(table, good, atol=1e-5, rtol=0)
    assert predictor.errors["path"].tolist() == [str(folder / name) for name in ("aa.wav", "ab.ogg", "gone.wav")]
    assert predictor.errors["reason"].str.len().min() > 5
    assert not predictor.errors["reason"].str.contains(str(folder)).any(), "the path has a column of its own"
    assert "3 of 6 recordings cannot be read" in capsys.readouterr().err
    with pytest.raises(BirdfastError, match="more than max_bad=10%"):
        predictor.predict([folder, folder / "gone.wav"], progress=False, max_bad=0.1)


def test_a_file_that_breaks_off_in_the_middle_has_no_rows(predictor, folder, monkeypatch):
    def fragile(path, *, start_time, **how):
        if str(path).endswith("a.wav") and start_time >= 10:
            raise AudioError(path, "cannot be decoded at 10 s")
        return read_clip(path, start_time=start_time, **how)

    monkeypatch.setattr(windows, "CHUNK", 5.0)
    monkeypatch.setattr(windows, "read_clip", fragile)
    table = predictor.predict(folder, progress=False)
    assert str(folder / "a.wav") not in table.index.get_level_values("path") and len(table) == 4
    assert not table.isna().any().any()
    assert predictor.errors.to_dict("records") == [
        {"path": str(folder / "a.wav"), "reason": "cannot be decoded at 10 s"}
    ]


def test_a_truncated_file_is_scored_as_far_as_it_goes(predictor, folder, capsys):
    path = write(folder / "cut.flac", 200, 7)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    table = predictor.predict(folder, progress=False)
    assert len(table) == 8 + 20 and table.loc[str(path)].index[-1] == (95.0, 100.0)
    assert "cut.flac: its header says 200.00 s, 99.84 s are there" in capsys.readouterr().err


def test_a_file_that_says_too_little_is_scored_to_its_end(predictor, tmp_path):
    write(tmp_path / "night.wav", 90, 7)
    content = bytearray((tmp_path / "night.wav").read_bytes())
    whole = predictor.predict(tmp_path, progress=False)
    at = content.index(b"data") + 4
    for size in (0, 9 * 2 * RATE):  # the recorder's battery died, before or after it wrote its first size
        content[at : at + 4] = size.to_bytes(4, "little")
        (tmp_path / "night.wav").write_bytes(content)
        pd.testing.assert_frame_equal(predictor.predict(tmp_path, progress=False), whole)
    assert len(whole) == 18


def test_nothing_to_predict_is_said(predictor, tmp_path):
    with pytest.raises(BirdfastError, match="no recording and no folder at"):
        predictor.predict(tmp_path / "none", progress=False)
    with pytest.raises(BirdfastError):
        predictor.predict(tmp_path, progress=False)
    with pytest.raises(BirdfastError, match="no recordings to predict"):
        predictor.predict([], progress=False)
    (tmp_path / "a.wav").write_bytes(b"")
    with pytest.raises(BirdfastError, match=r"none of the 1 recordings can be read.*a\.wav"):
        predictor.predict(tmp_path, progress=False)
    with pytest.raises(BirdfastError, match="above 0"):
        predictor.predict(tmp_path, step=0)
    with pytest.raises(BirdfastError, match="at a step of 60 s windows of .* leave gaps: take a step of"):
        predictor.predict(tmp_path, step=60, average=True)


def test_wrong_arguments_are_said(bundle):
    for wrong in ({"batch_size": 0}, {"workers": 0}, {"device": "abacus"}):
        with pytest.raises(BirdfastError):
            Predictor(bundle, **wrong)
    if not torch.cuda.is_available():
        with pytest.raises(BirdfastError, match="no GPU"):
            Predictor(bundle, device="cuda")


def test_a_diverged_model_is_said(bundle, folder):
    broken = make_bundle(bundle.recipe)
    broken.model.head[-1].bias.data.fill_(torch.nan)
    with pytest.raises(BirdfastError, match="diverged"):
        Predictor(broken).predict(folder, progress=False)


def test_a_learner_is_left_as_it_was(bundle, folder, predictor):
    model = make_bundle(bundle.recipe).model.train()
    learn = SimpleNamespace(model=model, recipe=bundle.recipe, dls=SimpleNamespace(vocab=CLASSES))
    table = Predictor(learn).predict(folder, progress=False)
    assert model.training and all(p.requires_grad for p in model.parameters())
    pd.testing.assert_frame_equal(table, predictor.predict(folder, progress=False), atol=1e-5, rtol=0)


def test_a_fresh_process_gives_the_same_without_fastai(bundle, predictor, folder, tmp_path):
    path = save_bundle(bundle, tmp_path / "birds.safetensors")
    script = (
        "import sys\nfrom birdfast.prediction.predictor import Predictor\n"
        "from birdfast.prediction.outputs.tables import write_csv\n"
        f"write_csv(Predictor({str(path)!r}).predict({str(folder)!r}), {str(tmp_path / 'scores.csv')!r})\n"
        "assert 'fastai' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    table = pd.read_csv(tmp_path / "scores.csv", index_col=["path", "start_time", "end_time"])
    np.testing.assert_allclose(table, predictor.predict(folder, progress=False), atol=1e-5)


# Submissions


@pytest.fixture
def contest(tmp_path):
    """Two 20 s test soundscapes, train soundscapes, and a sample whose columns are not in the model's order."""
    for k in range(2):
        write(tmp_path / "test_soundscapes" / f"soundscape_{k}.ogg", 20, k)
    for k in range(3):
        write(tmp_path / "train_soundscapes" / f"train_{k}.ogg", 10, 10 + k)
    ids = [f"soundscape_{k}_{end}" for k in (1, 0) for end in (20, 5, 10, 15)]
    sample = pd.DataFrame({"row_id": ids, **dict.fromkeys(("gretin1", "1491113", "banana"), 0.1)})
    sample.to_csv(tmp_path / "sample_submission.csv", index=False)
    return tmp_path


def submit(predictor, contest, sample="sample_submission.csv", **how):
    how = {"out": contest / "submission.csv", "progress": False, **how}
    return predictor.submission(contest / "test_soundscapes", contest / sample, **how)


def test_rows_and_columns_follow_the_sample(predictor, contest):
    submit(predictor, contest)
    table = pd.read_csv(contest / "submission.csv")
    sample = pd.read_csv(contest / "sample_submission.csv")
    assert list(table) == list(sample) and table["row_id"].tolist() == sample["row_id"].tolist()
    scores = predictor.predict(contest / "test_soundscapes", progress=False)
    expected = scores.loc[(str(contest / "test_soundscapes" / "soundscape_1.ogg"), 15.0, 20.0)]
    np.testing.assert_allclose(table.iloc[0, 1:].astype(float), expected[list(sample)[1:]], atol=1e-5)
    expected = scores.loc[(str(contest / "test_soundscapes" / "soundscape_0.ogg"), 5.0, 10.0)]
    np.testing.assert_allclose(table.iloc[6, 1:].astype(float), expected[list(sample)[1:]], atol=1e-5)


def test_a_sample_of_another_file_gives_all_windows(predictor, contest, capsys):
    sample = pd.read_csv(contest / "sample_submission.csv").head(3)
    sample.assign(row_id=[f"soundscape_999_{end}" for end in (5, 10, 15)]).to_csv(contest / "few.csv", index=False)
    table = submit(predictor, contest, "few.csv")
    assert sorted(table["row_id"]) == sorted(pd.read_csv(contest / "sample_submission.csv")["row_id"])
    assert list(table) == list(sample)
    assert "not those of the sample: no soundscape belongs to row_id 'soundscape_999_5'" in capsys.readouterr().err


@pytest.mark.parametrize("how", [{}, {"step": 2.5, "average": True}])
def test_rows_of_missing_files_hold_the_mean(predictor, contest, capsys, how):
    (contest / "test_soundscapes" / "soundscape_0.ogg").unlink()
    table, sample = submit(predictor, contest, **how), pd.read_csv(contest / "sample_submission.csv")
    assert table["row_id"].tolist() == sample["row_id"].tolist()
    there, gone = table.iloc[:4, 1:], table.iloc[4:, 1:]
    assert there.nunique().min() > 1
    np.testing.assert_allclose(gone, np.tile(there.mean(), (4, 1)), atol=1e-6)
    said = capsys.readouterr().err
    assert "4 rows of the sample name no window of a file that is there, the first 'soundscape_0_20'" in said
    assert "unreadable" not in said and not len(predictor.errors)


@pytest.mark.parametrize("empty", [True, False])
def test_an_empty_test_folder_makes_a_dry_run(predictor, contest, capsys, empty):
    for file in (contest / "test_soundscapes").iterdir():
        file.unlink()
    if not empty:
        (contest / "test_soundscapes").rmdir()
    table = submit(predictor, contest)
    assert table["row_id"].tolist() == ["train_0_5", "train_0_10", "train_1_5", "train_1_10"]
    assert "DRY RUN" in capsys.readouterr().err
    write(contest / "mine" / "x.wav", 10, 0)
    assert submit(predictor, contest, dry_run=contest / "mine")["row_id"].tolist() == ["x_5", "x_10"]
    with pytest.raises(BirdfastError, match="give dry_run="):
        submit(predictor, contest, dry_run=contest / "none")


def test_a_broken_test_file_gets_the_mean(predictor, contest, capsys):
    (contest / "test_soundscapes" / "soundscape_0.ogg").write_bytes(b"broken")
    table = submit(predictor, contest)
    good, bad = table[table["row_id"].str.startswith("soundscape_1_")], table[table["row_id"].str.contains("e_0_")]
    assert len(good) == len(bad) == 4
    np.testing.assert_allclose(bad.iloc[:, 1:], np.tile(good.iloc[:, 1:].mean(), (4, 1)), atol=1e-6)
    assert predictor.errors["path"].tolist() == [str(contest / "test_soundscapes" / "soundscape_0.ogg")]
    assert "4 rows of 1 unreadable files hold the mean" in capsys.readouterr().err
    few = pd.read_csv(contest / "sample_submission.csv").head(1).assign(row_id="soundscape_9_5")
    few.to_csv(contest / "few.csv", index=False)
    assert len(submit(predictor, contest, "few.csv")) == 8, "a broken file has as many rows as the others"


def test_a_file_shorter_than_the_sample_says(predictor, contest, capsys):
    write(contest / "test_soundscapes" / "soundscape_0.ogg", 12, 0)
    table = submit(predictor, contest).set_index("row_id")
    assert (table.loc["soundscape_0_20"] == table.loc["soundscape_0_15"]).all()
    assert (table.loc["soundscape_0_15"] != table.loc["soundscape_0_10"]).any()
    assert "1 rows lie beyond their file's end" in capsys.readouterr().err


def test_longer_model_windows_lie_around_the_scored_one(bundle, contest):
    long = make_bundle(bundle.recipe.with_(duration=10.0))
    table = submit(Predictor(long), contest).set_index("row_id")
    scores = by_hand(long, contest / "test_soundscapes" / "soundscape_0.ogg", start_time=2.5, duration=10.0)
    expected = pd.Series(scores, index=CLASSES)[list(table)]
    np.testing.assert_allclose(table.loc["soundscape_0_10"], expected, atol=1e-5)


def test_a_constant_model_is_refused(bundle, contest):
    flat = make_bundle(bundle.recipe)
    flat.model.head[-1].weight.data.zero_()
    with pytest.raises(BirdfastError, match="same scores for all 8 windows"):
        submit(Predictor(flat), contest)
    assert not (contest / "submission.csv").exists()


def test_a_single_window_says_nothing_about_the_model(predictor, bundle, tmp_path):
    """2022's public sample asks for three birds of one window; other rows all lie beyond a short file's end."""
    path = write(tmp_path / "test_soundscapes" / "soundscape_45.ogg", 10, 1)
    ids = [f"soundscape_45_{bird}_5" for bird in ("banana", "amecro", "gretin1")]
    pd.DataFrame({"row_id": ids, "target": False}).to_csv(tmp_path / "birds.csv", index=False)
    assert submit(predictor, tmp_path, "birds.csv")["row_id"].tolist() == ids
    ids = ["soundscape_45_5", "soundscape_45_10"]
    pd.DataFrame({"row_id": ids, "amecro": 0.1}).to_csv(tmp_path / "later.csv", index=False)
    assert submit(predictor, tmp_path, "later.csv")["amecro"].nunique() == 2
    long = Predictor(make_bundle(bundle.recipe.with_(duration=10.0)), device="cpu")
    assert submit(long, tmp_path, "later.csv")["amecro"].nunique() == 1, "it hears the whole file for each row"
    write(path, 3, 1)
    for how in ({}, {"average": True}):
        assert submit(predictor, tmp_path, "later.csv", **how)["amecro"].nunique() == 1


def test_classes_the_model_does_not_know(predictor, contest):
    sample = pd.read_csv(contest / "sample_submission.csv")
    sample.assign(newbird=0.1).to_csv(contest / "more.csv", index=False)
    with pytest.raises(BirdfastError, match="does not know 1 of the sample's 4 classes: newbird"):
        submit(predictor, contest, "more.csv")
    sample.rename(columns={name: f"x{name}" for name in CLASSES}).to_csv(contest / "other.csv", index=False)
    with pytest.raises(BirdfastError, match="another competition"):
        submit(predictor, contest, "other.csv")
    with pytest.raises(BirdfastError, match="no sample submission at"):
        submit(predictor, contest, "none.csv")


def test_the_forms_of_2021_and_2022(predictor, tmp_path):
    write(tmp_path / "test_soundscapes" / "3575_COR_20190101.ogg", 15, 1)
    ids = [f"3575_COR_{end}" for end in (5, 10, 15)]
    pd.DataFrame({"row_id": ids, "birds": "nocall"}).to_csv(tmp_path / "sample_2021.csv", index=False)
    table = submit(predictor, tmp_path, "sample_2021.csv", threshold=0.0)
    assert list(table) == ["row_id", "birds"] and table["row_id"].tolist() == ids
    assert table["birds"].tolist() == [" ".join(CLASSES)] * 3
    assert submit(predictor, tmp_path, "sample_2021.csv", threshold=1.0)["birds"].tolist() == ["nocall"] * 3

    (tmp_path / "test_soundscapes" / "3575_COR_20190101.ogg").unlink()
    path = write(tmp_path / "test_soundscapes" / "soundscape_45.ogg", 10, 1)
    ids = [f"soundscape_45_{bird}_{end}" for bird in ("banana", "amecro") for end in (5, 10)]
    pd.DataFrame({"row_id": ids, "target": False}).to_csv(tmp_path / "sample_2022.csv", index=False)
    table = submit(predictor, tmp_path, "sample_2022.csv", threshold=0.2)
    scores = predictor.predict(path, progress=False)
    expected = np.concatenate([scores["banana"], scores["amecro"]]) > 0.2
    assert table["row_id"].tolist() == ids and table["target"].tolist() == expected.tolist()


def test_a_submission_of_overlapping_windows(predictor, contest):
    plain, asked = submit(predictor, contest), ["gretin1", "1491113", "banana"]
    table = submit(predictor, contest, step=2.5, average=True)
    assert table["row_id"].tolist() == plain["row_id"].tolist()
    assert np.abs(table[asked] - plain[asked]).to_numpy().max() > 0.01
    pd.testing.assert_frame_equal(submit(predictor, contest, average=True), plain, atol=1e-5)
    path = next((contest / "test_soundscapes").iterdir())
    windows = predictor.predict(path, step=2.5, progress=False)
    windows = windows.droplevel(["path", "end_time"])[asked]
    row = table.set_index("row_id").loc[f"{path.stem}_10", asked]
    expected = (windows.loc[2.5] + 2 * windows.loc[5.0] + windows.loc[7.5]) / 4  # of its halves two windows each
    np.testing.assert_allclose(row.to_numpy(dtype=float), expected, atol=1e-5)
    with pytest.raises(BirdfastError, match="needs average"):
        submit(predictor, contest, step=2.5)
    for step in (-1.0, 0.0, 7.5):
        with pytest.raises(BirdfastError, match="is at most its rows' 5 s"):
            submit(predictor, contest, step=step, average=True)
