"""Label files that people draw by hand: Raven selection tables and Audacity labels."""

from __future__ import annotations

from collections.abc import Sequence
from io import StringIO
from pathlib import Path

import pandas as pd

from birdfast.audio.listing import AUDIO_SUFFIXES, NEEDS_FFMPEG
from birdfast.errors import BirdfastError, unknown
from birdfast.files.text import read_head, read_text
from birdfast.notes import note
from birdfast.sources.columns import tidy
from birdfast.sources.finding import find_files
from birdfast.sources.several import split_cells, tuples
from birdfast.sources.source import Source, make_source

_BEGIN, _END, _OFFSET = "Begin Time (s)", "End Time (s)", "File Offset (s)"
_LABELS = ("species", "species code", "annotation", "label", "common name", "class", "tag", "tags")


def read_raven(
    path: str | Path,
    *,
    label: str | None = None,
    audio_root: str | Path | None = None,
    classes: Sequence[str] | None = None,
) -> Source:
    """Read a Raven selection table, or a folder of them, see :func:`read_annotations`."""
    return read_annotations(_several(path), label=label, audio_root=audio_root, classes=classes)


def read_audacity(
    path: str | Path, *, audio_root: str | Path | None = None, classes: Sequence[str] | None = None
) -> Source:
    """Read an Audacity label file, or a folder of them, see :func:`read_annotations`."""
    return read_annotations(_several(path), audio_root=audio_root, classes=classes)


def _several(path: str | Path) -> list[Path]:
    path = Path(path)
    found = find_annotations(path) if path.is_dir() else [path]
    if not found:
        raise BirdfastError(f"no Raven or Audacity label files (.txt) in {path}")
    return found


def find_annotations(folder: Path) -> list[Path]:
    """The label files of a folder, sorted; other text files are passed over."""
    return sorted(file for file in folder.glob("*.txt") if not file.name.startswith(".") and _kind(file))


def read_annotations(
    paths: Sequence[Path],
    *,
    label: str | None = None,
    audio_root: str | Path | None = None,
    classes: Sequence[str] | None = None,
) -> Source:
    """Read label files; each annotation is a row with its `start_time` and `end_time`.

    Parameters
    ----------
    label
        The column of a Raven table with the species, where it is not called Species, Annotation, Label, ...
    audio_root
        Where the sound files lie; default: beside the label files. The file is the one that the table's `Begin File`
        names, or the one of the same name (``XC1.Table.1.selections.txt`` and ``XC1.txt`` belong to ``XC1.wav``, ...).
    """
    kinds = {path: _kind(path) for path in paths}
    tables = []
    for path, kind in kinds.items():
        if kind is None:
            raise BirdfastError(
                f"{path} is neither a Raven selection table nor an Audacity label file (start, end, label, by tabs)"
            )
        rows = _raven(path, label) if kind == "Raven" else _audacity(path)
        tables.append(rows.assign(path=_sound_files(rows, path, audio_root)))
    table = _one_label_each(_usable(pd.concat(tables, ignore_index=True)), paths[0].name, classes or ())
    if len(table) == 0:
        raise BirdfastError(f"{paths[0].parent} holds no annotation with a label and a length")
    root = paths[0].parent if audio_root is None else Path(audio_root)
    recordings = tidy(table, root=Path.cwd(), where=paths[0].name)
    return make_source(recordings, next(kind for kind in kinds.values() if kind), root=root, classes=classes)


def _kind(path: Path) -> str | None:
    """ "Raven", "Audacity" or None, by the first line."""
    first = next((line for line in read_head(path).splitlines() if line.strip()), "").split("\t")
    if _BEGIN in first:
        return "Raven"
    try:
        times = [_seconds(time) for time in first[:2]]
        return "Audacity" if len(first) == 3 and times[0] <= times[1] else None
    except ValueError:
        return None


def _raven(path: Path, label: str | None) -> pd.DataFrame:
    try:
        table = pd.read_csv(StringIO(read_text(path)), sep="\t", dtype=str, keep_default_na=False)
    except pd.errors.ParserError as error:
        raise BirdfastError(f"{path} cannot be read as a selection table: {str(error).strip()}") from None
    column = _label_column(path, list(table.columns), label)
    if _END not in table:
        raise BirdfastError(f"{path} has no column {_END!r}")
    start, end = _times(table, _BEGIN, path), _times(table, _END, path)
    if _OFFSET in table and "Begin File" in table:  # times count from the first of several files
        offset = _times(table, _OFFSET, path)
        start, end = offset, offset + end - start
    rows = pd.DataFrame({"primary_label": table[column].str.strip(), "start_time": start, "end_time": end})
    rows["file"] = _begin_files(table)
    # Raven writes a row a view: waveform and spectrogram of the same selection.
    return rows.drop_duplicates(ignore_index=True)


