"""Text that people bring, in whatever encoding their program saved it."""

from __future__ import annotations

import codecs
from functools import cache
from io import StringIO
from pathlib import Path
from typing import Any

import pandas as pd

from birdfast.errors import BirdfastError
from birdfast.files.places import is_url
from birdfast.notes import note

# UTF-32 before UTF-16, whose mark it begins with.
_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF32_LE: "utf-32", codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16",
}  # fmt: skip
# Windows in the west and the middle of Europe, old Macs, DOS; of those that fit equally the first is taken.
_CODE_PAGES = ("cp1252", "cp1250", "mac_roman", "cp850")
_USUAL = frozenset("äöüßàáâãåæçèéêëìíîïñòóôõøœùúûýÿąćčďęěğłńňőřśšşťůűźżžđ")
_HEAD = 1 << 16  # bytes that tell the form of a table
_ANEW = "save it anew as csv in UTF-8, or take a fresh copy"


def read_text(path: str | Path) -> str:
    """The text of a file: by its byte order mark, else as UTF-8, else in the code page that fits, which a note tells."""
    content = Path(path).read_bytes()
    encoding = _by_mark(content) or "utf-8"
    try:
        return _lines(content.decode(encoding))
    except UnicodeDecodeError:
        return _lines(content.decode(_guess(str(path), content), errors="replace"))


def read_head(path: str | Path) -> str:
    """The first lines of a file, as :func:`read_text` reads them; what is no text becomes signs of replacement."""
    with Path(path).open("rb") as file:
        content = file.read(_HEAD)
    return _lines(content.decode(_by_mark(content) or "utf-8", errors="replace"))


def read_csv(path: str | Path, *, remedy: str = _ANEW, **options: Any) -> pd.DataFrame:
    """A csv in any usual encoding, see :func:`read_text`, as pandas reads it under `options`.

    Raises
    ------
    BirdfastError
        It is empty, or its lines have too many fields.
    """
    try:
        if is_url(path):
            return pd.read_csv(str(path), encoding="utf-8-sig", **options)
        with Path(path).open("rb") as file:
            encoding = _by_mark(file.read(_HEAD)) or "utf-8"
        try:
            return pd.read_csv(path, encoding=encoding, **options)
        except UnicodeDecodeError:
            return pd.read_csv(StringIO(read_text(path)), **options)
    except (pd.errors.EmptyDataError, pd.errors.ParserError, UnicodeDecodeError) as error:
        raise BirdfastError(f"{path} cannot be read as csv ({str(error).strip()}): {remedy}") from None


def _lines(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _by_mark(content: bytes) -> str | None:
    """The encoding that the first bytes give away, by a mark or by the zeros of UTF-16 without one; None: they do not."""
    for mark, encoding in _MARKS.items():
        if content.startswith(mark):
            return encoding
    even, odd = content[0:1000:2], content[1:1000:2]
    if odd and odd.count(0) > len(odd) // 2 > even.count(0):
        return "utf-16-le"
    return "utf-16-be" if even and even.count(0) > len(even) // 2 > odd.count(0) else None


def _guess(path: str, content: bytes) -> str:
    """The code page in which the letters beyond ASCII stand best among their neighbours; said once of a file."""
    best = max(_CODE_PAGES, key=lambda page: _likeness(content.decode(page, errors="replace")))
    _tell(path, best)
    return best


@cache
def _tell(path: str, encoding: str) -> None:
    note(f"{path} is not UTF-8, and read as {encoding}: if names look wrong, save it as UTF-8")


def _likeness(text: str) -> int:
    """How well the signs beyond ASCII suit their words: usual letters, of a case that their neighbours allow."""
    points = 0
    for before, letter, after in zip(f" {text}", text, f"{text[1:]} ", strict=False):
        if letter > "\x7f":
            capital_fits = not before.isalpha() or (before.isupper() and not after.islower())
            fits = letter.islower() or (letter.isupper() and capital_fits)
            points += (1 if fits else -1) + (letter.lower() in _USUAL)
    return points
