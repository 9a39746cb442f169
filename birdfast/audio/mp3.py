"""How many frames an MP3 holds: counted from header to header, which no tag and no guess can belie."""

from __future__ import annotations

import re
from dataclasses import dataclass
from mmap import mmap

from birdfast.audio.view import Segment

Buffer = bytes | mmap

_SYNC = re.compile(rb"\xff[\xe2-\xff]")
# kbit/s by the header's four bits, 0 ("free") and 15 (forbidden) left out: ISO 11172-3 and 13818-3, layer III and II.
_KBITS = {
    ("1", 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    ("2", 3): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    ("1", 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    ("2", 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_RATES = (44_100, 48_000, 32_000)  # Hz of MPEG 1; MPEG 2 has half of them, MPEG 2.5 a quarter
_SURE = 3  # headers in a row that make a stream: two bytes may look like one by chance


@dataclass(frozen=True)
class Stream:
    """What the headers of one stream have in common."""

    version: int  # the header's two bits: 3 is MPEG 1, 2 is MPEG 2, 0 is MPEG 2.5
    layer: int
    rate_bits: int

    @property
    def sample_rate(self) -> int:
        return _RATES[self.rate_bits] // {3: 1, 2: 2, 0: 4}[self.version]

    @property
    def samples(self) -> int:
        """Of a frame, in each channel."""
        return 576 if self.layer == 3 and self.version != 3 else 1152

    def sizes(self) -> dict[bytes, int]:
        """Bytes of a frame by the first three of its header."""
        kbits = _KBITS["1" if self.version == 3 else "2", self.layer]
        found = {}
        for k, rate in enumerate(kbits, start=1):
            for padding in (0, 1):
                size = self.samples // 8 * rate * 1000 // self.sample_rate + padding
                for no_crc in (0, 1):
                    second = 0xE0 | self.version << 3 | (4 - self.layer) << 1 | no_crc
                    for private in (0, 1):
                        third = k << 4 | self.rate_bits << 2 | padding << 1 | private
                        found[bytes((0xFF, second, third))] = size
        return found


@dataclass(frozen=True)
class Count:
    """The frames of an MP3.

    Attributes
    ----------
    n
        Frames with sound; the one that holds nothing but a table of contents is not counted.
    runs
        Where frames follow one another without a gap, ``(start, stop)`` in bytes.
    promised
        Frames that the table of contents (Xing's) tells of; None where there is no such table.
    other
        A stream of another kind (rate, layer) that follows.
    """

    stream: Stream
    mode: int  # the header's last byte, which tells mono from stereo
    n: int
    runs: tuple[tuple[int, int], ...]
    promised: int | None
    other: Stream | None

    def segments(self) -> list[Segment]:
        """The frames alone, behind a table of contents that tells the truth."""
        return [self._contents(), *self.runs]

    def _contents(self) -> bytes:
        """A frame of silence with Xing's table, which says how many frames follow."""
        second = 0xE0 | self.stream.version << 3 | 1 << 1 | 1
        head = bytes((0xFF, second, 9 << 4 | self.stream.rate_bits << 2, self.mode))
        side = bytes(_side(self.stream, self.mode))
        frame = head + side + b"Xing" + (1).to_bytes(4, "big") + self.n.to_bytes(4, "big")
        return frame.ljust(self.stream.sizes()[head[:3]], b"\0")


def _side(stream: Stream, mode: int) -> int:
    """Bytes of side information in a frame."""
    mono = mode >> 6 == 3
    return (17 if mono else 32) if stream.version == 3 else (9 if mono else 17)


def count_frames(data: Buffer) -> Count | None:
    """The frames in the bytes of a file; None where there are none (or of a form without lengths, layer I or free)."""
    start = _find(data, _after_id3(data, 0))
    if start is None:
        return None
    at, stream = start
    sizes, promised, mode = stream.sizes(), None, data[at + 3]
    if stream.layer == 3 and (contents := _contents(data, at, stream)):
        promised, at = contents[0], at + sizes[data[at : at + 3]]
    n, other = 0, None
    runs: list[tuple[int, int]] = []
    while True:
        begin, count, at = at, *_run(data, at, sizes)
        if count:
            n, runs = n + count, [*runs, (begin, at)]
        following = _find(data, _after_id3(data, at))
        if following is None:
            break
        at, found = following
        if found != stream:
            other = found
            break
    return Count(stream, mode, n, tuple(runs), promised, other) if n else None


def _run(data: Buffer, at: int, sizes: dict[bytes, int]) -> tuple[int, int]:
    """How many whole frames follow one another from `at` on, and where the last ends."""
    n, last, get = 0, at, sizes.get
    while size := get(data[at : at + 3]):
        last = at
        at += size
        n += 1
    return (n - 1, last) if at > len(data) else (n, at)


def _find(data: Buffer, at: int) -> tuple[int, Stream] | None:
    """Where the next stream begins, and which it is: so many headers, each where the one before says."""
    for match in _SYNC.finditer(data, at):
        place = match.start()
        if stream := _stream(data[place : place + 4]):
            sizes, reached = stream.sizes(), place
            for _ in range(_SURE):
                size = sizes.get(data[reached : reached + 3])
                if not size:
                    break
                reached += size
            else:
                return place, stream
    return None


def _stream(head: bytes) -> Stream | None:
    if len(head) < 4:
        return None
    version, layer, rate_bits = head[1] >> 3 & 3, 4 - (head[1] >> 1 & 3), head[2] >> 2 & 3
    if version == 1 or layer not in (2, 3) or rate_bits == 3 or head[2] >> 4 in (0, 15):
        return None
    return Stream(version, layer, rate_bits)


def _after_id3(data: Buffer, at: int) -> int:
    """Behind a tag that begins at `at`, if one does: its pictures may look like frames."""
    while data[at : at + 3] == b"ID3" and at + 10 <= len(data):
        size = 0
        for byte in data[at + 6 : at + 10]:
            size = size << 7 | byte & 0x7F
        at += 10 + size
    return at


def _contents(data: Buffer, at: int, stream: Stream) -> tuple[int | None] | None:
    """The number of frames that a table of contents at `at` gives, perhaps none; None where there is no such table."""
    tag = at + 4 + _side(stream, data[at + 3])
    if data[tag : tag + 4] not in (b"Xing", b"Info"):
        return None
    flags = int.from_bytes(data[tag + 4 : tag + 8], "big")
    return (int.from_bytes(data[tag + 8 : tag + 12], "big") if flags & 1 else None,)