def _begin_files(table: pd.DataFrame) -> pd.Series | str:
    """The file of each row: `Begin Path` where it has one, which tells files of one name apart, else `Begin File`."""
    files = table.get("Begin File", pd.Series("", index=table.index)).str.strip()
    if "Begin Path" not in table:
        return files
    paths = table["Begin Path"].str.strip()
    # Raven writes the file's whole path; some programs only its folder.
    names = paths.str.replace("\\", "/").str.rsplit("/").str[-1]
    whole = (files == "") | (names.str.lower() == files.str.lower())
    return paths.where(whole & (paths != ""), files)


def _seconds(text: str) -> float:
    """A time written with a point or with a decimal comma."""
    return float(text.replace(",", "."))


def _times(table: pd.DataFrame, name: str, path: Path) -> pd.Series:
    """Seconds, written with points or with decimal commas."""
    seconds = pd.to_numeric(table[name].str.replace(",", "."), errors="coerce")
    if seconds.isna().any():
        raise BirdfastError(f"{path}: {name} must be a number of seconds, not {table[name][seconds.isna()].iloc[0]!r}")
    return seconds.astype(float)


def _label_column(path: Path, there: list[str], label: str | None) -> str:
    if label is not None and label not in there:
        raise unknown(f"column of {path.name} given as label", label, there)
    by_lower = {name.strip().lower().replace("_", " "): name for name in reversed(there)}
    found = label or next((by_lower[name] for name in _LABELS if name in by_lower), None)
    if found is None:
        raise BirdfastError(
            f"{path} has no column for the label: name it with label=...; its columns are {', '.join(there)}"
        )
    return found


def _audacity(path: Path) -> pd.DataFrame:
    lines = read_text(path).splitlines()
    # A line that begins with a backslash gives the frequencies of the label before it.
    rows = [line.split("\t") for line in lines if line.strip() and not line.startswith("\\")]
    try:
        parsed = [(row[2].strip() if len(row) > 2 else "", _seconds(row[0]), _seconds(row[1])) for row in rows]
    except (ValueError, IndexError):
        raise BirdfastError(
            f"{path} is not an Audacity label file: its lines should be start, end, label, by tabs"
        ) from None
    return pd.DataFrame(parsed, columns=["primary_label", "start_time", "end_time"]).assign(file="")


def _sound_files(rows: pd.DataFrame, path: Path, audio_root: str | Path | None) -> list[str]:
    folder = (path.parent if audio_root is None else Path(audio_root)).expanduser().absolute()
    own = ""
    if (rows["file"] == "").any():
        own = str(_beside(path, folder))
    return find_files([name or own for name in rows["file"]], folder, path.name)


def _beside(path: Path, folder: Path) -> Path:
    """The sound file of the label file's name; where there is none, the name it would have as wav."""
    stem = path.name.split(".Table.")[0].split(".selections")[0]
    stem = stem.removesuffix(".txt")
    names = [stem, *(stem + suffix for suffix in sorted(AUDIO_SUFFIXES | NEEDS_FFMPEG))]
    found = {file.name.lower(): file for file in folder.iterdir()} if folder.is_dir() else {}
    sounds = (found[name.lower()] for name in names if name.lower() in found)
    return next(
        (file for file in sounds if file.suffix.lower() in AUDIO_SUFFIXES | NEEDS_FFMPEG), folder / f"{stem}.wav"
    )


def _one_label_each(table: pd.DataFrame, where: str, known: Sequence[str]) -> pd.DataFrame:
    """A row a species: of an annotation of several (``wren;robin``) one each."""
    cells = split_cells(table["primary_label"].tolist(), table["path"].tolist(), where, known)
    return table.assign(primary_label=tuples(cells)).explode("primary_label", ignore_index=True)


def _usable(table: pd.DataFrame) -> pd.DataFrame:
    """Leave out, and say so, annotations without a label and points in time."""
    good = (table["primary_label"] != "") & (table["end_time"] > table["start_time"])
    if not good.all():
        note(f"{(~good).sum()} of {len(table)} annotations have no label or no length and are left out")
    return table.loc[good].drop(columns="file")
