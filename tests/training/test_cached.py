import random

import numpy as np
import pandas as pd
import pytest
import torch
from fastai.learner import load_learner

from birdfast.audio.read import read_clip
from birdfast.errors import BirdfastError
from birdfast.prediction.predictor import Predictor
from birdfast.spectrogram.logmel import LogMel
from birdfast.training.cached import ReadLevels, ReadPcm, fit_frames, whole_levels
from birdfast.training.dataloaders import bird_dls
from birdfast.training.learner import bird_learner
from birdfast.training.transforms import AudioSpectrogram, AudioToSpec, Clip


def first_batch(source, recipe, **kwargs):
    dls = bird_dls(source, recipe, device="cpu", num_workers=0, **kwargs)
    random.seed(1)
    np.random.seed(1)
    dls.train.rng = random.Random(1)
    return dls, dls.train.one_batch()[0]


@pytest.fixture
def plain(tiny_recipe):
    return tiny_recipe.with_(time_masks=0, freq_masks=0, mixup_alpha=0.0)


def test_clips_from_the_waveform_cache_are_those_of_the_files(tiny_birds, plain, tmp_path):
    x = first_batch(tiny_birds, plain)[1]
    dls, cached = first_batch(tiny_birds, plain, cache="waveform", cache_dir=tmp_path)
    assert type(cached) is AudioSpectrogram
    torch.testing.assert_close(cached.waveform, x.waveform, atol=1e-4, rtol=0)
    torch.testing.assert_close(cached, x, atol=0.02, rtol=0)
    valid = bird_dls(tiny_birds, plain, device="cpu").valid
    for (a, _), (b, _) in zip(valid, dls.valid, strict=True):
        torch.testing.assert_close(a, b, atol=0.02, rtol=0)


def test_training_from_the_waveform_cache_gives_the_same_losses(tiny_birds, tiny_recipe, tmp_path):
    losses = []
    for cache in (None, "waveform"):
        learn = bird_learner(bird_dls(tiny_birds, tiny_recipe, device="cpu", cache=cache, cache_dir=tmp_path))
        with learn.no_bar(), learn.no_logging():
            learn.fit_recipe()
        losses.append([float(loss) for loss in learn.recorder.losses] + list(learn.recorder.values[-1][:2]))
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)


def test_the_spectrogram_cache_is_near_and_trains(tiny_birds, tiny_recipe, plain, tmp_path):
    x = first_batch(tiny_birds, plain)[1]
    _, cached = first_batch(tiny_birds, plain, cache="spectrogram", cache_dir=tmp_path)
    assert cached.shape == x.shape
    assert 0 < (cached - x).abs().mean() < 0.2  # of spectrograms of unit variance
    masked = first_batch(tiny_birds, tiny_recipe.with_(mask_p=1.0), cache="spectrogram", cache_dir=tmp_path)[1]
    assert not torch.equal(masked, cached)
    learn = bird_learner(bird_dls(tiny_birds, tiny_recipe, cache="spectrogram", cache_dir=tmp_path, device="cpu"))
    with learn.no_bar(), learn.no_logging():
        learn.fit_recipe()
    learn.dls.show_batch(max_n=2)
    assert np.isfinite(learn.recorder.values[-1][0])


@pytest.mark.parametrize("cache", ["waveform", "spectrogram"])
def test_a_model_trained_from_a_cache_scores_waveforms_alike_everywhere(tiny_birds, plain, tmp_path, cache):
    learn = bird_learner(bird_dls(tiny_birds, plain, cache=cache, cache_dir=tmp_path / "cache", device="cpu"))
    other = tmp_path / "other.wav"
    other.write_bytes((tiny_birds / "species0" / "0.wav").read_bytes())
    scores = learn.probabilities(other)
    np.testing.assert_allclose(scores, Predictor(learn).predict(other), atol=1e-3)
    learn.export(tmp_path / "birds.pkl")
    np.testing.assert_allclose(scores, load_learner(tmp_path / "birds.pkl").probabilities(other), atol=1e-5)


@pytest.mark.parametrize("n", [8000, 8001])
def test_loud_recordings_keep_their_level(plain, n):
    waveform = np.linspace(-4, 4, n, dtype=np.float32)
    item = ReadPcm(plain, None).as_item(waveform)
    assert item.shape == (1, n + 2)
    spectrogram = AudioToSpec.from_cfg(plain)(item[None])
    np.testing.assert_allclose(spectrogram.waveform[0, 0], waveform, atol=1e-4)


def test_levels_made_in_stretches_are_those_of_the_whole(plain, monkeypatch):
    logmel, waveform = LogMel.from_recipe(plain), np.random.default_rng(0).standard_normal(30_000).astype(np.float32)
    whole = logmel.levels(torch.from_numpy(waveform)).T.numpy()
    monkeypatch.setattr("birdfast.training.cached._BLOCK", 50)
    np.testing.assert_allclose(whole_levels(logmel, waveform), whole, atol=0.06)


