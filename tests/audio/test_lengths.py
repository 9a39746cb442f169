"""Whatever a file says of its length: all that is there is read, and no more. A new way of lying is one line of LIARS."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from birdfast.audio import lengths
from birdfast.audio.cache import cache_waveforms
from birdfast.audio.mp3 import count_frames
from birdfast.audio.read import AudioError, open_audio, read_clip, read_header, read_headers

RATE = 32_000


def sweep(seconds: float, rate: int = RATE, channels: int = 1, begin: float = 0.0) -> np.ndarray:
    """A sound of which every moment is like no other, from `begin` (s) on: (time, channels)."""
    t = begin + np.arange(round(rate * seconds)) / rate
    return np.stack([0.3 * np.sin(2 * np.pi * (300 + 40 * t) * t)] * channels, axis=1)


def encode(sound: np.ndarray, form: str, rate: int = RATE, **options: object) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, sound, rate, format=form, **options)
    return file.getvalue()


def wrote(content: bytes, chunk: bytes, skip: int, order: str, *values: int) -> bytes:
    """`content` with numbers written `skip` bytes behind the first `chunk`; struct's `order`, as "<I"."""
    at = content.index(chunk) + skip
    put = b"".join(struct.pack(order, value) for value in values)
    return content[:at] + put + content[at + len(put) :]


def wav(size: int, form: str = "WAV", channels: int = 1) -> bytes:
    return wrote(encode(sweep(10, channels=channels), form, subtype="PCM_16"), b"data", 4, "<I", size)


def rf64(size: int) -> bytes:
    return wrote(encode(sweep(10), "RF64", subtype="PCM_16"), b"ds64", 8, "<Q", size, size, size)


def aiff(size: int) -> bytes:
    return wrote(encode(sweep(10), "AIFF", subtype="PCM_16"), b"SSND", 4, ">I", size)


def caf(size: int) -> bytes:
    return wrote(encode(sweep(10), "CAF", subtype="PCM_16"), b"data", 4, ">q", size)


def au(size: int) -> bytes:
    return wrote(encode(sweep(10), "AU", subtype="PCM_16"), b".snd", 8, ">I", size)


def w64(size: int) -> bytes:
    return wrote(encode(sweep(10), "W64", subtype="PCM_16"), b"data", 16, "<Q", size)


def flac(total: int | None = None, seconds: float = 10, begin: float = 0) -> bytes:
    """Its length are the last 36 bits of STREAMINFO before the MD5 sum: 0 where an encoder wrote to a pipe."""
    content = encode(sweep(seconds, begin=begin), "FLAC")
    if total is None:
        return content
    return (
        content[:21]
        + bytes([content[21] & 0xF0 | total >> 32])
        + (total & 0xFFFFFFFF).to_bytes(4, "big")
        + content[26:]
    )


def ogg(seconds: float, begin: float = 0, rate: int = RATE) -> bytes:
    return encode(sweep(seconds, rate, begin=begin), "OGG", rate)


def opus(seconds: float, begin: float = 0) -> bytes:
    return encode(sweep(seconds, 48_000, begin=begin), "OGG", 48_000, subtype="OPUS")


def mp3(seconds: float = 60, begin: float = 0, rate: int = 44_100, channels: int = 1, **options: object) -> bytes:
    """Of variable rate: noise at the begin, which takes many bytes, and a sweep after it."""
    sound = sweep(seconds, rate, channels, begin)
    loud = len(sound) // 4
    sound[:loud] += 0.2 * np.random.default_rng(0).standard_normal((loud, channels))
    options = {"bitrate_mode": "VARIABLE", "compression_level": 0.5} | options
    return encode(sound.clip(-1, 1), "MP3", rate, **options)


def without_contents(content: bytes) -> bytes:
    """An MP3 without its first frame, Xing's table of contents: cut, or muxed anew."""
    count = count_frames(content)
    assert count is not None and count.promised is not None
    return content[count.runs[0][0] :]


