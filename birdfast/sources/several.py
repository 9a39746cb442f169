"""Rows with several species, or with none: wide tables, cells that hold a list, and several rows for one window."""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterable, Sequence

import numpy as np
import pandas as pd

from birdfast.errors import BirdfastError
from birdfast.notes import note

CALL = 0.5  # probability from which a species counts as heard
_BETWEEN = re.compile(r"\s*[,;|/+&]\s*")  # species in one cell
_EMPTY = ("", "nan", "na", "n/a", "none", "<na>", "null")


def class_columns(table: pd.DataFrame, others: Collection[str]) -> dict[str, pd.Series]:
    """The columns that are a class each, by name: those but `others` whose values are 0 to 1, true, false or empty."""
    found = {}
    for name in table.columns:
        if name not in others and (values := _values(table[name])) is not None:
            found[str(name)] = values
    return found


def _values(column: pd.Series) -> pd.Series | None:
    """Numbers from 0 to 1, NaN where a cell is empty; None if there is anything else, or nothing."""
    text = column.astype(object).where(column.notna(), "").astype(str).str.strip().str.lower()
    text = text.str.replace(",", ".", regex=False)  # a decimal comma
    text = text.mask(text.isin(_EMPTY), "nan").replace({"true": "1", "yes": "1", "false": "0", "no": "0"})
    numbers = pd.to_numeric(text.where(text != "nan"), errors="coerce").astype(float)
    known = numbers[text != "nan"]
    return numbers if len(known) and known.between(0, 1).all() else None


def from_wide(table: pd.DataFrame, classes: dict[str, pd.Series], where: str) -> pd.DataFrame:
    """`table` with `present`, `unknown`, `primary_label` and `secondary_labels` in place of its columns of classes."""
    names, values = list(classes), np.column_stack([column.to_numpy() for column in classes.values()])
    said = f"{where} has a column a class: {len(names)} classes, {', '.join(names[:3])}{', ...' if names[3:] else ''}"
    if (~np.isnan(values) & (values != 0) & (values != 1)).any():
        said += f"; of probabilities, {CALL:g} or more counts as heard (soft labels go in as pseudo=)"
    note(said)
    present = [_named(names, row >= CALL) for row in values]
    unknown = [_named(names, np.isnan(row)) for row in values]
    out = table.drop(columns=names).assign(
        primary_label=[several[0] if several else "" for several in present],
        secondary_labels=tuples(several[1:] for several in present),
        present=tuples(present),
        unknown=tuples(unknown),
    )
    out.attrs["classes"] = names
    return out


def _named(names: Sequence[str], which: np.ndarray) -> tuple[str, ...]:
    return tuple(name for name, is_so in zip(names, which, strict=True) if is_so)


def tuples(several: Iterable[tuple[str, ...]]) -> np.ndarray:
    """A column of tuples."""
    listed = list(several)
    column = np.empty(len(listed), dtype=object)
    column[:] = listed
    return column


def split_cells(
    labels: Sequence[str], paths: Sequence[str], where: str, known: Collection[str] = ()
) -> list[tuple[str, ...]]:
    """The species of each cell of labels: its parts where these are labels of other rows, or `known`; else itself.

    Raises
    ------
    BirdfastError
        Of the parts of a cell only some are labels.
    """
    cells = {cell: _parts(cell) for cell in dict.fromkeys(labels)}
    alone = set(known) | {parts[0] for parts in cells.values() if len(parts) == 1}
    found, odd = {}, []
    for cell, parts in cells.items():
        inside = [part for part in parts if part in alone]
        if len(parts) == 1 or _is_list(cell) or (cell not in alone and len(inside) == len(parts)):
            found[cell] = tuple(dict.fromkeys(parts))
            continue
        found[cell] = (cell,)
        if _BETWEEN.search(cell) and cell not in alone:  # words apart are a name: Turdus merula
            if inside:
                raise _ask(cell, parts, inside, paths[list(labels).index(cell)], where)
            odd.append(cell)
    if odd:
        note(f"{where}: {len(odd)} labels hold a comma or the like, and are one species each; the first: {odd[0]!r}")
    return [found[cell] for cell in labels]


def _ask(cell: str, parts: tuple[str, ...], inside: list[str], path: str, where: str) -> BirdfastError:
    strange = next(part for part in parts if part not in inside)
    return BirdfastError(
        f"{where}: is {cell!r} (of {path}) one species or several? {inside[0]!r} is a label of other rows, {strange!r} is "
        f"none: write {list(parts)} for several, and the name without a separator for one"
    )


def _is_list(cell: str) -> bool:
    return cell[:1] in ("[", "(") and cell[-1:] in ("]", ")")


def _parts(cell: str) -> tuple[str, ...]:
    """What a cell might list; of one without separators the words, of a list its items."""
    if _is_list(cell):
        try:
            value = ast.literal_eval(cell)
        except (ValueError, SyntaxError):
            value = cell[1:-1].split(",")
        items = value if isinstance(value, (list, tuple)) else [value]
        return tuple(text for item in items if (text := str(item).strip().strip("'\""))) or (cell,)
    parts = _BETWEEN.split(cell) if _BETWEEN.search(cell) else cell.split()
    return tuple(part for part in parts if part) or (cell,)


def join_rows(recordings: pd.DataFrame) -> pd.DataFrame:
    """`recordings` with one row a window: of those with several, and several labels, the labels are joined.

    Rows without times stay as they are: each is a recording of its own, if of the same file.
    """
    keys = ["path", "start_time", "end_time"]
    counts = recordings.groupby(keys, dropna=False, sort=False)["primary_label"].transform("nunique")
    apart = ((counts > 1) & recordings["start_time"].notna() & recordings["end_time"].notna()).to_numpy()
    if not apart.any():
        return recordings
    rows = []
    for _, group in recordings[apart].groupby(keys, dropna=False, sort=False):
        row = group.iloc[0].copy()
        named = [label for label in group["primary_label"] if label]
        beside = [label for several in group["secondary_labels"] for label in several]
        heard = tuple(dict.fromkeys([*named, *beside]))
        row["primary_label"], row["secondary_labels"], row["present"] = heard[0], heard[1:], heard
        rows.append(row)
    note(f"{apart.sum()} rows name several species for {len(rows)} windows: their labels are joined")
    joined = pd.DataFrame(rows).astype(recordings.dtypes.to_dict())
    return pd.concat([recordings[~apart], joined]).sort_index().reset_index(drop=True)
