"""How long wav, AIFF, CAF and AU files are: as long as the sound in them, whatever their sizes say."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from birdfast.audio.view import Data, Mend, Segment

_HUGE = 0xFFFFFFFF
_TAGS = (b"ID3", b"TAG", b"APETAGEX", b"<", b"LIST")  # what programs hang behind the sound, which is no chunk
_LOOK = 1 << 16  # bytes behind the sound that are looked at for a tag's padding

_Order = Literal["little", "big"]


@dataclass(frozen=True)
class _Chunk:
    name: bytes
    begin: int  # of its content
    size: int  # as it says


def _chunks(data: Data, at: int, order: _Order, *, width: int = 4) -> Iterator[_Chunk]:
    """The chunks from `at` on, as far as their sizes lead."""
    while at + 4 + width <= len(data):
        name, size = data[at : at + 4], int.from_bytes(data[at + 4 : at + 4 + width], order)
        yield _Chunk(name, at + 4 + width, size)
        at += 4 + width + size + (size & 1 if width == 4 else 0)


def mend_wav(data: Data) -> Mend | None:
    """The mend of a wav (RIFF, RF64, BW64) that holds more or less sound than it says; None for one that is right."""
    order: _Order = "big" if data[:4] == b"RIFX" else "little"
    form, large = b"", 0
    for chunk in _chunks(data, 12, order):
        if chunk.name == b"ds64":
            large = int.from_bytes(data[chunk.begin + 8 : chunk.begin + 16], "little")
        elif chunk.name == b"fmt ":
            form = data[chunk.begin : chunk.begin + chunk.size]
        elif chunk.name == b"data":
            told = large if chunk.size == _HUGE and data[:4] != b"RIFF" else chunk.size
            return _mend_wav(data, chunk.begin, told, form, order) if form else None
    return None


def _mend_wav(data: Data, begin: int, told: int, form: bytes, order: _Order) -> Mend | None:
    there = len(data) - begin
    if told == _HUGE and there < _HUGE:
        return None  # "to the end of the file", which libsndfile takes it for
    if told != _HUGE and _honest(data, begin, told, order):
        return _further(data, begin + told + (told & 1), order)
    if there < _HUGE - len(form) - 64:
        size, all_of = there.to_bytes(4, order), (there + 20 + len(form)).to_bytes(4, order)
        head = (data[:4] if order == "big" else b"RIFF") + all_of + b"WAVE" + _chunk(b"fmt ", form, order)
        head += b"data" + size
    elif order == "big":
        return None  # nothing of that size is written so
    else:
        sizes = b"".join(n.to_bytes(8, "little") for n in (there + 56 + len(form), there, 0)) + bytes(4)
        head = b"RF64" + b"\xff" * 4 + b"WAVE" + _chunk(b"ds64", sizes, order) + _chunk(b"fmt ", form, order)
        head += b"data" + b"\xff" * 4
    return Mend(((head, (begin, len(data))),), told / there) if there else None


def _chunk(name: bytes, content: bytes, order: _Order) -> bytes:
    return name + len(content).to_bytes(4, order) + content + bytes(len(content) & 1)


def _further(data: Data, at: int, order: _Order) -> Mend | None:
    """The mend of wavs that were put behind one another: each begins where the one before ends."""
    begins = [chunk.begin - 8 for chunk in _chunks(data, at, order) if chunk.name in (b"RIFF", b"RIFX")]
    begins = [begin for begin in begins if data[begin + 8 : begin + 12] == b"WAVE"]
    if not begins:
        return None
    return Mend(tuple(((begin, end),) for begin, end in zip([0, *begins], [*begins, len(data)], strict=True)))


def _honest(data: Data, begin: int, told: int, order: _Order, *, width: int = 4) -> bool:
    """Whether sound that should end after `told` bytes does: with the file, or with chunks or a tag behind it."""
    rest = len(data) - begin - told
    if abs(rest) < 8:
        return True
    if not 0 <= rest <= _HUGE:  # four gigabytes behind the sound: its size, of 32 bits, has gone round
        return False
    return any(_ends_well(data, begin + told + pad, order, width) for pad in {0, told & 1}) or (
        told > 0 and _is_tag(data, begin + told)
    )


def _ends_well(data: Data, at: int, order: _Order, width: int) -> bool:
    """Whether nothing but chunks, names and sizes in order, lies between `at` and the end."""
    end = at
    for chunk in _chunks(data, at, order, width=width):
        if not all(32 <= letter < 127 for letter in chunk.name):
            return False
        end = chunk.begin + chunk.size
    return -8 < len(data) - end <= 8


def _is_tag(data: Data, at: int) -> bool:
    rest = data[at : at + _LOOK]
    return rest.lstrip(b"\0").startswith(_TAGS) or not rest.strip(b"\0")


def mend_aiff(data: Data) -> Mend | None:
    """The mend of an AIFF whose size of sound is wrong."""
    for chunk in _chunks(data, 12, "big"):
        if chunk.name == b"SSND":
            if _honest(data, chunk.begin, chunk.size, "big"):
                return None
            there = min(len(data) - chunk.begin, _HUGE - 1)
            head = data[: chunk.begin - 4] + there.to_bytes(4, "big")
            return _patched(data, head, chunk.begin, max(0, chunk.size - 8) / max(1, there - 8))
    return None


def mend_caf(data: Data) -> Mend | None:
    """The mend of a CAF whose size of sound is wrong, or "to the end", which libsndfile refuses."""
    for chunk in _chunks(data, 8, "big", width=8):
        if chunk.name == b"data":
            if _honest(data, chunk.begin, chunk.size, "big", width=8):
                return None
            there = len(data) - chunk.begin
            head = data[: chunk.begin - 8] + there.to_bytes(8, "big")
            return _patched(data, head, chunk.begin, max(0, chunk.size - 4) / max(1, there - 4))
    return None


def mend_au(data: Data) -> Mend | None:
    """The mend of an AU file whose size of sound is wrong."""
    order: _Order = "big" if data[:4] == b".snd" else "little"
    begin, told = int.from_bytes(data[4:8], order), int.from_bytes(data[8:12], order)
    there = len(data) - begin
    if told == _HUGE or there <= 0 or abs(there - told) < 8 or (0 < told < there and _is_tag(data, begin + told)):
        return None
    return _patched(data, data[:8] + b"\xff" * 4 + data[12:begin], begin, told / there)


def _patched(data: Data, head: bytes, begin: int, share: float) -> Mend | None:
    parts: tuple[Segment, ...] = (head, (begin, len(data)))
    return Mend((parts,), share) if len(data) > begin else None
