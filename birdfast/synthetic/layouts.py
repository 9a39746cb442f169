"""The files and tables of each BirdCLEF year, as the synthetic ones are written."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.random import Generator

WINDOW = 5  # s, what every year scores
SETTINGS_FILE, SOLUTION = "synth.json", "solution.csv"

_2026 = ("primary_label", "secondary_labels", "type", "latitude", "longitude", "scientific_name", "common_name",
         "class_name", "inat_taxon_id", "author", "license", "rating", "url", "filename", "collection")  # fmt: skip
_2025 = ("primary_label", "secondary_labels", "type", "filename", "collection", "rating", "url", "latitude",
         "longitude", "scientific_name", "common_name", "author", "license")  # fmt: skip
_2023 = ("primary_label", "secondary_labels", "type", "latitude", "longitude", "scientific_name", "common_name",
         "author", "license", "rating", "url", "filename")  # fmt: skip
_2021 = ("primary_label", "secondary_labels", "type", "latitude", "longitude", "scientific_name", "common_name",
         "author", "date", "filename", "license", "rating", "time", "url")  # fmt: skip


@dataclass(frozen=True)
class Layout:
    """Names of one year's files; None where the year had no such thing."""

    year: int
    columns: tuple[str, ...]
    collections: tuple[str, ...] = ("XC",)
    label_csv: str = "train_metadata.csv"
    audio_folder: str = "train_audio"
    filename_has_folder: bool = True
    nothing_secondary: str = "[]"
    taxonomy: str | None = "eBird_Taxonomy_v2021.csv"
    labelled: str | None = None  # folder of labelled soundscapes
    labels_csv: str | None = None
    unlabelled: str | None = None


LAYOUTS = {
    layout.year: layout
    for layout in (
        Layout(
            2021, _2021, audio_folder="train_short_audio", filename_has_folder=False, taxonomy=None,
            labelled="train_soundscapes", labels_csv="train_soundscape_labels.csv",
        ),
        Layout(2022, _2021),
        Layout(2023, _2023),
        Layout(2024, _2023, unlabelled="unlabeled_soundscapes"),
        Layout(
            2025, _2025, ("XC", "iNat", "CSA"), "train.csv", nothing_secondary="['']", taxonomy="taxonomy.csv",
            unlabelled="train_soundscapes",
        ),
        Layout(
            2026, _2026, ("XC", "iNat"), "train.csv", taxonomy="taxonomy.csv", labelled="train_soundscapes",
            labels_csv="train_soundscapes_labels.csv", unlabelled="train_soundscapes",
        ),
    )
}  # fmt: skip


def written_names() -> set[str]:
    """Every name that any layout puts at the top of its folder."""
    names = {SETTINGS_FILE, SOLUTION, "sample_submission.csv", "test.csv", "test_soundscapes"}
    names |= {"scored_birds.json", "recording_location.txt"}
    for layout in LAYOUTS.values():
        parts = (layout.label_csv, layout.audio_folder, layout.taxonomy, layout.labelled, layout.labels_csv)
        names |= {part for part in (*parts, layout.unlabelled) if part}
    return names


def soundscape_stem(layout: Layout, role: str, index: int, site: int, rng: Generator) -> str:
    """The name of a soundscape without its suffix; `role` is "labelled", "unlabelled" or "test"."""
    day = f"{layout.year}04{1 + index % 28:02d}"
    number = 1_000_000 * (1 + list(ROLES).index(role)) + 1_000 * index + int(rng.integers(1_000))
    if layout.year == 2021:
        return f"{number}_{SITES_2021[site % len(SITES_2021)]}_{day}"
    if layout.year == 2026:
        part = "Test" if role == "test" else "Train"
        return f"BC2026_{part}_{index:04d}_S{site:02d}_{day}_{5 + index % 15:02d}0000"
    if role == "test":
        return f"soundscape_{number}"
    return f"H{site:02d}_{day}_{5 + index % 15:02d}0000" if layout.year == 2025 else str(number)


ROLES = ("labelled", "unlabelled", "test")
SITES_2021 = ("COR", "SSW", "SNE", "COL")


def row_ids(layout: Layout, stem: str, n_windows: int) -> list[str]:
    """One id a window, by the second it ends at. 2021 leaves the date out."""
    start = stem.rsplit("_", 1)[0] if layout.year == 2021 else stem
    return [f"{start}_{WINDOW * (i + 1)}" for i in range(n_windows)]


