"""Sound files: headers, clips read by seeking, padding, windows."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from math import ceil, floor, gcd, isfinite
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pandas as pd
import soundfile
import soxr

from birdfast.audio.complaints import complaints
from birdfast.audio.lengths import SEEK_VORBIS, MendedFile, UnlikeParts, find_mend
from birdfast.audio.listing import AUDIO_SUFFIXES, NEEDS_FFMPEG
from birdfast.errors import BirdfastError, unknown
from birdfast.files.places import is_url, open_url, printable
from birdfast.notes import note

MP3_RATES = (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)  # Hz that an mp3 can have
NOT_UTF8 = "its name is not UTF-8: rename it"
_HEADERS: dict[str, Any] = {
    "path": object,
    "sample_rate": "Int64",
    "channels": "Int64",
    "duration": float,
    "error": object,
    "mended": object,
}
_told: set[str] = set()  # files of which a note said that their length was counted
_LOUDEST = 1e10  # of full scale: a damaged sample, whose power in float32 soon is infinite
_UNKNOWN = 2**62  # samples: more is what libsndfile says where a header does not tell
MIN_WINDOW = 0.5  # s of new sound that a partial last window must hold

_SLACK = 0.01  # s that a full window may lack: mp3 and vorbis lengths are rarely exact
_INEXACT = 0.1  # s that a file may end before its header says without being called truncated
_MARGIN = 0.05  # s decoded on either side of a slice, for the edges of the resampler's filter
# s decoded and dropped before a slice: frames of MP3 and Opus lean on those before, and libsndfile's seek restores too
# few of them. A bare seek in an MP3 of 22 kHz is off by 0.2, in an Opus file of 16 or 24 kHz by 0.002 of full scale.
_PREROLL = {"MPEG_LAYER_III": 0.5, "OPUS": 2.0}


class AudioError(BirdfastError):
    """A file, or a slice of it, that cannot be used. Survives the way back from a worker process.

    Attributes
    ----------
    path, reason
        The file, and what is wrong with it and what to do.
    """

    def __init__(self, path: str | Path, reason: str) -> None:
        super().__init__(f"{printable(path)}: {reason}")
        self.path, self.reason = str(path), reason

    def __reduce__(self) -> tuple[type[AudioError], tuple[str, str]]:
        return type(self), (self.path, self.reason)


@dataclass(frozen=True)
class Header:
    """What a file is: `sample_rate` in Hz, `frames` in samples of one channel, `duration` in s, both as they truly are.

    `mended` says what the file says of itself where that is wrong, see :mod:`birdfast.audio.lengths`; else it is empty.
    """

    path: str
    sample_rate: int
    channels: int
    frames: int
    mended: str = ""

    @property
    def duration(self) -> float:
        return self.frames / self.sample_rate


def read_header(path: str | Path) -> Header:
    """The header of a sound file, and its true length; nothing is decoded.

    Raises
    ------
    AudioError
        The file is missing, empty, holds no samples, or cannot be read (the reason says whether ffmpeg can help).
    """
    with open_audio(path) as file:
        return Header(str(path), file.samplerate, file.channels, file.frames, getattr(file, "mended", ""))


def read_headers(paths: Iterable[str | Path], *, workers: int = 8, progress: bool = False) -> pd.DataFrame:
    """The headers of many files, read in parallel; a broken file is a row, never an exception.

    Returns
    -------
    DataFrame
        One row a path, in order: `path`, `sample_rate` (Hz), `channels`, `duration` (s), `error` (None where readable),
        `mended` (None where the file itself tells its length, else what it tells). A note counts those.
    """
    names = [str(path) for path in paths]
    distinct = list(dict.fromkeys(names))
    with ThreadPoolExecutor(workers) as pool:
        rows = dict(zip(distinct, _watched(pool.map(_header_row, distinct), len(distinct), progress), strict=True))
    table = pd.DataFrame([rows[name] for name in names], columns=list(_HEADERS), dtype=object).astype(_HEADERS)
    _tell_mended(table)
    return table


def _header_row(path: str) -> tuple[str, int | None, int | None, float, str | None, str | None]:
    try:
        header = read_header(path)
        return path, header.sample_rate, header.channels, header.duration, None, header.mended or None
    except AudioError as error:
        return printable(path), None, None, float("nan"), error.reason, None


def _tell_mended(headers: pd.DataFrame) -> None:
    """Say, of each file once, that it lasts longer or less long than it says."""
    mended = headers[headers["mended"].notna() & ~headers["path"].isin(_told)].drop_duplicates("path")
    _told.update(mended["path"])
    if len(mended):
        first = mended.iloc[0]
        note(
            f"{len(mended)} files do not tell their length; it was counted. The first: {first['path']}: {first['mended']}"
        )


def _watched(results: Iterable, n: int, progress: bool) -> Iterable:
    """`results`, with a progress bar when asked for and worth it."""
    if not (progress and n >= 1000):
        return results
    from tqdm.auto import tqdm

    return tqdm(results, total=n, desc="reading headers", leave=False)


def read_clip(
    path: str | Path,
    *,
    start_time: float = 0.0,
    duration: float | None = None,
    sample_rate: int = 32_000,
    pad: str = "repeat",
    file: soundfile.SoundFile | None = None,
) -> np.ndarray:
    """A slice of a sound file as mono at `sample_rate`; seeks, and decodes the slice only.

    Parameters
    ----------
    start_time, duration
        The slice in s; without `duration`, to the end of the file.
    sample_rate
        Of the result, in Hz (soxr's HQ resampler).
    pad
        How a slice that the file's end cuts short is filled, see :func:`fit`.
    file
        `path`, open already (:func:`open_audio`) and left open: worth it for slice after slice of a long MP3, of
        which each opening leads through all that lies before the slice.

    Returns
    -------
    ndarray
        float32 (time,): the mean of the channels, ``round(duration * sample_rate)`` samples where `duration` is given.

    Raises
    ------
    AudioError
        The file cannot be read, ends before its header says, holds NaN, Inf or samples far beyond full scale, or
        `start_time` lies beyond its end.
    """
    if duration is not None and not duration > 0:
        raise BirdfastError(f"the duration of a clip must be above 0 s, not {duration}")
    with open_audio(path) if file is None else nullcontext(file) as sound:
        waveform = _read_slice(sound, path, start_time, duration, sample_rate)
    return waveform if duration is None else fit(waveform, round(duration * sample_rate), pad=pad)


def _read_slice(
    file: soundfile.SoundFile, path: str | Path, start_time: float, duration: float | None, sample_rate: int
) -> np.ndarray:
    rate, length = file.samplerate, file.frames / file.samplerate
    start = round(start_time * sample_rate) if isfinite(start_time) else -1
    end = round(length * sample_rate)
    if not 0 <= start < end:
        raise AudioError(path, f"start_time {start_time:g} s lies outside the file, which lasts {length:.2f} s")
    if duration is not None:
        end = min(end, start + round(duration * sample_rate))
    # Decode from where a sample of the result and one of the file coincide: then the slice has the phase of the whole.
    unit, out_unit = rate // gcd(rate, sample_rate), sample_rate // gcd(rate, sample_rate)
    units = max(0, floor((start / sample_rate - _MARGIN) * rate / unit))
    first, last = units * unit, min(file.frames, ceil((end / sample_rate + _MARGIN) * rate))
    waveform = _decode(file, path, first, last, wanted=min(file.frames, ceil(end / sample_rate * rate)))
    peak = max(waveform.max(), -waveform.min())
    if not peak < _LOUDEST:
        what = f"samples of {peak:.0e} times full scale" if np.isfinite(peak) else "NaN or Inf samples"
        raise AudioError(path, f"it holds {what}: write it anew from its source, or remove it")
    if rate != sample_rate:
        waveform = soxr.resample(waveform, rate, sample_rate, quality="HQ")
    offset = start - units * out_unit
    return waveform[offset : offset + end - start]


def _decode(file: soundfile.SoundFile, path: str | Path, first: int, last: int, *, wanted: int) -> np.ndarray:
    """Samples `first` to `last`, mean of the channels; AudioError if the file ends before `wanted`."""
    begin = max(0, first - round(_PREROLL.get(file.subtype, 0.0) * file.samplerate))
    if file.subtype == "VORBIS":
        begin = min(begin, max(0, file.frames - round(SEEK_VORBIS * file.samplerate)))
    try:
        with _quiet(file, path):
            file.seek(begin)
            samples = file.read(last - begin, dtype="float32", always_2d=True)[first - begin :]
    except soundfile.LibsndfileError:
        samples = np.zeros((0, 1), np.float32)
    if len(samples) == 0 or first + len(samples) < wanted - _INEXACT * file.samplerate:
        raise AudioError(path, _truncated(path))
    return samples[:, 0] if samples.shape[1] == 1 else samples.mean(axis=1)


def _is_silent(path: str | Path) -> bool:
    """Whether a file is named as what is decoded without a word on the terminal: all but MP3."""
    return Path(path).suffix.lower() in AUDIO_SUFFIXES - {".mp3"}


def _quiet(file: soundfile.SoundFile, path: str | Path) -> AbstractContextManager[None]:
    """Decoding of an MP3 without a word on the terminal, whose decoder alone writes there."""
    return complaints.caught(str(path)) if file.subtype.startswith("MPEG") else nullcontext()


def _truncated(path: str | Path) -> str:
    """The reason for a file that stops before its end, with how much of it can be read."""
    readable = 0
    with open_audio(path) as file:
        promised, rate = file.frames / file.samplerate, file.samplerate
        try:
            with _quiet(file, path):
                while n := len(file.read(rate, dtype="float32")):
                    readable += n
        except soundfile.LibsndfileError:
            pass
    said = "".join(f"; its decoder says: {line}" for line, _ in complaints.of(str(path)).most_common(1))
    return (
        f"truncated or damaged: its header promises {promised:.2f} s, {readable / rate:.2f} s can be read{said}: "
        "download it again or remove it"
    )


def open_audio(path: str | Path) -> soundfile.SoundFile:
    """The open sound file at a path or a URL, in its true length, or an AudioError that says why not."""
    _check(path)
    try:
        with nullcontext() if _is_silent(path) else complaints.caught(str(path)):
            mend = find_mend(str(path))
            file = soundfile.SoundFile(_source(path)) if mend is None else MendedFile(str(path), mend)
    except UnlikeParts as error:
        raise AudioError(
            path, f"it goes on in another form ({error}): cut it there, or convert it once as a whole to wav"
        ) from None
    except UnicodeEncodeError:
        raise AudioError(path, NOT_UTF8) from None
    except OSError as error:
        raise AudioError(path, f"cannot be opened ({error.strerror or error}): check the path") from None
    except (soundfile.LibsndfileError, TypeError) as error:
        raise AudioError(path, _unreadable(path, getattr(error, "error_string", str(error)))) from None
    if file.frames <= 0:
        file.close()
        raise AudioError(path, "it holds no samples: download it again or remove it")
    if file.frames >= _UNKNOWN:
        file.close()
        raise AudioError(
            path,
            "neither its header nor its frames say how long it is: write it anew, as ffmpeg -i old.flac new.flac does",
        )
    return file


def _source(path: str | Path) -> str | BinaryIO:
    """What soundfile opens: a path, or for a URL an object that is read by ranges."""
    return open_url(str(path)) if is_url(path) else str(path)


def _check(path: str | Path) -> None:
    """Raise AudioError where there is no file, a folder, or nothing in it."""
    if is_url(path):
        return
    try:
        size = Path(path).stat().st_size
    except OSError as error:
        raise AudioError(path, f"cannot be opened ({error.strerror or error}): check the path") from None
    if Path(path).is_dir():
        raise AudioError(path, "it is a folder, not a sound file")
    if size == 0:
        raise AudioError(path, "it holds zero bytes: download it again or remove it")


def _unreadable(path: str | Path, said: str) -> str:
    """Why libsndfile could not read a file, and the remedy."""
    is_mp4, path = not is_url(path) and _starts_as_mp4(path), Path(path)
    if is_mp4 or path.suffix.lower() in NEEDS_FFMPEG:
        out = path.with_suffix(".flac").name
        return f'this format needs ffmpeg; convert it once: ffmpeg -i "{path.name}" "{out}"'
    return f"cannot be read as sound ({said.rstrip('.')}): download it again, convert it to wav or flac, or remove it"


def _starts_as_mp4(path: str | Path) -> bool:
    with Path(path).open("rb") as file:
        return file.read(8)[4:] == b"ftyp"


def fit(waveform: np.ndarray, n_samples: int, *, pad: str = "repeat", lead: int | None = None) -> np.ndarray:
    """Make `waveform` (time,) exactly `n_samples` long: cut at the end, or padded.

    `pad` is "repeat" (the waveform again and again), "end" (zeros behind) or "center" (zeros on both sides). With `lead`,
    the waveform begins that many samples late wherever `pad` would put it, amid its own repetition or zeros.
    """
    if pad not in ("repeat", "end", "center"):
        raise unknown("pad", pad, ["repeat", "end", "center"])
    n = len(waveform)
    if n and lead is not None:
        return _led(waveform, n_samples, lead, repeat=pad == "repeat")
    if n >= n_samples:
        return waveform[:n_samples]
    if n == 0:
        raise BirdfastError("a waveform of no samples cannot be padded")
    if pad == "repeat":
        return np.tile(waveform, ceil(n_samples / n))[:n_samples]
    left = (n_samples - n) // 2 if pad == "center" else 0
    return np.pad(waveform, (left, n_samples - n - left))


def _led(waveform: np.ndarray, n_samples: int, lead: int, *, repeat: bool) -> np.ndarray:
    """`waveform` from sample `lead` on, amid itself or amid zeros."""
    if repeat:
        return np.take(waveform, np.arange(-lead, n_samples - lead), mode="wrap")
    inside = waveform[: max(0, n_samples - lead)]
    return np.pad(inside, (lead, n_samples - lead - len(inside)))


def window_starts(duration: float, *, window: float = 5.0, step: float | None = None, last: str = "pad") -> np.ndarray:
    """Start times (s) of the windows of a recording of `duration` s; start k is exactly ``k * step``.

    Parameters
    ----------
    window, step
        Length and spacing of the windows in s; the step is the window where not given.
    last
        "pad" keeps a partial last window if it holds 0.5 s or more of sound that no window before it covers, "drop"
        keeps full windows only, "shift" adds one that ends where the recording does, to the millisecond, if there is
        a rest. There is always one window.
    """
    step = window if step is None else step
    if last not in ("pad", "drop", "shift"):
        raise unknown("last", last, ["pad", "drop", "shift"])
    if not (window > 0 and step > 0 and duration > 0 and isfinite(duration)):
        raise BirdfastError(f"duration, window and step must be above 0 s; they are {duration}, {window} and {step}")
    n = max(1, floor((duration - window + _SLACK) / step) + 1)
    covered = max((n - 1) * step + window, n * step if step > window else 0.0)
    if last == "pad" and duration - covered >= MIN_WINDOW - 1e-9:
        n += 1
    starts = np.arange(n) * float(step)
    if last == "shift" and duration - ((n - 1) * step + window) > _SLACK:
        return np.append(starts, floor((duration - window) * 1000) / 1000)
    return starts
