"""A submission in the form of each BirdCLEF: which rows, which columns, and is it fit to hand in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path

import numpy as np
import pandas as pd

from birdfast.audio.listing import get_audio_files
from birdfast.audio.read import window_starts
from birdfast.errors import BirdfastError
from birdfast.files.text import read_csv
from birdfast.files.writing import replacing
from birdfast.notes import note
from birdfast.sources.birdclef import make_row_ids, parse_row_ids
from birdfast.sources.soundscapes import WINDOW

_ON_KAGGLE = "test_soundscapes"  # may be missing while a notebook is saved
_DRY_RUN_FOLDERS = ("train_soundscapes", "unlabeled_soundscapes")
_DRY_RUN_FILES = 2
_NEAR = 0.8  # likeness of a folder's name to the one meant; test_audio and train_audio have 0.67
_LATER = 2026  # any year since 2023: they share the form <file>_<end>
_FLAT = 1e-6  # rows that differ by less say nothing


def read_sample(path: str | Path) -> pd.DataFrame:
    """A sample submission, its row_id as strings.

    Raises
    ------
    BirdfastError
        If there is no file, it is no csv, has no rows or no ``row_id`` column.
    """
    path = Path(path)
    if not path.is_file():
        raise BirdfastError(f"no sample submission at {path}: give the competition's sample_submission.csv")
    sample = read_csv(path, dtype={"row_id": str})
    if "row_id" not in sample or len(sample.columns) < 2 or sample.empty or sample["row_id"].isna().any():
        raise BirdfastError(
            f"{path} is no sample submission: it needs rows and a row_id column, it has {list(sample)[:5]}"
        )
    return sample


def submission_year(sample: pd.DataFrame) -> int | None:
    """2021 and 2022 by their columns ``birds`` and ``target``; None for the later form, one column a class."""
    columns = _scored(sample)
    return {"birds": 2021, "target": 2022}.get(columns[0]) if len(columns) == 1 else None


def asked_classes(sample: pd.DataFrame, classes: Sequence[str]) -> list[str]:
    """The classes that the sample asks for, in its order; for 2021, which names none, all of the model's.

    Raises
    ------
    BirdfastError
        Naming those which the model, of `classes`, does not know.
    """
    year = submission_year(sample)
    if year == 2021:
        return [name for name in classes if name != "nocall"]
    asked = list(dict.fromkeys(birds_2022(sample["row_id"]))) if year == 2022 else _scored(sample)
    missing = [name for name in asked if name not in set(classes)]
    if len(missing) == len(asked):
        raise BirdfastError(
            f"none of the sample's {len(asked)} classes ({', '.join(asked[:3])}, ...) is one of the model's "
            f"({', '.join(classes[:3])}, ...): this sample submission belongs to another competition than the model"
        )
    if missing:
        raise BirdfastError(
            f"the model does not know {len(missing)} of the sample's {len(asked)} classes: {', '.join(missing[:20])}"
            f"{', ...' if len(missing) > 20 else ''}; train with the class list of this competition's taxonomy"
        )
    return asked


def birds_2022(row_ids: pd.Series) -> pd.Series:
    """The bird of each row_id of 2022: ``soundscape_453028782_akiapo_5``."""
    birds = row_ids.str.rsplit("_", n=2).str[-2]
    if birds.isna().any():
        raise BirdfastError(
            f"the row_id {row_ids[birds.isna()].iloc[0]!r} is not of 2022's form soundscape_<id>_<bird>_<end>"
        )
    return birds


def find_soundscapes(folder: str | Path, *, dry_run: str | Path | None = None) -> list[Path]:
    """The soundscapes in `folder`; where there are none, two of `dry_run` or of the training soundscapes beside it.

    Raises
    ------
    BirdfastError
        If there are none there either, or `folder` does not exist and is not Kaggle's, ``test_soundscapes``.
    """
    folder = Path(folder)
    found = _audio_in(folder)
    if found:
        return found
    state, why = "holds no recordings", ", as on Kaggle while a notebook is saved"
    if not folder.exists():
        if dry_run is None and folder.name != _ON_KAGGLE:
            _refuse(folder)
        state, why = "does not exist", ": check the path"
    beside = [folder.parent / name for name in _DRY_RUN_FOLDERS]
    for place in [Path(dry_run)] if dry_run is not None else beside:
        found = _audio_in(place)[:_DRY_RUN_FILES]
        if found:
            note(
                f"DRY RUN: {folder} {state}{why}. These scores are of {len(found)} files of {place} and only show that "
                "the way to the submission works"
            )
            return found
    looked = dry_run if dry_run is not None else " and ".join(str(place) for place in beside)
    raise BirdfastError(
        f"{folder} {state}, nor are there any in {looked}: name a folder with soundscapes, or in "
        "Python give dry_run=<a folder of soundscapes> to try it out"
    )


def _refuse(folder: Path) -> None:
    """Refuse a folder that is not there; names one beside it that has nearly its name."""
    beside = [entry.name for entry in folder.parent.iterdir() if entry.is_dir()] if folder.parent.is_dir() else []
    names = [name for name in beside if name not in _DRY_RUN_FOLDERS]
    near = get_close_matches(folder.name, names, n=1, cutoff=_NEAR)
    raise BirdfastError(
        f"no folder {folder}: {f'did you mean {folder.parent / near[0]}?' if near else 'check the path'}"
    )


def submission_rows(
    sample: pd.DataFrame, files: list[str], durations: Mapping[str, float], *, year: int | None = None
) -> pd.DataFrame:
    """Which window each row of the submission is: ``row_id, path, start_time``.

    The sample's rows; where none of them names one of the `files`, all windows of the files. A row without its file has
    no `path`. A window that begins beyond its file's end, or less than half a second before, becomes the file's last one.

    Parameters
    ----------
    durations
        Length in s of each readable file; an unreadable one gets as many windows as most others.
    """
    year = year or submission_year(sample)
    try:
        rows = parse_row_ids(sample["row_id"], files, year=year, some=True)
    except BirdfastError as error:
        note(f"the rows are all {WINDOW:g} s windows of the {len(files):,} files, not those of the sample: {error}")
        birds = list(dict.fromkeys(birds_2022(sample["row_id"]))) if year == 2022 else [None]
        rows = _rows_of_files(files, durations, year=year or _LATER, birds=birds)
    if (absent := rows["path"].isna()).any():
        first = rows.loc[absent, "row_id"].iloc[0]
        note(
            f"{absent.sum():,} rows of the sample name no window of a file that is there, the first {first!r}: they hold "
            "the mean of all other rows"
        )
    if rows["path"].nunique() < len(files):
        note(f"the sample asks for {rows['path'].nunique():,} of the {len(files):,} files: the others are not scored")
    last = rows["path"].map({path: window_starts(d, window=WINDOW)[-1] for path, d in durations.items()})
    starts = (rows["end_time"] - WINDOW).clip(lower=0)
    beyond = starts > last
    if beyond.any():
        note(f"{int(beyond.sum()):,} rows lie beyond their file's end: they hold the scores of its last window")
    return rows.assign(start_time=starts.where(~beyond, last))[["row_id", "path", "start_time"]]


def submission_table(
    row_ids: Sequence[str], probabilities: pd.DataFrame, sample: pd.DataFrame, *, threshold: float = 0.5
) -> pd.DataFrame:
    """The submission in the sample's form: one row each of `row_ids` and of `probabilities`, side by side.

    `probabilities` has a column a class. Where a year asked for names or for true and false (2021, 2022), they are
    the classes above `threshold`.
    """
    ids, year = pd.Series(list(row_ids), name="row_id", dtype=str), submission_year(sample)
    probabilities = probabilities.reset_index(drop=True)
    if year == 2021:
        names = np.array(probabilities.columns, dtype=object)
        birds = [" ".join(names[row]) or "nocall" for row in probabilities.to_numpy() > threshold]
        return pd.DataFrame({"row_id": ids, "birds": birds})
    if year == 2022:
        column = probabilities.columns.get_indexer(pd.Index(birds_2022(ids)))
        chosen = probabilities.to_numpy()[np.arange(len(ids)), column]
        return pd.DataFrame({"row_id": ids, "target": chosen > threshold})
    return pd.concat([ids, probabilities[_scored(sample)]], axis=1)[list(sample)]


def check_step(step: float, *, average: bool) -> float:
    """Refuse a step that rows of 5 s cannot be made of."""
    if not average:
        raise BirdfastError(
            "a submission has a row each 5 s: a step of its windows needs average, which brings them to rows"
        )
    if not 0 < step <= WINDOW:
        raise BirdfastError(
            f"the step of a submission lies above 0 and is at most its rows' {WINDOW:g} s, it is {step}"
        )
    return step


def check_varied(probabilities: np.ndarray) -> None:
    """Refuse scores ``(n_windows, n_classes)`` that are the same for each window: the model learned nothing."""
    if len(probabilities) > 1 and float(np.ptp(probabilities, axis=0).max()) < _FLAT:
        raise BirdfastError(
            f"the model gives the same scores for all {len(probabilities)} windows, so nothing was written: it has not "
            "learned, or the sound is silent; look at the training with birdfast doctor"
        )


def check_submission(table: pd.DataFrame, sample: pd.DataFrame, *, n_rows: int) -> None:
    """Raise :class:`BirdfastError`, saying what is wrong, unless Kaggle would take the table."""
    if list(table) != list(sample):
        raise BirdfastError(f"the submission's columns differ from the sample's: {_differing(table, sample)}")
    if len(table) != n_rows:
        raise BirdfastError(f"the submission has {len(table)} rows, {n_rows} are needed")
    if table.isna().any().any():
        columns = table.columns[table.isna().any()]
        raise BirdfastError(
            f"the submission holds missing values (NaN) in {len(columns)} columns, the first {columns[0]!r}"
        )
    twice = table["row_id"][table["row_id"].duplicated()]
    if len(twice):
        raise BirdfastError(f"the submission holds {len(twice)} row_ids more than once, the first {twice.iloc[0]!r}")


def write_submission(table: pd.DataFrame, out: str | Path) -> Path:
    """Write a checked submission, whole or not at all."""
    with replacing(out) as temporary:
        table.to_csv(temporary, index=False)
    note(f"wrote {len(table):,} rows to {out}")
    return Path(out)


def _audio_in(folder: str | Path) -> list[Path]:
    try:
        return get_audio_files(folder)
    except BirdfastError:  # missing or empty, which is Kaggle's normal state
        return []


def _rows_of_files(
    files: list[str], durations: Mapping[str, float], *, year: int, birds: Sequence[str | None]
) -> pd.DataFrame:
    """All windows of all files, in 2022 for each of the birds."""
    ends = {path: window_starts(duration, window=WINDOW) + WINDOW for path, duration in durations.items()}
    counts = Counter(len(end_times) for end_times in ends.values())
    usual = WINDOW * np.arange(1, 1 + (counts.most_common(1)[0][0] if counts else 1))
    tables = []
    for path in files:
        end_times = ends.get(path, usual)
        for bird in birds:
            ids = make_row_ids(path, end_times.tolist(), year=year, species=bird)
            tables.append(pd.DataFrame({"row_id": ids, "path": path, "end_time": end_times}))
    return pd.concat(tables, ignore_index=True)


def _scored(table: pd.DataFrame) -> list[str]:
    return [str(column) for column in table if column != "row_id"]


def _differing(table: pd.DataFrame, sample: pd.DataFrame) -> str:
    given, wanted = list(table), list(sample)
    missing, more = [c for c in wanted if c not in given], [c for c in given if c not in wanted]
    if missing or more:
        return f"missing {missing[:5]}, too many {more[:5]}"
    return "the same ones in another order"
