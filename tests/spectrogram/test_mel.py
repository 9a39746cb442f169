import librosa
import numpy as np
import pytest

from birdfast.errors import BirdfastError
from birdfast.spectrogram.mel import hz_to_mel, mel_filterbank, mel_to_hz


@pytest.mark.parametrize("mel_scale", ["slaney", "htk"])
def test_scale_equals_librosas_and_comes_back(mel_scale):
    hz = np.array([0.0, 20, 440, 999, 1000, 1001, 4000, 16_000, 48_000])
    mel = hz_to_mel(hz, mel_scale=mel_scale)
    np.testing.assert_allclose(mel, librosa.hz_to_mel(hz, htk=mel_scale == "htk"), rtol=1e-12)
    np.testing.assert_allclose(mel_to_hz(mel, mel_scale=mel_scale), hz, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("function", [hz_to_mel, mel_to_hz])
def test_unknown_scale_names_the_nearest(function):
    with pytest.raises(BirdfastError, match=r"mel_scale 'slany'.*did you mean 'slaney'"):
        function(440.0, mel_scale="slany")


@pytest.mark.parametrize("mel_scale", ["slaney", "htk"])
@pytest.mark.parametrize("mel_norm", ["slaney", "none"])
@pytest.mark.parametrize(
    ("sample_rate", "n_fft", "n_mels", "fmin", "fmax"),
    [(32000, 2048, 128, 20, 16000), (22050, 1024, 64, 0, 8000), (32000, 1001, 40, 20, 16000)],
)
def test_filterbank_equals_librosa(mel_scale, mel_norm, sample_rate, n_fft, n_mels, fmin, fmax):
    theirs = librosa.filters.mel(
        sr=sample_rate,
        n_fft=n_fft,
        n_mels=n_mels,
        fmin=fmin,
        fmax=fmax,
        htk=mel_scale == "htk",
        norm=None if mel_norm == "none" else mel_norm,
    )
    ours = mel_filterbank(
        sample_rate=sample_rate,
        n_fft=n_fft,
        n_mels=n_mels,
        fmin=fmin,
        fmax=fmax,
        mel_scale=mel_scale,
        mel_norm=mel_norm,
    )
    np.testing.assert_allclose(ours, theirs, atol=1e-7)
