"""One door for every form of data: a folder, a csv, a DataFrame or label files in, a :class:`Source` out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from birdfast.audio.listing import AUDIO_SUFFIXES, NEEDS_FFMPEG, list_audio_files, list_files_of
from birdfast.errors import BirdfastError
from birdfast.files.places import is_nobodys, printable
from birdfast.files.text import read_head
from birdfast.notes import note
from birdfast.sources.annotations import find_annotations, read_annotations
from birdfast.sources.birdclef import find_birdclef, is_birdclef, read_birdclef
from birdfast.sources.columns import Columns, find_columns, named, read_recordings, tidy
from birdfast.sources.several import join_rows, split_cells, tuples
from birdfast.sources.source import Source, make_source

__all__ = ["Source", "read_folders", "read_source", "read_table"]

_TABLES = (".csv", ".tsv")


def read_source(
    source: str | Path | pd.DataFrame | Source,
    *,
    file: str | None = None,
    label: str | None = None,
    secondary: str | None = None,
    author: str | None = None,
    fold: str | None = None,
    start_time: str | None = None,
    end_time: str | None = None,
    audio_root: str | Path | None = None,
    classes: Sequence[str] | None = None,
) -> Source:
    """Read a data set, whatever its form.

    Parameters
    ----------
    source
        A BirdCLEF folder or its name (looked for below /kaggle/input), a folder with a sub-folder a class, a csv, a
        DataFrame, a Raven or Audacity label file or a folder of them, or a Source (returned as it is).
    file, label, secondary, author, fold, start_time, end_time
        Names of a csv's or DataFrame's columns (`label`: of a Raven table's, too), where they are not the common ones;
        "none" for one that shall not be read (``fold="none"`` splits anew, whatever the official folds are).
    audio_root
        The folder that file names are relative to; default: the csv's own, for a DataFrame the working directory.
    classes
        The class list and its order; default: the official one, or the sorted primary labels.

    Raises
    ------
    BirdfastError
        Nothing is found, a column is missing or named where there are none, or not one of the files named exists. Single
        missing files are no error.
    """
    if isinstance(source, Source):
        return source
    columns = Columns(file, label, secondary, author, fold, start_time, end_time)
    if isinstance(source, pd.DataFrame):
        return read_table(source, columns, audio_root=audio_root, classes=classes)
    path = Path(source).expanduser()
    read = _read_file if path.is_file() else _read_folder
    found = read(path if path.exists() else find_birdclef(source), columns, audio_root, classes)
    options = vars(columns) | {"audio_root": audio_root, "classes": classes}
    said = {name: str(value) for name, value in options.items() if value is not None}
    return replace(found, given={"source": str(source), "columns": said})


def _read_file(path: Path, columns: Columns, audio_root: str | Path | None, classes: Sequence[str] | None) -> Source:
    suffix = path.suffix.lower()
    if suffix in _TABLES:
        return _read_csv(path, columns, audio_root, classes)
    if suffix in AUDIO_SUFFIXES | NEEDS_FFMPEG:
        raise BirdfastError(
            f"{path} is one sound file: give a folder with a sub-folder a class, or a csv with file and label"
        )
    _check_unnamed(replace(columns, label=None), f"{path} holds annotations, of which label may be named")
    return read_annotations([path], label=columns.label, audio_root=audio_root, classes=classes)


def _read_folder(
    folder: Path, columns: Columns, audio_root: str | Path | None, classes: Sequence[str] | None
) -> Source:
    if is_birdclef(folder):
        _check_unnamed(columns, f"{folder} is a BirdCLEF, whose columns are known")
        return read_birdclef(folder, audio_root=audio_root, classes=classes)
    if annotations := find_annotations(folder):
        _check_unnamed(replace(columns, label=None), f"{folder} holds annotations, of which label may be named")
        return read_annotations(annotations, label=columns.label, audio_root=audio_root, classes=classes)
    _check_unnamed(columns, f"{folder} is a folder per class, which has no columns")
    if audio_root is not None:
        raise BirdfastError(f"{folder} is a folder per class, its files lie there: leave out audio_root={audio_root!s}")
    return read_folders(folder, classes=classes)


def _check_unnamed(columns: Columns, why: str) -> None:
    """Refuse names of columns where none are looked for."""
    if named := [f"{name}={column!r}" for name, column in vars(columns).items() if column is not None]:
        raise BirdfastError(f"{why}: leave out {', '.join(named)}, or give a csv of your own")


def _read_csv(path: Path, columns: Columns, audio_root: str | Path | None, classes: Sequence[str] | None) -> Source:
    table = read_recordings(path, columns, sep=_separator(path), wide=True)
    root = path.parent if audio_root is None else Path(audio_root)
    return _source(table, "csv", root, path.name, classes)


def _source(table: pd.DataFrame, layout: str, root: Path, where: str, classes: Sequence[str] | None) -> Source:
    """The Source of a table under birdfast's names, one row a window."""
    recordings = tidy(table, root=root, where=where)
    if "present" not in table:
        recordings = join_rows(_split(recordings, where, classes or ()))
    return make_source(recordings, layout, root=root, classes=classes or table.attrs.get("classes"))


def _split(recordings: pd.DataFrame, where: str, known: Sequence[str]) -> pd.DataFrame:
    """The recordings with cells of several species in the first as primary label, the rest beside it."""
    cells = split_cells(recordings["primary_label"].tolist(), recordings["path"].tolist(), where, known)
    several = np.array([len(cell) > 1 for cell in cells])
    first = recordings.assign(primary_label=[cell[0] for cell in cells])
    if not several.any():
        return first
    beside = zip(cells, recordings["secondary_labels"], strict=True)
    return first.assign(
        secondary_labels=tuples(tuple(dict.fromkeys([*cell[1:], *rest])) for cell, rest in beside),
        present=pd.Series(tuples(cells), index=first.index).where(several),
    )


def _separator(path: Path) -> str:
    """What separates the columns, judged by the first line: comma, semicolon or tab."""
    head = read_head(path).partition("\n")[0]
    return max(",;\t", key=head.count)


def read_table(
    table: pd.DataFrame,
    columns: Columns | None = None,
    *,
    audio_root: str | Path | None = None,
    classes: Sequence[str] | None = None,
) -> Source:
    """Read a DataFrame; an index named like columns (`path, start_time, end_time`) counts as columns."""
    if any(name is not None for name in table.index.names):
        table = table.reset_index()
    columns = columns or Columns()
    found = find_columns(columns, list(table.columns), "the table", wide=True)
    root = Path.cwd() if audio_root is None else Path(audio_root)
    return _source(named(table, found, columns, "the table"), "table", root, "the table", classes)


def read_folders(folder: str | Path, *, classes: Sequence[str] | None = None) -> Source:
    """Read a folder with a sub-folder of recordings (or saved spectrograms, .npy) a class; the rest is left.

    The rest are stray files, what is hidden, and folders of birdfast's own runs and caches.

    Raises
    ------
    BirdfastError
        There is no such folder, it holds fewer than two class folders, or the name of one is not UTF-8.
    """
    root = Path(folder).absolute()
    if not root.is_dir():
        raise BirdfastError(f"no folder {root}: check the path")
    folders = sorted(entry for entry in root.iterdir() if entry.is_dir() and not is_nobodys(entry.name))
    ours = [folder.name for folder in folders if _is_ours(folder)]
    if ours:
        note(f"no classes, but runs or caches of birdfast: {', '.join(ours)}")
    names = [folder.name for folder in folders if folder.name not in ours]
    if broken := next((name for name in names if printable(name) != name), None):
        raise BirdfastError(f"{root}: the name of the folder {printable(broken)} is not UTF-8: rename it")
    rows = [(str(file), name) for name in names for file in list_audio_files(root / name) or _spectrograms(root / name)]
    if unnamed := [path for path, _ in rows if printable(path) != path]:
        shown = printable(unnamed[0])
        note(f"{len(unnamed)} files whose names are not UTF-8 are left out, rename them; the first: {shown}")
        rows = [(path, name) for path, name in rows if printable(path) == path]
    with_sound = {name for _, name in rows}
    if len(with_sound) < 2:
        found = f"only one, {next(iter(with_sound))!r}" if with_sound else "none"
        raise BirdfastError(
            f"{root} should hold a sub-folder of sound files for each of two or more classes; found {found}"
        )
    empty = [name for name in names if name not in with_sound]
    if empty:
        note(f"{len(empty)} classes without a recording: {', '.join(empty[:10])}{' ...' if len(empty) > 10 else ''}")
    recordings = tidy(pd.DataFrame(rows, columns=["path", "primary_label"]), root=root, where=str(root))
    return make_source(recordings, "folder per class", root=root, classes=names if classes is None else classes)


def _is_ours(folder: Path) -> bool:
    """Whether runs or caches of birdfast lie in a folder, and no class."""
    signs = {
        "recipe.toml": "backbone = ",
        "*/recipe.toml": "backbone = ",
        "*/*/recipe.toml": "backbone = ",
        "*/settings.json": '"kind": ',
    }
    return any(sign in file.read_text(errors="replace") for name, sign in signs.items() for file in folder.glob(name))


def _spectrograms(folder: Path) -> list[Path]:
    """The spectrograms that someone saved in a folder, sorted."""
    return [file for file in list_files_of(folder) if file.suffix == ".npy"]
