"""From a table with anyone's column names to a recordings table."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from birdfast.errors import BirdfastError, unknown
from birdfast.files.text import read_csv
from birdfast.sources.finding import find_files
from birdfast.sources.several import class_columns, from_wide

NAMES: dict[str, tuple[str, ...]] = {
    "file": (
        "path",
        "file",
        "filename",
        "filepath",
        "file_name",
        "file_path",
        "fname",
        "audio_path",
        "audio_file",
        "audio",
    ),
    "label": ("primary_label", "label", "category", "species", "class", "ebird_code", "species_code"),
    "secondary": ("secondary_labels", "secondary"),
    "author": ("author", "recordist", "recorded_by", "recorder"),
    "fold": ("fold",),
    "start_time": ("start_time", "start", "start_s", "begin_time", "onset"),
    "end_time": ("end_time", "end", "end_s", "offset"),
}
_TARGET = {"file": "path", "label": "primary_label", "secondary": "secondary_labels"}
LEFT_OUT = "none"  # in place of a column's name: do not look for one
_MISSING = ("", "NA", "N/A", "n/a", "<NA>", "nan", "NaN", "null", "None")
_WITHOUT_NAME = {"", "unknown", "anonymous", "none", "nan", "na", "n/a", "<na>"}


@dataclass(frozen=True)
class Columns:
    """The names a table's columns bear; None: look for the common names; "none": as if the table had no such column."""

    file: str | None = None
    label: str | None = None
    secondary: str | None = None
    author: str | None = None
    fold: str | None = None
    start_time: str | None = None
    end_time: str | None = None


def find_columns(columns: Columns, there: Sequence[str], table: str, *, wide: bool = False) -> dict[str, str]:
    """For each of the recordings table's columns that `table` has, the name it bears there; "none" if it shall be left.

    Raises
    ------
    BirdfastError
        A column named by the user is not there, or no column for the file or the label could be found. With `wide`,
        there may be none for the label: each class may have its own.
    """
    by_lower = {str(name).strip().lower(): name for name in reversed(there)}
    found = {}
    for role, names in NAMES.items():
        given = getattr(columns, role)
        left_out = given == LEFT_OUT and role not in ("file", "label")
        if given is not None and given not in there and not left_out:
            raise unknown(f"column of {table} given as {role}", given, there)
        match = given if given is not None else next((by_lower[name] for name in names if name in by_lower), None)
        if match is None and (role == "file" or (role == "label" and not wide)):
            listed = ", ".join(map(str, there))
            raise BirdfastError(
                f"{table} has no column for the {role}: name it with {role}=... (in bird_dls columns=dict({role}=...), "
                f"at the shell --{role}); its columns are {listed}"
            )
        if match is not None:
            found[_TARGET.get(role, role)] = match
    return found


def read_recordings(path: Path, columns: Columns, *, sep: str = ",", wide: bool = False) -> pd.DataFrame:
    """The rows of a csv of recordings, its columns under birdfast's names; BirdfastError if there are none."""
    there = list(read_csv(path, sep=sep, nrows=0).columns)
    found = find_columns(columns, there, path.name, wide=wide)
    table = read_csv(path, sep=sep, **as_text(found, there), low_memory=False)
    if len(table) == 0:
        raise BirdfastError(f"{path} has no rows")
    return named(table, found, columns, path.name)


def named(table: pd.DataFrame, found: dict[str, str], columns: Columns, where: str) -> pd.DataFrame:
    """`table` under birdfast's names; without a column for the label, the columns of its classes are read."""
    if "primary_label" in found:
        return rename(table, found)
    classes = class_columns(table, set(found.values()))
    if len(classes) < 2:
        find_columns(columns, list(table.columns), where)  # raises: a label is missing
    return from_wide(rename(table, found), classes, where)


def as_text(found: dict[str, str], there: Sequence[str]) -> dict[str, Any]:
    """Options of read_csv under which a name stays the text it is: 1491113, 007, and NA, are names."""
    names = [found[role] for role in ("path", "primary_label", "secondary_labels", "author") if role in found]
    missing = {name: list(_MISSING) for name in there if name not in names}
    return {"dtype": dict.fromkeys(names, str), "na_values": missing, "keep_default_na": False}


def rename(table: pd.DataFrame, found: dict[str, str]) -> pd.DataFrame:
    """`table` with the columns of :func:`find_columns` under birdfast's names; another in the way is dropped."""
    others = [name for name in table.columns if name not in found.values() and name not in found]
    chosen = {name: table[there] for name, there in found.items() if there in table}
    return pd.concat([pd.DataFrame(chosen), table[others]], axis=1)


