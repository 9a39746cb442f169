"""What every file of a classifier says of itself, whatever its format: classes, recipe, versions. No torch here."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from birdfast import __version__
from birdfast.errors import BirdfastError
from birdfast.recipe.recipe import Recipe

FORMAT = 1  # raised when an older birdfast could no longer read the file
KEY = "birdfast"  # of the metadata of each format, which hold strings only: JSON inside
ENSEMBLE_KEY = "birdfast-ensemble"
_SEAL, _OPEN = "birdfast-sha256:", "0" * 64
_SEALED = re.compile(rb"birdfast-sha256:([0-9a-f]{64})")


@dataclass(frozen=True)
class Header:
    """A classifier's description, read from its file and checked."""

    classes: list[str]
    recipe: Recipe
    versions: dict[str, str] = field(default_factory=dict)  # of what wrote it
    extra: dict[str, Any] = field(default_factory=dict)  # anything JSON holds, and "created"

    def to_json(self) -> str:
        """As :func:`read_header_json` reads it, stamped with this moment and these versions."""
        return json.dumps({
            "format": FORMAT,
            "classes": self.classes,
            "recipe": self.recipe.to_dict(),
            "versions": _versions(),
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "extra": {name: value for name, value in self.extra.items() if name != "created"},
        })  # fmt: skip


def _versions() -> dict[str, str]:
    found = {"birdfast": __version__}
    for name in ("torch", "timm"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def read_header_json(text: str, path: Path) -> Header:
    """The description in the metadata of `path`.

    Raises
    ------
    BirdfastError
        If it is damaged, of a newer birdfast, or its recipe or classes make no sense.
    """
    raw = _parsed(text, path)
    extra = {**_mapping(raw, "extra"), "created": raw.get("created")}
    return Header(_classes(raw, path), _recipe(raw, path), _mapping(raw, "versions"), extra)


def _parsed(text: str, path: Path) -> dict[str, Any]:
    """JSON of a format that this birdfast knows."""
    try:
        raw = json.loads(text)
        number = int(raw["format"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise BirdfastError(f"{path} is damaged, its description cannot be read: copy or save it again") from error
    if number > FORMAT:
        raise BirdfastError(
            f"{path} is a bundle of format {number} and this birdfast ({__version__}) reads up to {FORMAT}: "
            f"{made_by(_mapping(raw, 'versions'))}; upgrade birdfast"
        )
    return raw


def read_members(text: str, path: Path) -> tuple[list[str], list[float], dict[str, Any]]:
    """Of an ensemble's description in `path`: those of its members, their weights, and what else it carries.

    Raises
    ------
    BirdfastError
        If it is damaged or of a newer birdfast.
    """
    raw = _parsed(text, path)
    members, weights = raw.get("members"), raw.get("weights")
    texts = isinstance(members, list) and members and all(isinstance(member, str) for member in members)
    numbers = isinstance(weights, list) and all(isinstance(weight, (int, float)) for weight in weights)
    if not texts or not numbers:
        raise BirdfastError(f"{path} is damaged, its members cannot be read: copy or save it again")
    return members, weights, _mapping(raw, "extra")  # type: ignore[return-value]


def _recipe(raw: dict[str, Any], path: Path) -> Recipe:
    if not _mapping(raw, "recipe"):
        raise BirdfastError(f"{path} is damaged, it carries no recipe: copy or save it again")
    try:
        return Recipe.from_dict(raw["recipe"])
    except (BirdfastError, TypeError) as error:
        raise BirdfastError(
            f"the recipe in {path} does not suit this birdfast ({__version__}): {error}. {made_by(_mapping(raw, 'versions'))}; "
            "upgrade birdfast"
        ) from error


def _classes(raw: dict[str, Any], path: Path) -> list[str]:
    classes = raw.get("classes")
    if not isinstance(classes, list) or not classes or not all(isinstance(name, str) for name in classes):
        raise BirdfastError(f"{path} is damaged, its classes cannot be read: copy or save it again")
    return classes


def _mapping(raw: dict[str, Any], name: str) -> dict[str, Any]:
    value = raw.get(name)
    return value if isinstance(value, dict) else {}


def made_by(versions: dict[str, str]) -> str:
    """Which birdfast wrote a file, as part of a sentence."""
    return f"it was written by birdfast {versions.get('birdfast', '(unknown)')}"


# -- a seal: a digest inside the file that it is the digest of ---------------------------------------------------------


def open_seal() -> str:
    """What to store in a file's metadata, for :func:`seal` to close once the file is written."""
    return _SEAL + _OPEN


def seal(path: Path, *others: Path) -> None:
    """Write the digest of `path` and `others` in place of the open seal in `path`."""
    content = path.read_bytes()
    at = content.find((_SEAL + _OPEN).encode()) + len(_SEAL)
    digest = _digest(content, *(other.read_bytes() for other in others))
    with path.open("r+b") as file:
        file.seek(at)
        file.write(digest.encode())


def check_seal(path: Path, content: bytes, *others: bytes, required: bool = True) -> None:
    """Raise :class:`BirdfastError` unless `content`, of `path`, and `others` are as :func:`seal` left them.

    So a damaged file never reaches the parser of a runtime. It is no signature: who forges a file can seal it.
    """
    found = _SEALED.search(content)
    if found is None and not required:
        return
    if found is None:
        raise BirdfastError(f"{path} was not written by birdfast export, or is damaged: export it (again) from its run")
    opened = content[: found.start(1)] + _OPEN.encode() + content[found.end(1) :]
    if _digest(opened, *others) != found[1].decode():
        raise BirdfastError(f"{path} is damaged, or was changed since birdfast wrote it: copy or export it again")


def _digest(*parts: bytes) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()


def short(error: Exception) -> str:
    """What an error of another package says, in a line of 200 characters at most."""
    return " ".join(str(error).split())[:200]
