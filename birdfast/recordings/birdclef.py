"""BirdCLEF's folders of 2021 to 2026: finding them, and reading every layout into one."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from birdfast.errors import BirdfastError
from birdfast.recordings.audio import AUDIO_SUFFIXES
from birdfast.recordings.columns import Columns, as_text, find_columns, rename, tidy
from birdfast.recordings.labels import class_list
from birdfast.recordings.soundscapes import make_row_ids, parse_row_ids, read_soundscape_labels
from birdfast.recordings.source import Source, make_source, only

__all__ = ["find_birdclef", "is_birdclef", "make_row_ids", "parse_row_ids", "read_birdclef", "read_soundscape_labels"]

_LABELS = ("train.csv", "train_metadata.csv")
_AUDIO = ("train_audio", "train_short_audio")
_SOUNDSCAPE_LABELS = ("train_soundscapes_labels.csv", "train_soundscape_labels.csv")
_UNLABELLED = ("unlabeled_soundscapes", "train_soundscapes")
_EBIRD = {"SPECIES_CODE": "primary_label", "SCI_NAME": "scientific_name", "PRIMARY_COM_NAME": "common_name"}
_NOT_CLASSES = {"row_id", "birds", "target"}


def find_birdclef(name_or_folder: str | Path, *, kaggle: str | Path = "/kaggle/input") -> Path:
    """The folder of a competition, from its path or its name: ``birdclef-2026``, wherever Kaggle mounted it.

    Raises
    ------
    BirdfastError
        It is nowhere; the message lists the places looked at.
    """
    folder, kaggle = Path(name_or_folder).expanduser(), Path(kaggle)
    name = folder.name
    places = [folder, kaggle / name, kaggle / "competitions" / name, *sorted(kaggle.glob(f"datasets/*/{name}"))]
    found = next((place for place in places if place.is_dir()), None)
    if found is None:
        looked = ", ".join(map(str, [*dict.fromkeys(places[:3]), kaggle / "datasets" / "*" / name]))
        raise BirdfastError(
            f"no data at {str(name_or_folder)!r}: looked for {looked}. Check the path, or add the data to the notebook"
        )
    return found.absolute()


def is_birdclef(folder: Path) -> bool:
    """Whether a folder is laid out like a BirdCLEF competition."""
    return _first(folder, _LABELS) is not None or _first(folder, _AUDIO) is not None


def read_birdclef(
    folder: str | Path, *, audio_root: str | Path | None = None, classes: Sequence[str] | None = None
) -> Source:
    """Read a BirdCLEF folder of any year from 2021 to 2026.

    Parameters
    ----------
    folder
        The folder, or its name, see :func:`find_birdclef`.
    audio_root
        Where the recordings lie if not in the folder's own `train_audio` (a converted copy, say).

    Notes
    -----
    The class list is that of the sample submission (a column a class), else of `taxonomy.csv`, else all species of the
    metadata, `scored_birds.json` and the soundscape labels. Species that it does not hold are dropped from secondary
    labels and from soundscape labels. A rating of 0 means unrated and becomes NaN.
    """
    root = find_birdclef(folder)
    csv = _first(root, _LABELS)
    if csv is None:
        raise BirdfastError(f"{root} has no train.csv or train_metadata.csv: is the data complete?")
    table = _metadata(csv)
    audio = Path(audio_root) if audio_root is not None else _first(root, _AUDIO) or root / _AUDIO[0]
    soundscapes = _soundscapes(root)
    names = list(classes) if classes is not None else _classes(root, table, soundscapes)
    recordings = tidy(table.assign(path=_with_folder(table)), root=audio, where=csv.name)
    if soundscapes is not None:
        silent = soundscapes["labels"].map(len) == 0  # before other species are dropped
        soundscapes = soundscapes.assign(labels=only(soundscapes["labels"], names), no_call=silent)
    year = _year(root, table)
    sample = root / "sample_submission.csv"
    return make_source(
        recordings, f"BirdCLEF {year}", root=root, classes=names, taxonomy=_taxonomy(root, table, names),
        soundscapes=soundscapes, unlabelled=_unlabelled(root, soundscapes), test=_folder(root / "test_soundscapes"),
        sample_submission=sample if sample.is_file() else None, year=year,
    )  # fmt: skip


def _first(root: Path, names: Sequence[str]) -> Path | None:
    return next((root / name for name in names if (root / name).exists()), None)


def _folder(path: Path) -> Path | None:
    return path if path.is_dir() else None


def _metadata(csv: Path) -> pd.DataFrame:
    """The label csv, with the names of identifiers kept as text."""
    there = list(pd.read_csv(csv, nrows=0, encoding="utf-8-sig").columns)
    found = find_columns(Columns(file="filename", label="primary_label"), there, csv.name)
    table = pd.read_csv(csv, **as_text(found, there), encoding="utf-8-sig", low_memory=False)
    if len(table) == 0:
        raise BirdfastError(f"{csv} has no rows")
    return rename(table, found)


def _with_folder(table: pd.DataFrame) -> list[str]:
    """File names below the audio folder; those of 2021 come without the folder of their species."""
    pairs = zip(table["path"], table["primary_label"], strict=True)
    return [name if "/" in name else f"{label}/{name}" for name, label in pairs]


def _classes(root: Path, table: pd.DataFrame, soundscapes: pd.DataFrame | None) -> list[str]:
    if (root / "sample_submission.csv").is_file():
        columns = pd.read_csv(root / "sample_submission.csv", nrows=0, encoding="utf-8-sig").columns
        if names := [str(name) for name in columns if name not in _NOT_CLASSES]:
            return names
    if (root / "taxonomy.csv").is_file():
        return list(_official_taxonomy(root)["primary_label"])
    heard = [] if soundscapes is None else [label for labels in soundscapes["labels"] for label in labels]
    return class_list([*table["primary_label"], *_scored(root), *heard])


def _scored(root: Path) -> list[str]:
    """The species that 2022 scored; none in other years."""
    path = root / "scored_birds.json"
    return json.loads(path.read_text()) if path.is_file() else []


def _official_taxonomy(root: Path) -> pd.DataFrame:
    return pd.read_csv(root / "taxonomy.csv", dtype=str, encoding="utf-8-sig")


def _taxonomy(root: Path, table: pd.DataFrame, classes: list[str]) -> pd.DataFrame:
    """One row a class, in order: from taxonomy.csv, eBird's taxonomy, or the names in the metadata."""
    ebird = sorted(root.glob("eBird_Taxonomy*.csv"))
    if (root / "taxonomy.csv").is_file():
        taxonomy = _official_taxonomy(root)
    elif ebird:
        taxonomy = (
            pd.read_csv(ebird[-1], dtype=str, encoding="utf-8-sig").rename(columns=_EBIRD).assign(class_name="Aves")
        )
    else:
        there = [name for name in ("primary_label", "scientific_name", "common_name", "class_name") if name in table]
        taxonomy = table[there]
    taxonomy = taxonomy.drop_duplicates("primary_label").set_index("primary_label").reindex(classes)
    if scored := set(_scored(root)):
        taxonomy["scored"] = [name in scored for name in classes]
    return taxonomy.rename_axis("primary_label").reset_index()