def tidy(table: pd.DataFrame, *, root: Path, where: str) -> pd.DataFrame:
    """A recordings table of exact types from one whose columns bear birdfast's names; `where` names it in errors."""
    n = len(table)
    missing = pd.Series([float("nan")] * n)
    table = table.reset_index(drop=True)
    out = pd.DataFrame({
        "path": absolute_paths(table["path"], root, where),
        "primary_label": _labels(table["primary_label"], table["path"], where, may_lack="present" in table),
        "secondary_labels": [secondary(value) for value in table.get("secondary_labels", [()] * n)],
        "author": _authors(table.get("author", missing)),
        "start_time": _times(table.get("start_time", missing), where),
        "end_time": _times(table.get("end_time", missing), where),
        "fold": _folds(table.get("fold", missing), where),
    })  # fmt: skip
    wrong = (out["end_time"] <= out["start_time"].fillna(0)) | (out["start_time"] < 0)
    if wrong.any():
        row = out[wrong].iloc[0]
        raise BirdfastError(
            f"{where}: a clip of {row['path']} goes from {row['start_time']:g} to {row['end_time']:g} s: mend it"
        )
    rest = table.drop(columns=list(out.columns), errors="ignore")
    if "rating" in rest:
        rating = pd.to_numeric(rest["rating"], errors="coerce")
        rest["rating"] = rating.where(rating > 0)  # 0 is iNaturalist's and Xeno-canto's "not rated"
    return pd.concat([out, rest], axis=1)


def absolute_paths(paths: pd.Series, root: Path, where: str) -> list[str]:
    """Paths of which the relative ones begin at `root`, see :func:`~birdfast.sources.finding.find_files`.

    Raises
    ------
    BirdfastError
        One is empty, or may be any of several files, in the table `where`.
    """
    if paths.isna().any() or (paths.astype(str).str.strip() == "").any():
        raise BirdfastError(f"{where} has rows without a file: fill or remove them")
    return find_files(paths.astype(str), root, where)


def _labels(labels: pd.Series, paths: pd.Series, where: str, *, may_lack: bool = False) -> pd.Series:
    if pd.api.types.is_float_dtype(labels) and (labels.dropna() % 1 == 0).all():
        labels = labels.astype("Int64")  # iNaturalist ids beside a missing one: 1491113, not 1491113.0
    text = labels.astype(object).where(labels.notna(), "").astype(str).str.strip()
    if (text == "").any() and not may_lack:
        first = paths[(text == "").to_numpy()].iloc[0]
        raise BirdfastError(f"{where}: {(text == '').sum()} rows have no label (first: {first}): fill or remove them")
    return text


def secondary(value: Any) -> tuple[str, ...]:
    """Secondary labels as a tuple, from a list or the text of one (``[]``, ``['']``, ``['a', 'b']``)."""
    if isinstance(value, str):
        value = _literal(value)
    elif not isinstance(value, Iterable):
        return ()
    return tuple(dict.fromkeys(text for item in value if (text := str(item).strip())))


def _literal(text: str) -> Iterable[Any]:
    import ast

    if not text.strip().startswith(("[", "(")):
        return text.replace(",", " ").replace(";", " ").split()
    try:
        value = ast.literal_eval(text.strip())
    except (ValueError, SyntaxError):
        raise BirdfastError(f"secondary labels {text!r} are not a list: write them as ['a', 'b']") from None
    return value if isinstance(value, (list, tuple)) else [value]


def _authors(authors: pd.Series) -> pd.Series:
    text = authors.astype(object).where(authors.notna(), "").astype(str).str.strip()
    return text.astype("string").where(~text.str.lower().isin(_WITHOUT_NAME), pd.NA)


def _folds(folds: pd.Series, where: str) -> pd.Series:
    numbers = pd.to_numeric(folds, errors="coerce")
    given = folds.notna() & (folds.astype(str).str.strip() != "")
    wrong = given & (numbers.isna() | (numbers % 1 != 0))
    if wrong.any():
        raise BirdfastError(f"{where}: fold must be a whole number, not {folds[wrong].iloc[0]!r}")
    return numbers.astype("Int64")


def _times(times: pd.Series, where: str) -> pd.Series:
    return pd.Series([seconds(value, where) for value in times], dtype=float)


def seconds(value: Any, where: str) -> float:
    """A time in s from a number, with a point or a decimal comma, or HH:MM:SS; NaN where there is none."""
    text = str(value).strip()
    if value is None or value is pd.NA or text.lower() in ("", "nan", "none", "<na>"):
        return float("nan")
    try:
        parts = [float(part) for part in text.replace(",", ".").split(":")]
    except ValueError:
        raise BirdfastError(f"{where}: {text!r} is not a time in seconds or HH:MM:SS") from None
    return sum(part * 60**power for power, part in enumerate(reversed(parts)))
