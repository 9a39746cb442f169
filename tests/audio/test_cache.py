import shutil

import numpy as np
import pandas as pd
import pytest
import soundfile

from birdfast.audio import cache as cache_module
from birdfast.audio.cache import cache_waveforms, from_pcm, to_pcm, waveform_store
from birdfast.audio.read import read_clip, read_headers
from birdfast.errors import BirdfastError
from birdfast.sources.read import read_source
from birdfast.sources.source import check_cache_place

HALF_A_STEP = 0.5 / 32767


def recordings(*files) -> pd.DataFrame:
    return read_headers(files)


def wave(path, seconds=2.0, *, rate=8000, gain=0.3, seed=0):
    samples = gain * np.random.default_rng(seed).standard_normal(round(seconds * rate)).clip(-3, 3)
    soundfile.write(path, samples, rate, subtype="FLOAT")
    return path


def cached(store, path):
    entry = store.get(str(path))
    return from_pcm(store.rows(entry, 0, entry.length), entry.scale)


@pytest.mark.parametrize("gain", [1e-4, 0.1, 0.33, 2.0])
def test_nothing_is_clipped_and_little_is_lost(gain):
    waveform = gain * np.random.default_rng(0).uniform(-1, 1, 5000).astype(np.float32)
    samples, scale = to_pcm(waveform)
    assert samples.dtype == np.int16
    np.testing.assert_allclose(from_pcm(samples, scale), waveform, atol=HALF_A_STEP * gain * 1.01)


@pytest.mark.parametrize("samples", [[-32768, 32767, 1, 0], [3, -3], [0, 0]])
def test_sixteen_bits_stay_exact(samples):
    waveform = (np.array(samples) / 32768).astype(np.float32)
    stored, scale = to_pcm(waveform)
    assert stored.tolist() == samples
    assert (from_pcm(stored, scale) == waveform).all()


def test_the_cache_holds_what_the_files_hold(tmp_path, capsys):
    files = [wave(tmp_path / "a.wav"), wave(tmp_path / "b.wav", rate=11_025), wave(tmp_path / "loud.wav", gain=0.9)]
    store = cache_waveforms(recordings(*files, files[0]), tmp_path / "cache", sample_rate=8000)
    for file in files:
        truth = read_clip(file, sample_rate=8000)
        np.testing.assert_allclose(cached(store, file), truth, atol=HALF_A_STEP * max(1, abs(truth).max()) * 1.01)
    said = capsys.readouterr().err
    assert "caching 3 recordings" in said
    assert "GB are free" in said
    assert "1 recordings go beyond full scale" in said


def test_only_what_changed_is_made_anew(tmp_path, capsys):
    files = [wave(tmp_path / "a.wav"), wave(tmp_path / "b.wav", seed=1)]
    cache_waveforms(recordings(*files), tmp_path / "cache", sample_rate=8000)
    cache_waveforms(recordings(*files), tmp_path / "cache", sample_rate=8000)
    assert "all 2 recordings are cached" in capsys.readouterr().err
    wave(files[0], 3.0, seed=2)
    store = cache_waveforms(recordings(*files), tmp_path / "cache", sample_rate=8000)
    said = capsys.readouterr().err
    assert "1 recordings changed since they were cached" in said
    assert "caching 1 recordings" in said
    assert len(cached(store, files[0])) == 24_000
    np.testing.assert_allclose(cached(store, files[0]), read_clip(files[0], sample_rate=8000), atol=2 * HALF_A_STEP)


def test_what_cannot_be_read_stays_out(tmp_path, capsys):
    good, broken = wave(tmp_path / "a.wav"), tmp_path / "broken.ogg"
    shutil.copy(good, broken)
    broken.write_bytes(broken.read_bytes()[:40])
    table = pd.DataFrame({"path": [str(good), str(broken)], "duration": [2.0, 2.0]})
    store = cache_waveforms(table, tmp_path / "cache", sample_rate=8000)
    assert store.get(broken) is None
    assert store.get(good)
    assert "1 recordings could not be cached; the first:" in capsys.readouterr().err


def test_a_full_disk_is_seen_before_writing(tmp_path, monkeypatch):
    file = wave(tmp_path / "a.wav")
    monkeypatch.setattr(cache_module, "_free", lambda folder: 30_000)
    with pytest.raises(BirdfastError, match=r"name a folder on another disk"):
        cache_waveforms(recordings(file), tmp_path / "cache", sample_rate=8000)
    assert not (tmp_path / "cache").exists()


def test_rates_have_stores_of_their_own(tmp_path):
    file = wave(tmp_path / "a.wav")
    cache_waveforms(recordings(file), tmp_path / "cache", sample_rate=8000)
    assert waveform_store(tmp_path / "cache", sample_rate=16_000).get(file) is None
    assert waveform_store(tmp_path / "cache", sample_rate=8000).get(file)


def test_a_cache_among_the_classes_is_refused(tiny_birds):
    with pytest.raises(BirdfastError, match="among the class folders"):
        check_cache_place(tiny_birds / "cache", read_source(tiny_birds))
