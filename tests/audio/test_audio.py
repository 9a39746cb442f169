"""Clips are read exactly, by seeking, and what cannot be read says why."""

import os
import pickle

import numpy as np
import pytest
import soundfile
import soxr

from birdfast.audio import read as audio
from birdfast.audio.listing import get_audio_files
from birdfast.audio.read import AudioError, fit, open_audio, read_clip, read_header, read_headers, window_starts
from birdfast.errors import BirdfastError

FORMATS = {"wav": {}, "flac": {}, "ogg": {}, "mp3": {}, "opus": {"format": "OGG", "subtype": "OPUS"}}


def song(sample_rate: int, seconds: float, channels: int = 1) -> np.ndarray:
    """A rising sweep in noise, (time,) or (time, channels)."""
    rng = np.random.default_rng(0)
    t = np.arange(round(sample_rate * seconds)) / sample_rate
    sweep = 0.3 * np.sin(2 * np.pi * (500 * t + 150 * t**2))
    sound = (sweep[:, None] + 0.05 * rng.standard_normal((len(t), channels))).astype(np.float32)
    return sound[:, 0] if channels == 1 else sound


@pytest.mark.parametrize("sample_rate", [22_050, 32_000, 44_100, 48_000])
@pytest.mark.parametrize("suffix", FORMATS)
def test_a_slice_equals_the_same_slice_of_the_whole(tmp_path, suffix, sample_rate):
    if suffix == "opus" and sample_rate != 48_000:
        pytest.skip("opus knows 48 kHz and its divisors")
    path = tmp_path / f"song.{suffix}"
    soundfile.write(path, song(sample_rate, 8), sample_rate, **FORMATS[suffix])
    whole = soxr.resample(soundfile.read(path, dtype="float32")[0], sample_rate, 32_000, quality="HQ")
    for start in (0.0, 1.0, 2.3456, 4.99, 5.7):
        clip = read_clip(path, start_time=start, duration=1.5)
        first = round(start * 32_000)
        assert clip.dtype == np.float32
        assert clip.shape == (48_000,)
        np.testing.assert_allclose(clip, whole[first : first + 48_000], atol=1e-3)


@pytest.mark.parametrize(("suffix", "sample_rate"), [("mp3", 22_050), ("mp3", 24_000), ("opus", 24_000)])
def test_a_seek_does_not_start_in_the_dark(tmp_path, suffix, sample_rate, monkeypatch):
    """Frames of MP3 and Opus lean on those before, of which a bare seek restores too few."""
    monkeypatch.setattr(audio, "_MARGIN", 0)  # so that the resampler's margin does not hide it
    path = tmp_path / f"song.{suffix}"
    soundfile.write(path, song(sample_rate, 20), sample_rate, **FORMATS[suffix])
    whole = soundfile.read(path, dtype="float32")[0]
    for first in np.random.default_rng(1).integers(0, 19 * sample_rate, 40):
        clip = read_clip(path, start_time=first / sample_rate, duration=0.2, sample_rate=sample_rate)
        np.testing.assert_allclose(clip, whole[first : first + len(clip)], atol=2e-4)


