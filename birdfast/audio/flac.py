"""How long a FLAC is: its last frame bears its number, whatever the header says (RFC 9639)."""

from __future__ import annotations

from dataclasses import dataclass

from birdfast.audio.view import Data, Mend, Segment

_MARK = b"fLaC"
_INFO = 34  # bytes of STREAMINFO
_TAIL = 1 << 17  # bytes at the end in which the last frame is looked for
_BLOCKS = {1: 192, **{k: 576 << k - 2 for k in range(2, 6)}, **{k: 256 << k - 8 for k in range(8, 16)}}
_CRC8 = [0] * 256
_CRC16 = [0] * 256
for _byte in range(256):
    _eight, _sixteen = _byte, _byte << 8
    for _ in range(8):
        _eight = (_eight << 1 ^ (0x07 if _eight & 0x80 else 0)) & 0xFF
        _sixteen = (_sixteen << 1 ^ (0x8005 if _sixteen & 0x8000 else 0)) & 0xFFFF
    _CRC8[_byte], _CRC16[_byte] = _eight, _sixteen


@dataclass(frozen=True)
class _Stream:
    """One stream: where it begins, where its frames do, and what STREAMINFO says."""

    begin: int
    frames: int
    block: int  # samples of a frame, the largest
    frame: int  # bytes of a frame, the largest; 0: unknown
    total: int  # samples; 0: unknown


def mend_flac(data: Data) -> Mend | None:
    """The mend of a FLAC that lasts other than it says, or of several behind one another; None for one that is right."""
    stream = _stream(data, 0)
    last = None if stream is None else _last(data, stream, len(data))
    if stream is None or last is None:
        return None
    if others := _others(data, stream, last[0]):
        return _chain(data, [stream, *others])
    if last[0] == stream.total:
        return None
    total, stop = _whole(data, *last)
    return Mend((_patched(data, stream, total, stop),), stream.total / total) if total else None


def _stream(data: Data, at: int) -> _Stream | None:
    """The stream that begins at `at`, behind a tag if there is one."""
    if data[at : at + 3] == b"ID3":
        at = data.find(_MARK, at, at + (1 << 20))
    info = data[at + 8 : at + 8 + _INFO]
    if at < 0 or data[at : at + 4] != _MARK or len(info) < _INFO:
        return None
    frames = at + 4
    while frames + 4 <= len(data):
        head, size = data[frames], int.from_bytes(data[frames + 1 : frames + 4], "big")
        frames += 4 + size
        if head & 0x80:
            break
    total = int.from_bytes(info[13:18], "big") & (1 << 36) - 1
    return _Stream(at, frames, int.from_bytes(info[2:4], "big"), int.from_bytes(info[7:10], "big"), total)


def _last(data: Data, stream: _Stream, stop: int) -> tuple[int, int, int, int] | None:
    """Of the last frame before `stop`: the samples to its end, those to its begin, and its bytes' begin and end."""
    sync, low = data[stream.frames : stream.frames + 2], max(stream.frames, stop - max(_TAIL, 2 * stream.frame))
    at = data.rfind(sync, low, stop)
    while len(sync) == 2 and at >= 0:
        head = _head(data[at : at + 18], stream)
        if head:
            start, n = head
            return start + n, start, at, stop
        at = data.rfind(sync, low, at + 1)
    return None


def _head(head: bytes, stream: _Stream) -> tuple[int, int] | None:
    """The first sample and the number of samples of the frame with this header; None if it is none."""
    if len(head) < 7 or head[3] & 1 or head[3] >> 4 > 10 or head[2] & 15 == 15:
        return None
    code, at = head[2] >> 4, 5
    number = head[4]
    if number >= 0x80:  # written as UTF-8 is, up to seven bytes
        n = 8 - (number ^ 0xFF).bit_length() - 1
        if not 1 <= n <= 6:
            return None
        number &= 0x7F >> n + 1
        for byte in head[5 : 5 + n]:
            number = number << 6 | byte & 0x3F
        at += n
    if code in (6, 7):
        block = int.from_bytes(head[at : at + code - 5], "big") + 1
        at += code - 5
    else:
        block = _BLOCKS.get(code, 0)
    at += {12: 1, 13: 2, 14: 2}.get(head[2] & 15, 0)
    if not 0 < block <= stream.block or at >= len(head) or _crc8(head[:at]) != head[at]:
        return None
    return (number if head[1] & 1 else number * stream.block), block


def _crc8(head: bytes) -> int:
    crc = 0
    for byte in head:
        crc = _CRC8[crc ^ byte]
    return crc


def _whole(data: Data, end: int, start: int, at: int, stop: int) -> tuple[int, int]:
    """The samples to the end of the last frame that is whole, and where its bytes end."""
    crc = 0
    for byte in data[at:stop]:
        crc = (crc << 8 ^ _CRC16[crc >> 8 ^ byte]) & 0xFFFF
    return (end, stop) if crc == 0 else (start, at)


def _others(data: Data, stream: _Stream, total: int) -> list[_Stream]:
    """Further streams behind the first: looked for where the file holds more bytes than the first one's frames can."""
    most = -(-total // stream.block) * stream.frame if stream.block else 0
    if not most or len(data) - stream.frames <= most:
        return []
    found, at = [], data.find(_MARK, stream.frames)
    while at >= 0:
        if data[at + 4] & 0x7F == 0 and data[at + 5 : at + 8] == b"\0\0\x22" and (other := _stream(data, at)):
            found.append(other)
        at = data.find(_MARK, at + 4)
    return found


def _chain(data: Data, streams: list[_Stream]) -> Mend:
    parts = []
    for stream, stop in zip(streams, [*(other.begin for other in streams[1:]), len(data)], strict=True):
        if last := _last(data, stream, stop):
            parts.append(_patched(data, stream, *_whole(data, *last)))
    return Mend(tuple(parts))


def _patched(data: Data, stream: _Stream, total: int, stop: int) -> tuple[Segment, ...]:
    """A stream whose STREAMINFO tells its length."""
    head = bytearray(data[stream.begin : stream.frames])
    bits = int.from_bytes(head[21:26], "big") >> 36 << 36 | total
    head[21:26] = bits.to_bytes(5, "big")
    return bytes(head), (stream.frames, stop)
