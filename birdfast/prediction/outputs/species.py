"""Which of a model's classes are wanted: lists to keep and to drop."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from birdfast.embedders.species_range import range_scores
from birdfast.errors import BirdfastError
from birdfast.files.text import read_text
from birdfast.notes import note


def read_names(given: str | Path | Sequence[str]) -> list[str]:
    """Species named in a text file, one a line (``#`` begins a comment), or in text with commas between them.

    Raises
    ------
    BirdfastError
        If there are none, or the file is no UTF-8 text.
    """
    if not isinstance(given, (str, Path)):
        names = list(given)
    elif _is_file(given):
        names = [line.partition("#")[0] for line in read_text(Path(given)).splitlines()]
    elif Path(given).suffix in (".txt", ".csv"):
        raise BirdfastError(f"no list of species at {given}: give a text file, one name a line, or names with commas")
    else:
        names = str(given).split(",")
    names = [name.strip() for name in names if name.strip()]
    if not names:
        raise BirdfastError(f"{given} names no species: write one a line, or names with commas between them")
    return list(dict.fromkeys(names))


def _is_file(given: str | Path) -> bool:
    with suppress(OSError):  # names with commas are longer than those of files may be
        return Path(given).is_file()
    return False


def choose(
    classes: Sequence[str],
    *,
    keep: str | Path | Sequence[str] | None = None,
    drop: str | Path | Sequence[str] | None = None,
    strict: bool = False,
) -> list[str]:
    """The `classes` wanted, in their order.

    Names that are no class are noted; with `strict` they are an error.

    Raises
    ------
    BirdfastError
        If none of the names is a class, or nothing is left.
    """
    chosen = list(classes)
    if keep is not None:
        kept = _matched(read_names(keep), classes, "keep", strict=strict)
        chosen = [name for name in chosen if name in kept]
    if drop is not None:
        dropped = _matched(read_names(drop), classes, "drop", strict=strict)
        chosen = [name for name in chosen if name not in dropped]
    if not chosen:
        raise BirdfastError("no class is left of the model's: the lists to keep and to drop leave none")
    return chosen


def _matched(names: list[str], classes: Sequence[str], what: str, *, strict: bool) -> set[str]:
    """Those of the names which are classes."""
    known = set(classes)
    foreign = [name for name in names if name not in known]
    some = f"{', '.join(foreign[:5])}{', ...' if len(foreign) > 5 else ''}"
    if len(foreign) == len(names):
        raise BirdfastError(
            f"none of the {len(names)} names to {what} ({some}) is a class of the model ({', '.join(classes[:3])}, "
            "...): write them as the model does"
        )
    if foreign and strict:
        raise BirdfastError(f"{len(foreign)} of {len(names)} names to {what} are no classes of the model: {some}")
    if foreign:
        note(f"{len(foreign)} of {len(names)} names to {what} are no classes of the model and change nothing: {some}")
    return known & set(names)


EXPECTED = 0.03  # of the range model, from which a species may be expected: BirdNET-Analyzer's threshold


def expected(
    classes: Sequence[str],
    lat: float | None,
    lon: float | None,
    week: int | None = None,
    *,
    names: Mapping[str, str] | None = None,
) -> list[str]:
    """The `classes` that may be expected at a place (degrees) in a week (1 to 48; None: at any time of the year).

    Parameters
    ----------
    names
        The scientific name of each class, where it is not the class itself.

    Raises
    ------
    BirdfastError
        If the place cannot be, nothing is expected there, or the range model is not installed.
    """
    scores = range_scores(lat, lon, week)
    said = {name: (names or {}).get(name, name).replace("_", " ") for name in classes}
    unknown = [name for name in classes if said[name] not in scores]
    kept = [name for name in classes if scores.get(said[name], 1.0) >= EXPECTED]
    if len(unknown) == len(classes):
        raise BirdfastError(
            f"the range model knows none of the {len(classes)} classes ({', '.join(classes[:3])}, ...): it goes by scientific "
            "names, which a model has that was trained with a taxonomy; leave out --lat and --lon"
        )
    if not kept:
        raise BirdfastError(f"no class of the model is expected at {lat:g}, {lon:g}: check the place and the week")
    stay = f"; {len(unknown)} that the range model does not know stay" if unknown else ""
    note(f"{len(kept)} of {len(classes)} species are expected there{stay}")
    return kept