@pytest.mark.parametrize("quiet", [False, True])
def test_a_slice_of_the_last_page_of_a_vorbis_file_is_in_its_place(tmp_path, quiet):
    path, sample_rate = tmp_path / "song.ogg", 16_000
    t = np.arange(20 * sample_rate) / sample_rate
    sound = 0.4 * np.sin(2 * np.pi * (300 + 400 * t) * t)  # of which a page holds seconds; and more of silence
    soundfile.write(path, np.where(t % 2 < 0.2, sound, 0) if quiet else sound, sample_rate)
    whole = soundfile.read(path, dtype="float32")[0]
    for first in range(10 * sample_rate, len(whole) - sample_rate // 2, 997):
        clip = read_clip(path, start_time=first / sample_rate, duration=0.2, sample_rate=sample_rate)
        np.testing.assert_allclose(clip, whole[first : first + len(clip)], atol=1e-3)


@pytest.mark.parametrize("sample_rate", [11_024, 44_100])
def test_the_whole_file_is_read_without_a_duration(tmp_path, sample_rate):
    soundfile.write(tmp_path / "a.wav", song(sample_rate, 3.01, channels=2), sample_rate, subtype="FLOAT")
    n = round(read_header(tmp_path / "a.wav").duration * 32_000)
    assert len(read_clip(tmp_path / "a.wav")) == n
    assert len(read_clip(tmp_path / "a.wav", start_time=1)) == n - 32_000


def test_channels_are_averaged(tmp_path):
    sound = song(32_000, 1, channels=2)
    soundfile.write(tmp_path / "a.wav", sound, 32_000, subtype="FLOAT")
    np.testing.assert_allclose(read_clip(tmp_path / "a.wav"), sound.mean(axis=1), atol=1e-6)


def test_only_the_slice_is_decoded(tmp_path, monkeypatch):
    soundfile.write(tmp_path / "a.wav", song(32_000, 20), 32_000)
    decoded = []
    read = soundfile.SoundFile.read
    monkeypatch.setattr(
        soundfile.SoundFile, "read", lambda self, n=-1, *a, **k: decoded.append(n) or read(self, n, *a, **k)
    )
    read_clip(tmp_path / "a.wav", start_time=10, duration=1)
    assert decoded[0] <= 1.2 * 32_000


def test_a_slice_beyond_the_end_is_padded(tmp_path):
    soundfile.write(tmp_path / "a.wav", song(32_000, 2), 32_000, subtype="FLOAT")
    whole = read_clip(tmp_path / "a.wav")
    np.testing.assert_array_equal(read_clip(tmp_path / "a.wav", duration=5), np.tile(whole, 3)[:160_000])
    clip = read_clip(tmp_path / "a.wav", start_time=1, duration=2, pad="end")
    assert not clip[32_000:].any()
    assert clip[:32_000].any()


@pytest.mark.parametrize("start", [2.0, 9.0, -1.0, float("nan")])
def test_a_start_outside_the_file_is_an_error(tmp_path, start):
    soundfile.write(tmp_path / "a.wav", song(32_000, 2), 32_000)
    with pytest.raises(AudioError, match=r"outside the file, which lasts 2.00 s"):
        read_clip(tmp_path / "a.wav", start_time=start, duration=1)


def test_silence_is_sound(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.zeros(32_000), 32_000)
    assert not read_clip(tmp_path / "a.wav", duration=1).any()


@pytest.mark.parametrize(
    ("bad", "said"), [(np.nan, "NaN or Inf"), (-np.inf, "NaN or Inf"), (-1e30, "samples of 1e.30 times full scale")]
)
def test_damaged_samples_are_errors(tmp_path, bad, said):
    sound = song(44_100, 2)
    sound[100] = bad
    soundfile.write(tmp_path / "a.wav", sound, 44_100, subtype="FLOAT")
    with pytest.raises(AudioError, match=said):
        read_clip(tmp_path / "a.wav", duration=1)


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3"])
def test_a_truncated_file_says_how_much_can_be_read(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    soundfile.write(path, song(32_000, 10), 32_000)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert len(read_clip(path, start_time=1, duration=1)) == 32_000
    with pytest.raises(AudioError, match=r"promises 10\.\d+ s, [345]\.\d+ s can be read|lasts [45]\.\d+ s"):
        read_clip(path, start_time=8, duration=1)


def test_files_that_cannot_be_read_say_why(tmp_path):
    (tmp_path / "empty.wav").touch()
    (tmp_path / "text.wav").write_text("not sound at all")
    (tmp_path / "phone.m4a").write_bytes(b"\0\0\0\x20ftypM4A ")
    (tmp_path / "renamed.wav").write_bytes(b"\0\0\0\x20ftypM4A ")
    soundfile.write(tmp_path / "none.wav", np.zeros(0), 32_000)
    soundfile.write(tmp_path / "good.wav", np.zeros(64_000), 32_000)
    names = {
        "empty.wav": "zero bytes",
        "text.wav": "cannot be read as sound",
        "phone.m4a": 'ffmpeg -i "phone.m4a" "phone.flac"',
        "renamed.wav": "ffmpeg -i",
        "none.wav": "no samples",
        "missing.wav": "check the path",
        ".": "is a folder",
    }
    for name, reason in names.items():
        with pytest.raises(AudioError, match=reason) as caught:
            read_header(tmp_path / name)
        assert caught.value.path == str(tmp_path / name)
    paths = [tmp_path / "good.wav", *(tmp_path / name for name in names), tmp_path / "good.wav"]
    table = read_headers(paths, workers=2)
    assert list(table["path"]) == [str(path) for path in paths]
    assert table["error"].isna().tolist() == [True] + [False] * len(names) + [True]
    assert table["duration"].iloc[0] == 2.0


def test_a_name_that_is_not_utf_8_says_so(tmp_path):
    soundfile.write(tmp_path / "good.wav", np.zeros(64_000), 32_000)
    odd = str(tmp_path / os.fsdecode(b"K\xfcste.wav"))
    try:
        (tmp_path / "good.wav").rename(odd)
    except OSError:
        pytest.skip("this file system takes UTF-8 names alone")
    with pytest.raises(AudioError, match=r"K\\xfcste.wav: its name is not UTF-8: rename it") as caught:
        read_header(odd)
    assert caught.value.path == odd
    table = read_headers([odd])
    assert table["path"].tolist() == [str(tmp_path / "K\\xfcste.wav")] and "rename" in table["error"].iloc[0]


def test_an_audio_error_survives_the_way_from_a_worker():
    error = pickle.loads(pickle.dumps(AudioError("a.wav", "it holds zero bytes")))
    assert (type(error), error.path, error.reason) == (AudioError, "a.wav", "it holds zero bytes")
    assert str(error) == "a.wav: it holds zero bytes"


def test_no_headers_of_no_files():
    assert list(read_headers([]).columns) == ["path", "sample_rate", "channels", "duration", "error", "mended"]


def test_fit():
    wave = np.arange(1, 4, dtype=np.float32)
    assert fit(wave, 2).tolist() == [1, 2]
    assert fit(wave, 7).tolist() == [1, 2, 3, 1, 2, 3, 1]
    assert fit(wave, 5, pad="end").tolist() == [1, 2, 3, 0, 0]
    assert fit(wave, 6, pad="center").tolist() == [0, 1, 2, 3, 0, 0]
    with pytest.raises(BirdfastError, match="did you mean 'repeat'"):
        fit(wave, 5, pad="repeet")
    with pytest.raises(BirdfastError, match="no samples"):
        fit(wave[:0], 5)


def test_get_audio_files(tmp_path):
    for name in ("b.WAV", "sub/a.ogg", ".hidden/c.wav", "sub/._d.wav", "notes.txt", "sub/e.m4a"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert get_audio_files(tmp_path) == [tmp_path / "b.WAV", tmp_path / "sub/a.ogg", tmp_path / "sub/e.m4a"]
    assert get_audio_files(tmp_path, recurse=False) == [tmp_path / "b.WAV"]
    with pytest.raises(BirdfastError, match="no folder"):
        get_audio_files(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(BirdfastError, match="no sound files"):
        get_audio_files(tmp_path / "empty")


def test_linked_folders_are_followed_once(tmp_path):
    for name in ("disk/deep/a.wav", "disk/b.wav", "sounds/c.wav"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "sounds/site2").symlink_to(tmp_path / "disk", target_is_directory=True)
    (tmp_path / "disk/deep/loop").symlink_to(tmp_path / "sounds", target_is_directory=True)
    (tmp_path / "sounds/gone.wav").symlink_to(tmp_path / "nowhere.wav")
    found = [str(file.relative_to(tmp_path / "sounds")) for file in get_audio_files(tmp_path / "sounds")]
    assert found == ["c.wav", "site2/b.wav", "site2/deep/a.wav"]


@pytest.mark.parametrize(
    ("duration", "options", "n"),
    [
        (60, {}, 12),
        (59.995, {"last": "drop"}, 12),  # an mp3 that lacks 5 ms
        (59.9, {"last": "drop"}, 11),
        (59.9, {}, 12),
        (60.4, {}, 12),  # 0.4 s of new sound are too few
        (60.5, {}, 13),
        (60.5, {"last": "drop"}, 12),
        (0.3, {}, 1),
        (4, {"last": "drop"}, 1),
        (10, {"step": 2.5}, 3),
        (11, {"step": 2.5}, 4),
        (10.3, {"step": 2.5}, 3),
        (12, {"step": 10}, 2),
        (8, {"step": 10}, 1),  # a gap is not a window
    ],
)
def test_window_starts(duration, options, n):
    starts = window_starts(duration, **options)
    assert len(starts) == n
    assert starts[0] == 0


@pytest.mark.parametrize(
    ("duration", "options", "starts"),
    [
        (12, {}, [0, 5, 7]),
        (12.34567, {"step": 5}, [0, 5, 7.345]),
        (15, {}, [0, 5, 10]),
        (15.005, {}, [0, 5, 10]),
        (3, {}, [0]),
        (18, {"step": 10}, [0, 10, 13]),
        (12, {"step": 2.5}, [0, 2.5, 5, 7]),
    ],
)
def test_the_last_window_shifted_back(duration, options, starts):
    found = window_starts(duration, last="shift", **options)
    assert found.tolist() == starts
    assert duration < 5 or found[-1] + 5 <= duration


def test_window_starts_do_not_drift():
    starts = window_starts(36_000, window=3, step=0.1, last="drop")
    assert (starts == np.arange(len(starts)) * 0.1).all()
    assert len(starts) == 359_971


@pytest.mark.parametrize("wrong", [{"window": 0}, {"step": -1}, {"last": "keep"}])
def test_window_starts_refuses(wrong):
    with pytest.raises(BirdfastError):
        window_starts(10, **wrong)


def test_messy_files_are_read_or_say_why(shared_data):
    folder = shared_data / "messy"
    errors = {}
    for path in get_audio_files(folder):
        try:
            clip = read_clip(path, duration=2)
            assert clip.shape == (64_000,) and np.isfinite(clip).all()
        except AudioError as error:
            errors[path.name] = error.reason
    assert set(errors) == {"testing.m4a", "test_modulation.wav"}
    assert "ffmpeg" in errors["testing.m4a"]
    assert "zero bytes" in errors["test_modulation.wav"]


def test_an_open_file_gives_the_same_slices(tmp_path):
    """Forth and back, also in an MP3, whose decoder leans on what it read before."""
    noise = np.random.default_rng(0).standard_normal(22_050 * 20).astype(np.float32) * 0.1
    for form in ("wav", "mp3", "ogg"):
        path = tmp_path / f"a.{form}"
        soundfile.write(path, noise, 22_050)
        with open_audio(path) as file:
            for start in (0, 3, 4, 12, 7.5, 7.5, 15):
                alone = read_clip(path, start_time=start, duration=4, sample_rate=32_000)
                np.testing.assert_allclose(
                    read_clip(path, start_time=start, duration=4, sample_rate=32_000, file=file), alone, atol=1e-5
                )
            assert not file.closed
