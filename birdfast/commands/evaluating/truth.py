"""Truth about windows of soundscapes: where it is written."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from birdfast.audio.listing import get_audio_files
from birdfast.audio.read import read_headers, window_starts
from birdfast.errors import BirdfastError
from birdfast.evaluation.report import INDEX
from birdfast.files.text import read_csv
from birdfast.notes import note
from birdfast.sources.birdclef import find_birdclef, is_birdclef, parse_row_ids, read_soundscape_labels
from birdfast.sources.read import read_source
from birdfast.sources.soundscapes import SOLUTION, WINDOW
from birdfast.studies.windows import Sides, Truth, join

ANNOTATED = ("Raven", "Audacity")  # layouts of recordings in which a person has marked every call
_HEARD = 0.25  # s of an annotation that a window must hold for its species to be present there; half of a shorter one


def read_truth(
    source: str | Path, truth: str | Path | None = None, *, columns: Mapping[str, Any] | None = None
) -> Truth | None:
    """The truth about windows that `source` holds, or the csv `truth` about it; None where recordings are labelled.

    Raises
    ------
    BirdfastError
        If there is no such source, or `truth` is neither a solution nor soundscape labels.
    """
    folder = Path(source).expanduser()
    if truth is not None:
        return _from_csv(Path(truth), folder)
    if folder.is_file():
        if folder.suffix == ".csv" and ("row_id" in _header(folder) or "soundscape" in folder.name):
            root = (columns or {}).get("audio_root")
            return _from_csv(folder, Path(root) if root else folder.parent)
        return None
    folder = folder if folder.is_dir() else find_birdclef(source)
    if (folder / SOLUTION).is_file():
        return _from_csv(folder / SOLUTION, folder)
    if not is_birdclef(folder):
        return None
    soundscapes = read_source(folder).soundscapes
    if soundscapes is None or soundscapes.empty:
        return None
    return _labelled(soundscapes, folder)


def _header(csv: Path) -> list[str]:
    return list(read_csv(csv, nrows=0).columns)


def _from_csv(csv: Path, folder: Path) -> Truth:
    """A solution or soundscape labels, for the soundscapes in `folder` or in the usual place below it."""
    if not csv.is_file():
        raise BirdfastError(f"no truth at {csv}: give a solution.csv or a csv of soundscape labels")
    if "row_id" in _header(csv) and "seconds" not in _header(csv):
        return _solution(csv, _below(folder, "test_soundscapes"))
    return _labelled(read_soundscape_labels(csv, _below(folder, "train_soundscapes")), csv)


def _below(folder: Path, name: str) -> Path:
    return (folder / name if (folder / name).is_dir() else folder).absolute()


def _labelled(windows: pd.DataFrame, where: Path) -> Truth:
    n = windows["path"].nunique()
    return Truth(f"the windows of {n} labelled soundscapes ({where})", windows.set_index(INDEX), complete=False)


def annotated_truth(annotations: pd.DataFrame, *, window: float, what: str) -> Truth:
    """Of each window of annotated recordings, the species of which it holds `_HEARD` s of an annotation or more.

    Of an annotation shorter than twice that, half is enough. A window without any holds no call.

    Parameters
    ----------
    annotations
        ``path, start_time, end_time, primary_label``, a row an annotation.
    window
        Length in s; windows follow each other from the start of a recording.
    """
    headers = read_headers(annotations["path"].unique())
    broken = headers.loc[headers["error"].notna(), "path"].tolist()
    if broken:
        note(f"{len(broken)} annotated recordings cannot be read and are left out: {', '.join(broken[:3])}")
    durations = dict(zip(headers["path"], headers["duration"], strict=True))
    parts = []
    for path, rows in annotations[~annotations["path"].isin(broken)].groupby("path", sort=False):
        starts = window_starts(float(durations[path]), window=window)
        index = pd.MultiIndex.from_arrays([[path] * len(starts), starts, starts + window], names=INDEX)
        parts.append(pd.DataFrame({"labels": _heard(rows, starts, window)}, index=index))
    if not parts:
        raise BirdfastError(f"none of the {len(headers)} annotated recordings can be read: {headers['error'].iloc[0]}")
    table = pd.concat(parts)
    return Truth(f"the {len(table)} windows of {len(parts)} annotated recordings; {what}", table, complete=True)


def _heard(annotations: pd.DataFrame, starts: np.ndarray, window: float) -> list[tuple[str, ...]]:
    """The species in each window of one recording, whose windows begin at the rising `starts`."""
    heard: list[dict[str, None]] = [{} for _ in starts]
    for start, end, label in zip(*(annotations[name] for name in ("start_time", "end_time", "primary_label"))):
        least = min(_HEARD, (end - start) / 2) - 1e-6
        first = int(np.searchsorted(starts + window, start + least, side="left"))
        last = int(np.searchsorted(starts, end - least, side="right"))
        for labels in heard[first:last]:
            labels[label] = None
    return [tuple(labels) for labels in heard]


def _solution(csv: Path, folder: Path) -> Truth:
    table = read_solution(csv)
    files = get_audio_files(folder)
    rows = parse_row_ids(table.index, [str(file) for file in files])
    if rows["path"].isna().any():
        row_id = rows.loc[rows["path"].isna(), "row_id"].iloc[0]
        raise BirdfastError(f"no soundscape in {folder} belongs to the row {row_id!r} of {csv}")
    end = rows["end_time"].to_numpy()
    table.index = pd.MultiIndex.from_arrays([rows["path"], end - WINDOW, end], names=INDEX)
    return Truth(f"{len(table)} windows of {rows['path'].nunique()} soundscapes against {csv}", table, complete=True)


def read_solution(csv: Path) -> pd.DataFrame:
    """A csv in the form of a submission, indexed by row_id: a column a class, all of it numbers.

    Raises
    ------
    BirdfastError
        If it has another form, missing values or a row twice.
    """
    try:
        table = read_csv(csv, dtype={"row_id": str}).set_index("row_id")
    except FileNotFoundError:
        raise BirdfastError(f"no file {csv}") from None
    except KeyError:
        raise BirdfastError(f"{csv} has no column row_id: its columns are {', '.join(_header(csv)[:5])}") from None
    wrong = [name for name in table if not pd.api.types.is_numeric_dtype(table[name])]
    if wrong or not len(table.columns) or list(table.columns) == ["target"]:
        raise BirdfastError(
            f"{csv} holds decisions, not a probability for each class: it cannot be ranked and scored so"
        )
    if table.isna().any().any():
        raise BirdfastError(f"{csv} holds missing values in {table.columns[table.isna().any()][0]!r}")
    if table.index.duplicated().any():
        raise BirdfastError(f"{csv} holds the row {table.index[table.index.duplicated()][0]!r} twice")
    return table.astype(float)


def scores_against(
    csv: Path, source: Path, truth: str | Path | None = None, *, columns: Mapping[str, Any] | None = None
) -> tuple[str, Sides]:
    """A submission against a solution of the same rows, or a csv of scores against any truth about windows."""
    if not csv.is_file():
        raise BirdfastError(f"no file {csv}")
    header = _header(csv)
    if "row_id" in header:
        solution = Path(truth or source)
        return _submission(csv, solution / SOLUTION if solution.is_dir() else solution)
    if not set(INDEX) <= set(header):
        raise BirdfastError(f"{csv} holds neither a submission (row_id) nor scores ({', '.join(INDEX)}): {header[:5]}")
    known = read_truth(source, truth, columns=columns)
    if known is None:
        raise BirdfastError(f"{source} holds no truth about windows: give a solution.csv or labelled soundscapes")
    scores = read_csv(csv)
    scores["path"] = [str(Path(path).absolute()) for path in scores["path"]]
    scores = scores.set_index(INDEX)
    return known.what, join(scores, known.multi_hot(list(scores.columns)), known)


def _submission(csv: Path, solution: Path) -> tuple[str, Sides]:
    if not solution.is_file():
        raise BirdfastError(f"no solution at {solution}: a submission is scored against a csv with the same row_ids")
    truth, scores = read_solution(solution), read_solution(csv)
    rows, classes = truth.index.difference(scores.index), truth.columns.difference(scores.columns)
    if len(rows) or len(classes):
        what, name = ("rows", rows[0]) if len(rows) else ("classes", classes[0])
        count = len(rows) or len(classes)
        raise BirdfastError(f"{csv} lacks {count} {what} of {solution}, the first {name!r}: do they belong together?")
    more = len(scores) - len(truth)
    if more:
        note(f"{more} rows of {csv} are not in {solution}: left out")
    scores = scores.loc[truth.index, truth.columns]
    what = f"{len(truth)} rows of {csv} against {solution}"
    return what, Sides(truth.to_numpy(), scores.to_numpy(), list(truth.columns), _rows_of_ids(truth.index))


def _rows_of_ids(row_ids: pd.Index) -> pd.DataFrame:
    parts = row_ids.to_series().str.rpartition("_")
    ends = pd.to_numeric(parts[2], errors="coerce").to_numpy(dtype=float)
    return pd.DataFrame({"path": parts[0].to_numpy(), "start_time": ends - WINDOW, "end_time": ends})
