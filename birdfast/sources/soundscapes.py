"""Labels of soundscapes, and the row_ids of submissions, as each year of BirdCLEF writes them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas as pd

from birdfast.audio.listing import AUDIO_SUFFIXES
from birdfast.errors import BirdfastError
from birdfast.files.text import read_csv
from birdfast.sources.columns import seconds
from birdfast.sources.finding import find_files

WINDOW = 5.0  # s, of every scored window of 2021 to 2026
SOLUTION = "solution.csv"  # the truth about the test soundscapes, where a folder has it
_NOCALL = "nocall"
# BC2026_Train_0001_S05_20250227_010002, H02_20230420_074000, 3575_COR_20190904: 2026, 2025, 2021
_SITE = re.compile(r"(?:^|_)([A-Z]+\d*)_\d{8}(?:_|$)")


def site_of(path: str | Path) -> str:
    """The site in the name of a soundscape, as 2021, 2025 and 2026 write it; of others the name itself."""
    stem = Path(path).stem
    found = _SITE.search(stem)
    return found.group(1) if found else stem


def read_soundscape_labels(csv: str | Path, folder: str | Path) -> pd.DataFrame:
    """The labelled windows of the soundscapes in `folder`: `path, start_time, end_time` (s), `labels` (tuple of text).

    One row a window: duplicated rows are merged. Windows marked "nocall" have no labels; windows without a row are not
    here. Reads the form of 2021 (`row_id, site, audio_id, seconds, birds`; a window of 5 s ends at `seconds`) and of
    2026 (`filename, start, end, primary_label`; HH:MM:SS, labels separated by semicolons).

    Raises
    ------
    BirdfastError
        It cannot be read, has other columns, or a row has no time.
    """
    csv, folder = Path(csv), Path(folder).absolute()
    table = read_csv(csv, dtype=str, keep_default_na=False)
    if {"audio_id", "site", "seconds", "birds"} <= set(table.columns):
        windows = _windows_2021(table, folder, csv.name)
    elif {"filename", "start", "end", "primary_label"} <= set(table.columns):
        windows = _windows_2026(table, folder, csv.name)
    else:
        raise BirdfastError(
            f"{csv} has not the columns of soundscape labels (filename, start, end, primary_label, or those of 2021: "
            f"audio_id, site, seconds, birds); it has {', '.join(table.columns)}"
        )
    timeless = windows[["start_time", "end_time"]].isna().any(axis=1).to_numpy()
    if timeless.any():
        row = int(timeless.argmax())
        name = Path(windows["path"][row]).name
        raise BirdfastError(f"{csv}: row {row + 1} ({name}) lacks its start or end: fill it in or remove the row")
    merged = windows.groupby(["path", "start_time", "end_time"], sort=True)["labels"].agg(_union)
    return merged.reset_index()


def _union(several: Iterable[tuple[str, ...]]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(label for labels in several for label in labels))


def _windows_2021(table: pd.DataFrame, folder: Path, where: str) -> pd.DataFrame:
    end = pd.Series([seconds(value, where) for value in table["seconds"]], dtype=float)
    names = table["audio_id"] + "_" + table["site"]
    files = {name: _of_2021(name, _stems(folder)) or folder / f"{name}.ogg" for name in names.unique()}
    return pd.DataFrame({
        "path": names.map(lambda name: str(files[name])), "start_time": end - WINDOW, "end_time": end,
        "labels": [_calls(birds.split()) for birds in table["birds"]],
    })  # fmt: skip


def _windows_2026(table: pd.DataFrame, folder: Path, where: str) -> pd.DataFrame:
    return pd.DataFrame({
        "path": find_files(table["filename"], folder, where),
        "start_time": [seconds(value, where) for value in table["start"]],
        "end_time": [seconds(value, where) for value in table["end"]],
        "labels": [_calls(labels.split(";")) for labels in table["primary_label"]],
    })  # fmt: skip


def _calls(labels: Iterable[str]) -> tuple[str, ...]:
    texts = (label.strip() for label in labels)
    return tuple(dict.fromkeys(text for text in texts if text and text != _NOCALL))


def _stems(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        return {}
    return {file.stem: file for file in sorted(folder.iterdir()) if file.suffix.lower() in AUDIO_SUFFIXES}


def _of_2021(name: str, stems: dict[str, Path]) -> Path | None:
    """The file of ``3575_COR``: it bears a date behind, ``3575_COR_20190904.ogg``."""
    return next((file for stem, file in stems.items() if stem == name or stem.startswith(f"{name}_")), None)


def parse_row_ids(
    row_ids: Iterable[str], files: Iterable[str | Path], year: int | None = None, *, some: bool = False
) -> pd.DataFrame:
    """Which file and window each row of a submission means.

    Parameters
    ----------
    some
        A row that means none has no `path` and no `end_time`, in place of an error, as long as others mean one.

    Returns
    -------
    DataFrame
        In the order of `row_ids`: `row_id`, `path`, `end_time` (s), and for 2022, when a row means one species,
        `primary_label`.

    Raises
    ------
    BirdfastError
        A row_id is of no known form, or none of `files` belongs to it; with `some`, only if that holds for all.
    """
    stems = {Path(file).stem: Path(file) for file in files}
    seen: dict[str, tuple[Path, str]] = {}
    rows: list[tuple[str, str | None, float, str]] = []
    wrong = []
    for row_id in map(str, row_ids):
        try:
            head, end = _split(row_id)
            if head not in seen:
                seen[head] = _match(row_id, head, stems, year)
            rows.append((row_id, str(seen[head][0]), end, seen[head][1]))
        except BirdfastError as error:
            if not some:
                raise
            wrong.append(error)
            rows.append((row_id, None, float("nan"), ""))
    if wrong and len(wrong) == len(rows):
        raise wrong[0]
    table = pd.DataFrame(rows, columns=["row_id", "path", "end_time", "primary_label"])
    return table if (table["primary_label"] != "").any() else table.drop(columns="primary_label")


def _split(row_id: str) -> tuple[str, float]:
    """What stands before a window's end in s, and that end."""
    head, _, end = row_id.rpartition("_")
    if not re.fullmatch(r"\d+(\.\d+)?", end):
        raise BirdfastError(f"row_id {row_id!r} does not end in the window's end in s, like soundscape_8358733_5")
    return head, float(end)


def _match(row_id: str, head: str, stems: dict[str, Path], year: int | None) -> tuple[Path, str]:
    """The file that the part of a row_id before its seconds means, and its species (2022)."""
    if head in stems:
        return stems[head], ""
    before, _, species = head.rpartition("_")
    if year in (None, 2022) and before in stems:
        return stems[before], species
    if year in (None, 2021) and (file := _of_2021(head, stems)) is not None:
        return file, ""
    there = f"the first of {len(stems)} is {next(iter(stems))}" if stems else "there are none"
    raise BirdfastError(
        f"no soundscape belongs to row_id {row_id!r}; {there}: is it the folder of this sample submission?"
    )


def make_row_ids(path: str | Path, end_times: Sequence[float], *, year: int, species: str | None = None) -> list[str]:
    """The row_ids of a soundscape's windows; 2022 wants the `species` that the rows are about."""
    stem = Path(path).stem
    if year == 2021:
        stem = "_".join(stem.split("_")[:2])
    elif year == 2022:
        if species is None:
            raise BirdfastError("a row of 2022 is about one species: give species=...")
        stem = f"{stem}_{species}"
    return [f"{stem}_{end:.10g}" for end in end_times]
