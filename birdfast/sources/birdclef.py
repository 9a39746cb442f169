"""BirdCLEF's folders of 2021 to 2026: finding them, and reading every layout into one."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from birdfast.audio.listing import AUDIO_SUFFIXES
from birdfast.errors import BirdfastError
from birdfast.files.text import read_csv, read_text
from birdfast.notes import note
from birdfast.sources.columns import Columns, read_recordings, tidy
from birdfast.sources.labels import REMEDY, class_list
from birdfast.sources.soundscapes import make_row_ids, parse_row_ids, read_soundscape_labels
from birdfast.sources.source import Source, make_source, only

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
    labels and from soundscape labels, from these with a note. A rating of 0 means unrated and becomes NaN.

    Raises
    ------
    BirdfastError
        The folder or a file in it is missing or damaged, or none of the soundscapes' labels is a class.
    """
    root = find_birdclef(folder)
    csv = _first(root, _LABELS)
    if csv is None:
        raise BirdfastError(f"{root} has no train.csv or train_metadata.csv: is the data complete?")
    table = read_recordings(csv, Columns(file="filename", label="primary_label"))
    audio = Path(audio_root) if audio_root is not None else _first(root, _AUDIO) or root / _AUDIO[0]
    soundscapes = _soundscapes(root)
    foreign: tuple[str, ...] = ()
    names = list(classes) if classes is not None else _classes(root, table, soundscapes)
    recordings = tidy(table.assign(path=_with_folder(table)), root=audio, where=csv.name)
    if soundscapes is not None:
        soundscapes, foreign = _of_classes(
            soundscapes, names, _first(root, _SOUNDSCAPE_LABELS), chosen=classes is not None
        )
    year = _year(root, table)
    sample = root / "sample_submission.csv"
    return make_source(
        recordings, f"BirdCLEF {year}", root=root, classes=names, taxonomy=_taxonomy(root, table, names),
        soundscapes=soundscapes, foreign=foreign, unlabelled=_unlabelled(root, soundscapes),
        test=_folder(root / "test_soundscapes"), sample_submission=sample if sample.is_file() else None, year=year,
    )  # fmt: skip


def _first(root: Path, names: Sequence[str]) -> Path | None:
    return next((root / name for name in names if (root / name).exists()), None)


def _folder(path: Path) -> Path | None:
    return path if path.is_dir() else None


def _with_folder(table: pd.DataFrame) -> list[str]:
    """File names below the audio folder; those of 2021 come without the folder of their species."""
    pairs = zip(table["path"], table["primary_label"], strict=True)
    return [name if "/" in name or "\\" in name else f"{label}/{name}" for name, label in pairs]


def _classes(root: Path, table: pd.DataFrame, soundscapes: pd.DataFrame | None) -> list[str]:
    if (root / "sample_submission.csv").is_file():
        columns = read_csv(root / "sample_submission.csv", nrows=0).columns
        if names := [str(name) for name in columns if name not in _NOT_CLASSES]:
            return names
    if (root / "taxonomy.csv").is_file():
        return list(_species(root / "taxonomy.csv")["primary_label"])
    heard = [] if soundscapes is None else [label for labels in soundscapes["labels"] for label in labels]
    return class_list([*table["primary_label"], *_scored(root), *heard])


def _scored(root: Path) -> list[str]:
    """The species that 2022 scored; none in other years."""
    path = root / "scored_birds.json"
    if not path.is_file():
        return []
    try:
        return list(json.loads(read_text(path)))
    except (json.JSONDecodeError, TypeError) as error:
        raise BirdfastError(f"{path} is no list of species in json ({error}): take a fresh copy") from None


def _species(csv: Path) -> pd.DataFrame:
    """A taxonomy, of the competition or of eBird, one row a species."""
    table = read_csv(csv, dtype=str).rename(columns=_EBIRD)
    if "primary_label" not in table:
        listed = ", ".join(table.columns)
        raise BirdfastError(
            f"{csv} has no column primary_label (eBird's: SPECIES_CODE), it has {listed}: take a fresh copy"
        )
    return table


def _taxonomy(root: Path, table: pd.DataFrame, classes: list[str]) -> pd.DataFrame:
    """One row a class, in order: from taxonomy.csv, eBird's taxonomy, or the names in the metadata."""
    ebird = sorted(root.glob("eBird_Taxonomy*.csv"))
    if (root / "taxonomy.csv").is_file():
        taxonomy = _species(root / "taxonomy.csv")
    elif ebird:
        taxonomy = _species(ebird[-1]).assign(class_name="Aves")
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


def _of_classes(
    soundscapes: pd.DataFrame, classes: Sequence[str], csv: Path | None, *, chosen: bool
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """The windows with their labels that are classes, and the labels that are none; says how many there are.

    That all are none is an error, unless somebody has `chosen` the classes.
    """
    labels = soundscapes["labels"]
    kept, inside = only(labels, classes), set(classes)
    foreign = tuple(dict.fromkeys(label for several in labels for label in several if label not in inside))
    if foreign:
        n = (kept.map(len) < labels.map(len)).sum()
        said = f"{len(foreign)} labels in {n} windows of {csv} are outside the class list, the first {foreign[0]!r}"
        if not kept.map(len).any() and not chosen:
            raise BirdfastError(f"{said}, and no label is inside: {REMEDY}")
        note(f"{said}: dropped")
    return soundscapes.assign(labels=kept, no_call=labels.map(len) == 0), foreign


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