def picture(size: int = 5000) -> bytes:
    """An ID3 tag with a picture, which holds what looks like a frame of an MP3."""
    return b"ID3\x04\0\0" + bytes([0, 0, size >> 7 & 127, size & 127]) + b"\xff\xfb\x90\x40" * (size // 4)


def first_pages(content: bytes, n: int) -> bytes:
    """The first `n` pages of an Ogg file."""
    return b"OggS".join(content.split(b"OggS")[: n + 1])


def half(content: bytes) -> bytes:
    return content[: len(content) // 2]


BIG = 0x7FFFFFF0
# name: (what makes the file, its true length in s, whether it is listed as mended)
LIARS: dict[str, tuple[Callable[[], bytes], float, bool]] = {
    "wav, right": (lambda: encode(sweep(10), "WAV"), 10, False),
    "wav, a recorder's battery died": (lambda: wrote(wav(0), b"RIFF", 4, "<I", 36), 10, True),
    "wav, size 0, six channels": (lambda: wav(0, channels=6), 10, True),
    "wav, size of all ones": (lambda: wav(0xFFFFFFFF), 10, False),
    "wav, says too little": (lambda: wav(6400), 10, True),
    "wav, says too much": (lambda: wav(3 * 640_000), 10, True),
    "wav, cut in half": (lambda: half(encode(sweep(10), "WAV")), 5, True),
    "wav, extensible, size 0": (lambda: wav(0, "WAVEX"), 10, True),
    "wav, two behind one another": (lambda: encode(sweep(5), "WAV") + encode(sweep(5, begin=5), "WAV"), 10, True),
    "wav, zeros behind": (lambda: encode(sweep(10), "WAV") + bytes(4096), 10, False),
    "wav, a tag behind": (lambda: encode(sweep(10), "WAV") + b"ID3\x03\0\0\0\0\1\0" + bytes(range(128)), 10, False),
    "wav, a chunk behind": (lambda: encode(sweep(10), "WAV") + b"LIST\x0a\0\0\0INFO\1\2\3\4\5\6", 10, False),
    "wav, RIFX, size 0": (lambda: wrote(encode(sweep(10), "WAV", endian="BIG"), b"data", 4, ">I", 0), 10, True),
    "RF64, right": (lambda: encode(sweep(10), "RF64"), 10, False),
    "RF64, sizes 0": (lambda: rf64(0), 10, True),
    "RF64, sizes of all ones": (lambda: rf64(2**64 - 1), 10, True),
    "AIFF, right": (lambda: encode(sweep(10), "AIFF"), 10, False),
    "AIFF, size 0": (lambda: aiff(0), 10, True),
    "AIFF, says too little": (lambda: aiff(6408), 10, True),
    "AIFF, says too much": (lambda: aiff(BIG), 10, True),
    "CAF, right": (lambda: encode(sweep(10), "CAF"), 10, False),
    "CAF, to the end": (lambda: caf(-1), 10, True),
    "CAF, size 0": (lambda: caf(0), 10, True),
    "CAF, says too much": (lambda: caf(2**40), 10, True),
    "AU, right": (lambda: encode(sweep(10), "AU"), 10, False),
    "AU, to the end": (lambda: au(0xFFFFFFFF), 10, False),
    "AU, size 0": (lambda: au(0), 10, True),
    "AU, says too little": (lambda: au(6400), 10, True),
    "AU, says too much": (lambda: au(BIG), 10, True),
    "W64, right": (lambda: encode(sweep(10), "W64"), 10, False),
    "W64, size 0": (lambda: w64(0), 10, False),
    "W64, says too much": (lambda: w64(2**40), 10, False),
    "FLAC, right": (flac, 10, False),
    "FLAC, of unknown length": (lambda: flac(0), 10, True),
    "FLAC, says too little": (lambda: flac(6400), 10, True),
    "FLAC, says too much": (lambda: flac(10_000_000), 10, True),
    "FLAC, cut in half": (lambda: half(flac()), 5.632, True),
    "FLAC, unknown and cut": (lambda: half(flac(0)), 5.632, True),
    "FLAC, two behind one another": (lambda: flac(seconds=5) + flac(seconds=5, begin=5), 10, True),
    "Vorbis, right": (lambda: ogg(10), 10, False),
    "Vorbis, cut in half": (lambda: first_pages(ogg(30), 3), 3.538, False),
    "Vorbis, a chain of three": (lambda: ogg(5) + ogg(2, 5) + ogg(13, 7), 20, True),
    "Opus, right": (lambda: opus(10), 10, False),
    "Opus, a chain of two": (lambda: opus(5) + opus(5, 5), 10, True),
    "mp3, right": (mp3, 60, False),
    "mp3, constant rate": (lambda: mp3(bitrate_mode="CONSTANT"), 60, False),
    "mp3, constant rate, no contents": (lambda: without_contents(mp3(bitrate_mode="CONSTANT")), 60, False),
    "mp3, variable rate, no contents": (lambda: without_contents(mp3()), 60, True),
    "mp3, stereo, no contents": (lambda: without_contents(mp3(channels=2)), 60, True),
    "mp3, MPEG 2, no contents": (lambda: without_contents(mp3(rate=22_050)), 60, True),
    "mp3, MPEG 2.5, no contents": (lambda: without_contents(mp3(rate=8_000)), 60, True),
    "mp3, a tag before": (lambda: picture() + mp3(), 60, False),
    "mp3, two behind one another": (lambda: mp3(20) + mp3(40, 20), 60, True),
    "mp3, a picture between": (lambda: mp3(20) + picture() + mp3(40, 20), 60, True),
    "mp3, rubbish between": (lambda: mp3(20) + bytes(range(256)) * 20 + mp3(40, 20), 60, True),
    "mp3, cut in half": (lambda: half(mp3(bitrate_mode="CONSTANT")), 30, True),
}  # fmt: skip


@pytest.fixture(scope="module")
def liars(tmp_path_factory) -> dict[str, Path]:
    """Every file of LIARS, made once."""
    folder = tmp_path_factory.mktemp("liars")
    for name, (make, _, _) in LIARS.items():
        suffix = {"RF64": "wav", "Vorbis": "ogg", "AIFF": "aif"}.get(name.split(",")[0], name.split(",")[0].lower())
        (folder / f"{name}.{suffix}").write_bytes(make())
    return {path.stem: path for path in folder.iterdir()}


@pytest.mark.parametrize("name", LIARS)
def test_true_length_in_true_length_out(liars, name):
    path, (_, seconds, listed) = liars[name], LIARS[name]
    header = read_header(path)
    # The encoder's delay, which only a table of contents tells, is 0.05 s of an MP3, and of 8 kHz more.
    slack = 0.25 if name.startswith("mp3") else 0.15 if "cut" in name else 0.005
    assert header.duration == pytest.approx(seconds, abs=slack)
    assert bool(header.mended) == listed
    assert len(read_clip(path, sample_rate=header.sample_rate)) == pytest.approx(
        header.frames, abs=0.1 * header.sample_rate
    )


@pytest.mark.parametrize("name", LIARS)
def test_the_last_second_is_the_last_second(liars, name):
    """Sought and decoded alone, it is what decoding from the begin gives, and what was recorded at that time."""
    path, header = liars[name], read_header(liars[name])
    whole, start = read_clip(path, sample_rate=header.sample_rate), header.duration - 1.0
    clip = read_clip(path, start_time=start, duration=0.9, sample_rate=header.sample_rate)
    first = round(start * header.sample_rate)
    np.testing.assert_allclose(clip, whole[first : first + len(clip)], atol=1e-3)
    true = sweep(seconds=header.duration, rate=header.sample_rate)[first - 8000 : first + len(clip) + 8000, 0]
    # A shift of some frames is an MP3's own; the likeness is looked for around the place.
    likeness = np.correlate(true, clip, mode="valid").max() / np.sqrt((clip**2).sum() * (clip**2).sum())
    assert likeness > 0.9 * 0.3 / max(0.3, np.abs(clip).max())


@pytest.mark.parametrize("name", ["Vorbis, a chain of three", "Opus, a chain of two", "mp3, a picture between"])
def test_slices_of_a_chain_are_in_their_place(liars, name):
    path, rate = liars[name], read_header(liars[name]).sample_rate
    whole = read_clip(path, sample_rate=rate)
    with open_audio(path) as file:
        for start in (0.0, 4.5, 6.9, 2.0, 4.99, 8.5):
            clip = read_clip(path, start_time=start, duration=1.0, sample_rate=rate, file=file)
            first = round(start * rate)
            np.testing.assert_allclose(clip, whole[first : first + len(clip)], atol=1e-3)


@pytest.mark.parametrize("form", ["Vorbis", "mp3"])
def test_a_file_that_goes_on_at_another_rate_is_refused(tmp_path, form):
    parts = (ogg(3), ogg(3, rate=22_050)) if form == "Vorbis" else (mp3(3), mp3(3, rate=22_050))
    (tmp_path / "a.ogg").write_bytes(b"".join(parts))
    with pytest.raises(AudioError, match=r"goes on in another form .*22050 Hz.*: cut it there"):
        read_header(tmp_path / "a.ogg")


def test_a_file_without_sound_holds_no_samples(tmp_path):
    (tmp_path / "a.wav").write_bytes(encode(sweep(0), "WAV"))
    with pytest.raises(AudioError, match="it holds no samples"):
        read_header(tmp_path / "a.wav")


def test_wavs_beyond_four_gigabytes(tmp_path):
    """Their size, of 32 bits, has gone round."""
    path, bytes_there = tmp_path / "night.wav", 5 * 2**30
    head = encode(sweep(0), "WAV", subtype="PCM_16")[:44]
    for size in (bytes_there % 2**32, 0xFFFFFFFF, 0):
        path.write_bytes(wrote(head, b"data", 4, "<I", size))
        with path.open("r+b") as file:
            file.truncate(44 + bytes_there)  # a hole, which takes no room
        assert read_header(path).frames == bytes_there // 2


def test_a_file_is_counted_once(liars, monkeypatch):
    """Until it changes."""
    path = liars["mp3, variable rate, no contents"]
    read_header(path)
    counted = []
    monkeypatch.setattr(lengths, "count_frames", lambda data: counted.append(1))
    read_clip(path, duration=1)
    assert not counted
    path.write_bytes(path.read_bytes())
    monkeypatch.setattr(lengths, "version_of", lambda path: "another")
    read_header(path)
    assert counted


def test_headers_list_what_was_mended_and_say_so_once(liars, capsys, monkeypatch):
    monkeypatch.setattr("birdfast.audio.read._told", set())
    paths = [liars["wav, right"], liars["wav, says too little"], liars["FLAC, of unknown length"]]
    table = read_headers(paths)
    assert table["mended"].tolist() == [
        None, "its header says 0.10 s, 10.00 s are there", "its header does not say how long it is, 10.00 s are there"
    ]  # fmt: skip
    assert "2 files do not tell their length; it was counted. The first:" in capsys.readouterr().err
    read_headers(paths)
    assert not capsys.readouterr().err


def test_broken_bytes_break_no_scan():
    """Whatever stands in a file, a scan ends, with a mend or without."""
    rng = np.random.default_rng(0)
    whole = [make() for make, _, _ in LIARS.values()]
    for content in whole:
        for k in range(20):
            broken = bytearray(content[: int(rng.integers(4, len(content)))])
            places = rng.integers(4, min(len(broken), 300) if k % 2 else len(broken), 8)
            for place in places[places < len(broken)]:
                broken[place] = rng.integers(0, 256)
            mender = lengths._MENDERS.get(bytes(broken[:4]), count_frames)
            assert mender(bytes(broken)) is None or True


def test_caches_hold_all_that_is_there(liars, tmp_path):
    names = [name for name, (_, _, listed) in LIARS.items() if listed]
    store = cache_waveforms(read_headers([liars[name] for name in names]), tmp_path, sample_rate=8000, progress=False)
    for name in names:
        assert store.index[str(liars[name])].length / 8000 == pytest.approx(LIARS[name][1], abs=0.25), name


def test_doctor_lists_what_was_mended(liars, tmp_path):
    from birdfast.doctor.source import examine

    for species in ("wren", "robin"):
        (tmp_path / species).mkdir()
        for k, name in enumerate(["mp3, variable rate, no contents", "wav, a recorder's battery died", "wav, right"]):
            (tmp_path / species / f"{k}{liars[name].suffix}").write_bytes(liars[name].read_bytes())
    report = examine(tmp_path, sample=6)
    found = next(finding for finding in report.findings if finding.check == "lengths")
    assert (found.status, len(found.details["mended"])) == ("warn", 4)
    assert "60.0" in found.message and "4 of 6 files do not tell their length" in found.message
    durations = next(finding for finding in report.findings if finding.check == "durations")
    assert durations.message.startswith("10.00 to 60.0 s")


def test_over_the_network_the_length_is_the_true_one(liars):
    fsspec = pytest.importorskip("fsspec")
    memory = fsspec.filesystem("memory")
    for name in (
        "mp3, variable rate, no contents",
        "Vorbis, a chain of three",
        "FLAC, of unknown length",
        "wav, right",
    ):
        memory.pipe(f"/liars/{liars[name].name}", liars[name].read_bytes())
        header = read_header(f"memory://liars/{liars[name].name}")
        assert header.duration == pytest.approx(LIARS[name][1], abs=0.1)
        assert bool(header.mended) == LIARS[name][2]
