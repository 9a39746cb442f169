"""A few lines of TOML that say what a model's file takes and gives, and the list of its species.

::

    name = "perch_v2"
    file = "perch_v2.onnx"     # beside this file
    sample_rate = 32000        # Hz
    window = 5.0               # s
    step = 5.0                 # s; the window unless given
    embedding = "embedding"    # the output that is the embedding
    logits = "label"           # the output that holds the logits; left out where there are none
    labels = "labels.txt"      # a class a line, "Scientific name" or "Scientific name_Common name"
    labels_header = false      # whether its first line is a heading
    licence = "Apache-2.0"
    sha256 = ""                # of the model's file; left out: any
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from birdfast.errors import BirdfastError, unknown
from birdfast.files.text import read_text

SHIPPED = Path(__file__).parent / "shipped"  # settings of models that are known, without the models
_NEEDED = ("file", "sample_rate", "window", "embedding")


@dataclass(frozen=True)
class Settings:
    """What the TOML says; `file` and `labels` are whole paths."""

    place: Path  # of the TOML
    name: str
    file: Path
    sample_rate: int
    window: float
    step: float
    embedding: str
    logits: str = ""
    labels: Path | None = None
    labels_header: bool = False
    licence: str = "not stated in its settings"
    sha256: str = ""


def read_settings(place: str | Path) -> Settings:
    """The settings at `place`: a TOML, or a model's file with one of the same name beside it or among those shipped.

    Raises
    ------
    BirdfastError
        If there are none, or something in them is missing, misspelt or cannot be.
    """
    toml, folder = _find(Path(place))
    try:
        said = tomllib.loads(read_text(toml))
    except tomllib.TOMLDecodeError as error:
        raise BirdfastError(f"{toml} is no TOML ({error}): correct it") from error
    known = [field.name for field in fields(Settings) if field.name != "place"]
    for key in said:
        if key not in known:
            raise unknown(f"setting in {toml}", key, known)
    missing = [key for key in _NEEDED if key not in said]
    if missing:
        raise BirdfastError(f"{toml} does not say {', '.join(missing)}: add it")
    _check_numbers(toml, said)
    if ("logits" in said) != ("labels" in said):
        raise BirdfastError(f"{toml} names one of logits and labels: give both, or neither")
    paths = {key: folder / said[key] for key in ("file", "labels") if key in said}
    own: dict[str, Any] = {"place": toml, "name": Path(said["file"]).stem, "step": said["window"]}
    return Settings(**own | said | paths)


def _find(place: Path) -> tuple[Path, Path]:
    """The TOML, and the folder that its file names are relative to."""
    beside, shipped = place.with_suffix(".toml"), SHIPPED / f"{place.stem}.toml"
    if beside.is_file():
        return beside, beside.parent
    if place.suffix != ".toml" and not place.is_file():
        raise BirdfastError(f"no model at {place}: check the path")
    if place.suffix != ".toml" and shipped.is_file():
        return shipped, place.parent
    raise BirdfastError(
        f"no settings at {beside}: write {', '.join(_NEEDED)} into it, as the top of birdfast/embedders/settings.py shows"
    )


def _check_numbers(toml: Path, said: dict[str, object]) -> None:
    for key in ("sample_rate", "window", "step"):
        value = said.get(key, 1)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not value > 0:
            raise BirdfastError(f"{key} in {toml} must be a number above 0, not {value!r}")
    if not isinstance(said["sample_rate"], int):
        raise BirdfastError(f"sample_rate in {toml} must be a whole number of Hz, not {said['sample_rate']}")


def read_labels(file: Path, *, header: bool = False) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Scientific and common names ("" where there is none) of a list with a class a line, ``Scientific_Common``.

    Raises
    ------
    BirdfastError
        If there is no such file, or nothing in it.
    """
    if not file.is_file():
        raise BirdfastError(f"no list of classes at {file}: put it there, a class a line")
    lines = [line.strip() for line in read_text(file).splitlines() if line.strip()][header:]
    if not lines:
        raise BirdfastError(f"{file} names no class: write one a line")
    names = [line.partition("_") for line in lines]
    return tuple(name.strip() for name, _, _ in names), tuple(common.strip() for _, _, common in names)
