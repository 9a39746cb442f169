import librosa
import numpy as np
import pytest
import torch

from birdfast.recipe.presets import RECIPES
from birdfast.recipe.recipe import SPECTROGRAM
from birdfast.spectrogram.logmel import LogMel


@pytest.fixture
def chirp():
    rng = np.random.default_rng(0)
    t = np.arange(64_000) / 32_000
    return (0.3 * np.sin(2 * np.pi * (2000 + 1500 * t) * t) + 0.01 * rng.standard_normal(64_000)).astype(np.float32)


@pytest.mark.parametrize("mel_scale", ["slaney", "htk"])
@pytest.mark.parametrize("mel_norm", ["slaney", "none"])
@pytest.mark.parametrize("power", [1.0, 2.0])
def test_decibels_equal_librosa(chirp, mel_scale, mel_norm, power):
    mel = librosa.feature.melspectrogram(
        y=chirp, sr=32000, n_fft=1024, hop_length=320, n_mels=64, fmin=50, fmax=14000, power=power,
        htk=mel_scale == "htk", norm=None if mel_norm == "none" else mel_norm,
    )  # fmt: skip
    theirs = librosa.power_to_db(mel, top_db=80) if power == 2 else librosa.amplitude_to_db(mel, amin=1e-10, top_db=80)
    ours = LogMel(
        n_fft=1024,
        hop_length=320,
        n_mels=64,
        fmin=50,
        fmax=14000,
        power=power,
        mel_scale=mel_scale,
        mel_norm=mel_norm,
        normalize="none",
    )
    np.testing.assert_allclose(ours(torch.from_numpy(chirp)).numpy(), theirs, atol=2e-3)


def test_shape_of_five_seconds():
    logmel = LogMel.from_recipe(RECIPES["baseline"])
    assert logmel(torch.zeros(2, 1, 160_000)).shape == (2, 1, 128, 313)


def test_every_knob_of_the_recipe_is_taken():
    other = {
        "sample_rate": 16_000, "n_fft": 1024, "win_length": 800, "hop_length": 160, "n_mels": 64, "fmin": 50.0, "fmax": 7000.0,
        "power": 1.0, "top_db": 60.0, "mel_scale": "htk", "mel_norm": "none", "normalize": "minmax",
    }  # fmt: skip
    assert set(other) == set(SPECTROGRAM)
    logmel = LogMel.from_recipe(RECIPES["baseline"].with_(**other))
    assert {name: getattr(logmel, name) for name in other} == other


def test_standard_normalisation_is_per_item(chirp):
    loud = torch.from_numpy(chirp)
    batch = LogMel()(torch.stack([loud, loud * 0.01])[:, None])
    assert batch.mean((-2, -1)).abs().max() < 1e-4
    assert (batch.std((-2, -1)) - 1).abs().max() < 1e-3


def test_an_item_does_not_depend_on_its_neighbours(chirp):
    waves = torch.stack([torch.from_numpy(chirp), torch.randn(64_000)])
    logmel = LogMel()
    torch.testing.assert_close(logmel(waves)[0], logmel(waves[0]))


def test_minmax_lies_between_zero_and_one(chirp):
    image = LogMel(normalize="minmax")(torch.from_numpy(chirp))
    assert image.min() == 0
    assert image.max() == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("normalize", ["standard", "minmax", "none"])
def test_silence_gives_finite_numbers(normalize):
    assert LogMel(normalize=normalize)(torch.zeros(1, 32_000)).isfinite().all()


def test_autocast_does_not_reach_the_stft(chirp):
    wave = torch.from_numpy(chirp)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = LogMel()(wave)
    torch.testing.assert_close(inside, LogMel()(wave))


def test_state_dict_is_empty_because_the_recipe_says_all():
    assert not LogMel().state_dict()
