"""Ogg files of several streams behind one another: each begins with a page that says so (RFC 3533)."""

from __future__ import annotations

from birdfast.audio.view import Data, Mend, Ranged

_TAIL = 1 << 17  # bytes: two pages of the longest
_BEGIN = b"OggS\0\x02"  # version 0, the first page of a stream


def mend_ogg(data: Data) -> Mend | None:
    """The mend of an Ogg file that is a chain; None for a single stream, also with others beside it."""
    if isinstance(data, Ranged):
        if _ends_as_it_begins(data):
            return None
        data = data[:]
    places, at, page_end = [], data.find(_BEGIN), -1
    while at >= 0:
        if at != page_end:  # first pages that follow one another are of streams side by side
            places.append(at)
        page_end = _page_end(data, at)
        at = data.find(_BEGIN, at + len(_BEGIN))
    if len(places) < 2:
        return None
    return Mend(tuple(((begin, end),) for begin, end in zip(places, [*places[1:], len(data)], strict=True)))


def _page_end(data: Data, at: int) -> int:
    n = data[at + 26] if at + 26 < len(data) else 0
    return at + 27 + n + sum(data[at + 27 : at + 27 + n])


def _ends_as_it_begins(data: Data) -> bool:
    """Whether the last page is of the stream that the first is of: what can be told without fetching all."""
    at = data.rfind(b"OggS\0", max(0, len(data) - _TAIL))
    return at >= 0 and data[at + 14 : at + 18] == data[14:18]
