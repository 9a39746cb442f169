"""The clips table: which stretch of which file is an item, and which validate."""

from pathlib import Path

import numpy as np
import pandas as pd

from birdfast.audio.bad_files import BadFiles
from birdfast.audio.listing import get_audio_files
from birdfast.audio.npy import is_npy, npy_headers
from birdfast.audio.read import read_header, read_headers, window_starts
from birdfast.audio.recordings import Paths
from birdfast.errors import BirdfastError
from birdfast.notes import note
from birdfast.recipe.recipe import Recipe
from birdfast.sources.source import RECORDING
from birdfast.splits.sides import inside_files


def clips_table(recordings: pd.DataFrame, is_valid: np.ndarray, recipe: Recipe) -> pd.DataFrame:
    "A row for each training recording and for each validation window; `recording` tells which belong together"
    table = recordings.assign(recording=np.arange(len(recordings)), is_valid=is_valid)
    end = table["end_time"].fillna(table["duration"]).clip(upper=table["duration"])
    table = table.assign(start_time=table["start_time"].fillna(0.0), end_time=end)
    train = table[~table["is_valid"]]
    valid = table[table["is_valid"]]
    starts = [_valid_starts(end - start, recipe) for start, end in zip(valid["start_time"], valid["end_time"])]
    windows = valid.loc[valid.index.repeat([len(s) for s in starts])].copy()
    windows["start_time"] += np.concatenate(starts) if starts else []
    windows["end_time"] = np.minimum(windows["end_time"], windows["start_time"] + recipe.scored)
    return pd.concat([train, windows], ignore_index=True)


def _valid_starts(length: float, recipe: Recipe) -> np.ndarray:
    "Full windows of a recording, spread evenly over it when there are more than the recipe's cap"
    starts = window_starts(length, window=recipe.scored, last="drop")
    if len(starts) > recipe.max_windows:
        starts = starts[np.linspace(0, len(starts) - 1, recipe.max_windows).round().astype(int)]
    return starts


def readable(recordings: pd.DataFrame, recipe: Recipe, bad_files: BadFiles) -> pd.DataFrame:
    """The recordings whose headers can be read, with their `duration`; the others are listed.

    Rows that begin after their recording's end are left out, too. Many of either stop the run.
    """
    headers = _headers(recordings["path"], recipe)
    broken = headers["error"].notna().to_numpy()
    for path, error in headers.loc[broken, ["path", "error"]].itertuples(index=False):
        bad_files.add(path, error)
    n_files, n_broken = recordings["path"].nunique(), recordings.loc[broken, "path"].nunique()
    check_bad_share(bad_files, n_files, recipe.max_bad)
    if n_broken:
        note(f"{n_broken} of {n_files} recordings cannot be read and are left out: {bad_files.path}")
    found = {name: headers[name].to_numpy() for name in ("duration", "sample_rate")}
    sound = recordings.assign(**found)[~broken]
    inside = inside_files(sound.reset_index(drop=True))
    n_rows, n_inside = ((~(rows["kind"] != RECORDING).to_numpy()).sum() for rows in (sound, inside))
    if (n_late := n_rows - n_inside) > recipe.max_bad * n_rows:
        raise BirdfastError(
            f"{n_late} of {n_rows} rows begin after the end of their recording, more than the recipe's "
            f"max_bad={recipe.max_bad:.0%}: start_time must be in seconds from the beginning of the file"
        )
    return inside


def _headers(paths: pd.Series, recipe: Recipe) -> pd.DataFrame:
    saved = is_npy(paths)
    if saved.any() and not saved.all():
        raise BirdfastError(
            f"{saved.sum()} of {len(saved)} recordings are .npy spectrograms, the others sound: train one kind"
        )
    return npy_headers(paths, recipe) if saved.any() else read_headers(paths, progress=True)


def check_bad_share(bad_files: BadFiles, n: int, max_bad: float) -> None:
    "Raise if more than the share `max_bad` of `n` files is unreadable"
    n_bad = len(bad_files)
    if n_bad > max_bad * n:
        worst = "; ".join(f"{r.path}: {r.reason}" for r in bad_files.table().head(3).itertuples())
        raise BirdfastError(
            f"{n_bad} of {n} recordings cannot be read, more than the recipe's max_bad={max_bad:.0%}: {worst}. "
            f"The whole list is in {bad_files.path}; mend or remove the files, or raise max_bad"
        )


def windows_of(paths: Paths, duration: float, step: float | None = None) -> pd.DataFrame:
    "A row a window of `duration` s for a file, a folder or a list of either"
    paths = [paths] if isinstance(paths, (str, Path)) else list(paths)
    files = [f for p in paths for f in (get_audio_files(p) if Path(p).is_dir() else [p])]
    rows = []
    for file in files:
        starts = window_starts(read_header(file).duration, window=duration, step=step)
        rows += [(str(file), start, start + duration) for start in starts]
    return pd.DataFrame(rows, columns=["path", "start_time", "end_time"])