def _soundscapes(root: Path) -> pd.DataFrame | None:
    csv = _first(root, _SOUNDSCAPE_LABELS)
    return None if csv is None else read_soundscape_labels(csv, root / "train_soundscapes")


def _unlabelled(root: Path, soundscapes: pd.DataFrame | None) -> Path | None:
    """The folder with soundscapes that bear no labels; labelled ones may lie among them (2026)."""
    labelled = set() if soundscapes is None else set(soundscapes["path"])
    for folder in (root / name for name in _UNLABELLED):
        files = folder.iterdir() if folder.is_dir() else ()
        if any(file.suffix.lower() in AUDIO_SUFFIXES and str(file) not in labelled for file in files):
            return folder
    return None


def _year(root: Path, table: pd.DataFrame) -> int:
    """The year by what lies in the folder; where that is ambiguous, or newer than birdfast, by the folder's name."""
    named = re.search(r"20[2-9]\d", root.name)
    year = int(named.group()) if named else 0
    if (root / "train_short_audio").exists():
        return 2021
    if (root / "scored_birds.json").exists():
        return 2022
    if (root / "train_metadata.csv").exists():
        return year if year in (2023, 2024) else 2024 if (root / "unlabeled_soundscapes").exists() else 2023
    is_2026 = (root / _SOUNDSCAPE_LABELS[0]).exists() or "class_name" in table
    return max(year, 2026) if is_2026 else 2025