def write_taxonomy(out: Path, layout: Layout, classes: pd.DataFrame) -> None:
    """``taxonomy.csv`` of 2025 and 2026, the eBird taxonomy of 2022 to 2024, nothing in 2021."""
    if layout.taxonomy == "taxonomy.csv":
        classes.drop(columns="recorded").to_csv(out / layout.taxonomy, index=False)
        (out / "recording_location.txt").write_text("Nowhere: these recordings are synthetic.\n")
    elif layout.taxonomy:
        n = len(classes)
        table = {
            "TAXON_ORDER": np.arange(n) + 1,
            "CATEGORY": "species",
            "SPECIES_CODE": classes["primary_label"],
            "PRIMARY_COM_NAME": classes["common_name"],
            "SCI_NAME": classes["scientific_name"],
            "ORDER1": "Passeriformes",
            "FAMILY": "Fictidae (Synthetic Songbirds)",
            "SPECIES_GROUP": "Synthetic Songbirds",
            "REPORT_AS": "",
        }
        pd.DataFrame(table).to_csv(out / layout.taxonomy, index=False)


def write_soundscape_labels(
    out: Path, layout: Layout, stems: Sequence[str], presence: Sequence[np.ndarray], labels: list[str]
) -> None:
    """The truth of the labelled soundscapes: in 2021 a row for every window, in 2026 where something sings."""
    if layout.labels_csv is None:
        return
    write = _labels_2021 if layout.year == 2021 else _labels_2026
    write(layout, stems, [_names(windows, labels) for windows in presence]).to_csv(out / layout.labels_csv, index=False)


def _names(windows: np.ndarray, labels: list[str]) -> list[list[str]]:
    """The labels in each window of `windows` (n_windows, n_classes)."""
    return [[labels[i] for i in np.flatnonzero(window)] for window in windows]


def _labels_2021(layout: Layout, stems: Sequence[str], names: list[list[list[str]]]) -> pd.DataFrame:
    rows = [
        (row_id, *_site_2021(stem), WINDOW * (i + 1), " ".join(birds) or "nocall")
        for stem, windows in zip(stems, names, strict=True)
        for i, (row_id, birds) in enumerate(zip(row_ids(layout, stem, len(windows)), windows, strict=True))
    ]
    return pd.DataFrame(rows, columns=["row_id", "site", "audio_id", "seconds", "birds"])


def _site_2021(stem: str) -> tuple[str, str]:
    audio_id, site, _ = stem.split("_")
    return site, audio_id


def _labels_2026(layout: Layout, stems: Sequence[str], names: list[list[list[str]]]) -> pd.DataFrame:
    rows = [
        (f"{stem}.ogg", _clock(WINDOW * i), _clock(WINDOW * (i + 1)), ";".join(birds))
        for stem, windows in zip(stems, names, strict=True)
        for i, birds in enumerate(windows)
        if birds
    ]
    table = pd.DataFrame(rows, columns=["filename", "start", "end", "primary_label"])
    return pd.concat([table, table], ignore_index=True)  # the 2026 file has every row twice


def _clock(seconds: int) -> str:
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"


def write_test(
    out: Path, layout: Layout, stems: Sequence[str], presence: Sequence[np.ndarray], labels: list[str]
) -> None:
    """``solution.csv`` (row_id and a 0/1 column a class), with the year's sample submission and test.csv."""
    pairs = zip(stems, presence, strict=True)
    ids = [row_id for stem, windows in pairs for row_id in row_ids(layout, stem, len(windows))]
    truth = np.concatenate(presence).astype(int) if presence else np.zeros((0, len(labels)), int)
    _scores(ids, truth, labels).to_csv(out / SOLUTION, index=False)
    if layout.year == 2021:
        _write_test_2021(out, layout, stems, presence)
    elif layout.year == 2022:
        _write_test_2022(out, ids, labels)
    else:
        chance = np.full(truth.shape, 1 / len(labels))
        _scores(ids, chance, labels).to_csv(out / "sample_submission.csv", index=False)


def _scores(ids: list[str], scores: np.ndarray, labels: list[str]) -> pd.DataFrame:
    table = pd.DataFrame(scores, columns=pd.Index(labels))
    table.insert(0, "row_id", ids)
    return table


def _write_test_2021(out: Path, layout: Layout, stems: Sequence[str], presence: Sequence[np.ndarray]) -> None:
    nothing: list[list[list[str]]] = [[[] for _ in windows] for windows in presence]
    rows = _labels_2021(layout, stems, nothing)
    rows.drop(columns="birds").to_csv(out / "test.csv", index=False)
    rows[["row_id", "birds"]].to_csv(out / "sample_submission.csv", index=False)


def _write_test_2022(out: Path, ids: list[str], labels: list[str]) -> None:
    """2022 scored a part of the species, with one row for each window and scored species."""
    scored = labels[:: 2 if len(labels) > 2 else 1]
    (out / "scored_birds.json").write_text(json.dumps(scored))
    parts = [(*row_id.rsplit("_", 1), bird) for row_id in ids for bird in scored]
    rows = [(f"{file_id}_{bird}_{end}", file_id, bird, int(end)) for file_id, end, bird in parts]
    test = pd.DataFrame(rows, columns=["row_id", "file_id", "bird", "end_time"])
    test.to_csv(out / "test.csv", index=False)
    test[["row_id"]].assign(target=False).to_csv(out / "sample_submission.csv", index=False)
