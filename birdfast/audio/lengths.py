"""True lengths: what a header says, or libsndfile guesses, is not believed where there is more sound, or less."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from birdfast.audio.chunks import mend_aiff, mend_au, mend_caf, mend_wav
from birdfast.audio.flac import mend_flac
from birdfast.audio.mp3 import count_frames
from birdfast.audio.ogg import mend_ogg
from birdfast.audio.view import Data, Mend, Ranged, View
from birdfast.files.places import is_url, open_url, version_of

SLACK = 0.1  # s that a header may be off before it is said
# s at the end of a Vorbis file that are decoded together: libsndfile's seek into the last page is off by up to 26 ms, and
# a page of quiet sound is long: 255 packets of 1,024 samples.
SEEK_VORBIS = 10.5
_UNKNOWN = 1e9  # s: more is what sizes of all ones come to
_MENDERS: dict[bytes, Callable[[Data], Mend | None]] = {
    b"RIFF": mend_wav, b"RIFX": mend_wav, b"RF64": mend_wav, b"BW64": mend_wav, b"FORM": mend_aiff, b"caff": mend_caf,
    b".snd": mend_au, b"dns.": mend_au, b"fLaC": mend_flac, b"OggS": mend_ogg,
}  # fmt: skip
_known: dict[tuple[str, str], Mend | None] = {}  # by path and version: counted once in a process


class UnlikeParts(ValueError):
    """The parts of a file have different sample rates or numbers of channels."""


def find_mend(path: str) -> Mend | None:
    """How to read the file at a path or URL in full; None where its header is right. Counted once, then remembered.

    Raises
    ------
    UnlikeParts
        The file goes on in another sample rate.
    """
    key = (path, version_of(path))
    if key not in _known:
        with _content(path) as data:
            _known[key] = _mend(path, data)
    return _known[key]


@contextmanager
def _content(path: str) -> Iterator[Data]:
    """All bytes of a file, of which those are read that are looked at."""
    if is_url(path):
        with open_url(path) as remote:
            yield Ranged(remote)
        return
    with Path(path).open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as mapped:
        yield mapped


def _mend(path: str, data: Data) -> Mend | None:
    mender = _MENDERS.get(data[:4])
    if data[:3] == b"ID3" and b"fLaC" in data[: 1 << 20]:
        mender = mend_flac
    if mender is not None:
        return mender(data)
    head = data[:3]
    is_mp3 = head == b"ID3" or (head[:1] == b"\xff" and head[1:2] >= b"\xe2") or path.lower().endswith(".mp3")
    return _mend_mp3(path, data) if is_mp3 else None


def _mend_mp3(path: str, data: Data) -> Mend | None:
    """The mend of an MP3 whose frames are more or fewer than its table of contents says, or than libsndfile guesses."""
    count = count_frames(data[:] if isinstance(data, Ranged) else data)
    if count is None or count.stream.layer != 3:
        return None
    if count.other is not None:
        raise UnlikeParts(f"{count.stream.sample_rate} and {count.other.sample_rate} Hz")
    promised: float | None = count.promised
    if promised is None:
        promised = _guessed(path) / count.stream.samples
    slack = 1.0 if count.promised is not None else 1.0 + 0.05 * count.stream.sample_rate / count.stream.samples
    if len(count.runs) == 1 and abs(promised - count.n) <= slack:
        return None
    return Mend((tuple(count.segments()),), promised / count.n)


def _guessed(path: str) -> int:
    """Samples that libsndfile believes in."""
    try:
        with soundfile.SoundFile(open_url(path) if is_url(path) else path) as file:
            return int(file.frames)
    except soundfile.LibsndfileError:
        return 0


class MendedFile(soundfile.SoundFile):
    """A sound file read in the way of a mend: its parts one behind the other, to the true end.

    Attributes
    ----------
    mended : str
        What was wrong with the length; empty where it was right within 0.1 s.
    """

    def __init__(self, path: str, mend: Mend) -> None:
        self._views = [View(path, part) for part in (mend.parts[0], *mend.parts)]
        super().__init__(self._views[0])  # for what is said of the whole: rate, channels, form
        self._parts = [soundfile.SoundFile(view) for view in self._views[1:]]
        kinds = {(part.samplerate, part.channels) for part in self._parts}
        if len(kinds) > 1:
            raise UnlikeParts(" and ".join(f"{rate} Hz in {n} channels" for rate, n in sorted(kinds)))
        self._ends = np.cumsum([part.frames for part in self._parts])
        self._at, self.mended = 0, self._said(mend.share)

    def _said(self, share: float | None) -> str:
        there = self.frames / self.samplerate
        told = self._parts[0].frames / self.samplerate if share is None else share * there
        if abs(told - there) < SLACK:
            return ""
        says = f"says {told:.2f} s" if 0 < told < _UNKNOWN else "does not say how long it is"
        return f"its header {says}, {there:.2f} s are there"

    @property
    def frames(self) -> int:
        return int(self._ends[-1])

    def tell(self) -> int:
        return self._at

    def seek(self, frames: int, whence: int = os.SEEK_SET) -> int:
        """Go to a sample of the whole; counted from the begin alone, as read_clip does."""
        if whence != os.SEEK_SET:
            raise ValueError("a mended file is sought from its begin")
        self._at = int(np.clip(frames, 0, self.frames))
        if self._at < self.frames:
            self._enter(int(np.searchsorted(self._ends, self._at, side="right")))
        return self._at

    def _enter(self, k: int) -> None:
        """Bring part `k` to where the file stands."""
        part = self._parts[k]
        inside = self._at - (int(self._ends[k]) - part.frames)
        exact = min(inside, max(0, part.frames - round(SEEK_VORBIS * part.samplerate)))
        begin = exact if part.subtype == "VORBIS" else inside
        part.seek(begin)
        if inside > begin:
            part.read(inside - begin, dtype="float32")

    def read(
        self, frames: int = -1, dtype: Any = "float64", always_2d: bool = False, fill_value: Any = None, out: Any = None
    ) -> np.ndarray:
        """The next samples, over the ends of parts; `fill_value` and `out` are not for mended files."""
        if fill_value is not None or out is not None:
            raise ValueError("a mended file is read without fill_value and out")
        left = self.frames - self._at if frames < 0 else min(frames, self.frames - self._at)
        found = [np.zeros((0, self.channels), dtype)]
        while left > 0:
            k = int(np.searchsorted(self._ends, self._at, side="right"))
            if found[1:]:
                self._enter(k)
            piece = self._parts[k].read(min(left, int(self._ends[k]) - self._at), dtype=dtype, always_2d=True)
            if len(piece) == 0:
                break
            found.append(piece)
            self._at += len(piece)
            left -= len(piece)
        samples = np.concatenate(found)
        return samples[:, 0] if self.channels == 1 and not always_2d else samples

    def close(self) -> None:
        for part in getattr(self, "_parts", []):
            part.close()
        super().close()
        for view in getattr(self, "_views", []):
            view.close()