def test_the_inner_frames_of_a_crop_are_those_of_the_recording(tiny_birds, plain):
    file = str(tiny_birds / "species1" / "3.wav")
    logmel = LogMel.from_recipe(plain)
    inner = logmel.levels(torch.from_numpy(read_clip(file, start_time=0.512, duration=1.0, sample_rate=8000)))
    reader = ReadLevels(plain)
    reader._rows = lambda path: ((lambda a, b: whole_levels(logmel, read_clip(path, sample_rate=8000))[a:b]), 126)
    crop = reader.read(file, 0.512, 1.0)[0].T.float()
    assert crop.shape == inner.shape
    torch.testing.assert_close(crop[:, 1:-1], inner[:, 1:-1], atol=0.06, rtol=0)
    assert (crop[:, 0] - inner[:, 0]).abs().max() > 0.5  # the edge hears what lies beyond the crop: the approximation


@pytest.mark.parametrize(
    ("pad", "expected"), [("repeat", [0, 1, 2, 0, 1]), ("end", [0, 1, 2, -9, -9]), ("center", [-9, 0, 1, 2, -9])]
)
def test_short_spectrograms_are_padded_as_waveforms_are(pad, expected):
    frames = np.arange(3.0)[:, None]
    assert fit_frames(frames, 5, pad=pad, floor=-9)[:, 0].tolist() == expected
    assert fit_frames(frames, 2, pad=pad, floor=-9)[:, 0].tolist() == [0, 1]


@pytest.fixture
def saved(tiny_birds, plain, tmp_path):
    """The tiny birds as somebody's own spectrograms, a .npy a recording."""
    logmel = LogMel.from_recipe(plain)
    for file in tiny_birds.rglob("*.wav"):
        out = tmp_path / "saved" / file.parent.name / f"{file.stem}.npy"
        out.parent.mkdir(parents=True, exist_ok=True)
        np.save(out, whole_levels(logmel, read_clip(file, sample_rate=8000)).T)
    return tmp_path / "saved"


def test_a_users_own_spectrograms_train_and_the_model_hears_sound(saved, tiny_birds, tiny_recipe, tmp_path):
    learn = bird_learner(bird_dls(saved, tiny_recipe.with_(epochs=8, lr=0.01, mixup_alpha=0.0), device="cpu"))
    assert learn.dls.one_batch()[0].shape == (8, 1, 32, 63)
    with learn.no_bar(), learn.no_logging():
        learn.fit_recipe()
    assert learn.scores()["accuracy"] > 0.6
    scores = Predictor(learn).predict(sorted((tiny_birds / "species2").glob("*.wav")))
    assert (scores.idxmax(axis=1) == "species2").mean() > 0.6


def test_saved_spectrograms_of_another_shape_are_refused(saved, tiny_birds, plain, tiny_table):
    with pytest.raises(BirdfastError, match=r"shape \(32, 126\), the recipe wants \(n_mels=40"):
        bird_dls(saved, plain.with_(n_mels=40))
    npy = sorted(saved.rglob("*.npy"))[:1]
    mixed = pd.concat([tiny_table, tiny_table[:1].assign(path=[str(f) for f in npy])])
    with pytest.raises(BirdfastError, match="1 of 31 recordings are .npy"):
        bird_dls(mixed, plain)


def test_attention_over_saved_single_moments_is_refused(saved, plain):
    short, sed = saved / "species1" / "3.npy", plain.with_(pooling="sed")
    np.save(short, np.load(short)[:, :33])
    bird_dls(saved, sed, device="cpu")
    np.save(short, np.load(short)[:, :32])
    with pytest.raises(BirdfastError, match=r"'sed' weighs moments .* the 32 frames of .*3\.npy are a single one"):
        bird_dls(saved, sed)
    bird_dls(saved, plain, device="cpu")


def test_a_broken_npy_is_listed(saved, plain):
    (saved / "species0" / "0.npy").write_bytes(b"no array")
    dls = bird_dls(saved, plain, device="cpu")
    assert len(dls.plan.bad_files) == 1
    assert "species0" in dls.plan.bad_files.table()["path"][0]


def test_an_unknown_cache_says_which_there_are(tiny_birds, plain):
    with pytest.raises(BirdfastError, match="did you mean 'waveform'"):
        bird_dls(tiny_birds, plain, cache="wavform")


def test_a_clip_beyond_the_end_is_listed_not_padded(tiny_birds, plain, tmp_path):
    dls = bird_dls(tiny_birds, plain, cache="waveform", cache_dir=tmp_path, device="cpu")
    reader = next(t for t in dls.valid.after_item.fs if isinstance(t, ReadPcm))
    path = dls.plan.clips["path"][0]
    assert (reader(Clip(path, 5.0, 6.0), split_idx=1)[..., :-2] == 0).all()
    assert dls.plan.bad_files.table()["path"].tolist() == [path]
