"""What a synthetic BirdCLEF holds: who recorded which species when, and what sings in the soundscapes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.random import Generator, default_rng

from birdfast.synthetic.layouts import LAYOUTS, ROLES, Layout, soundscape_stem
from birdfast.synthetic.names import draw_authors, draw_classes
from birdfast.synthetic.scenes import Setting, draw_setting
from birdfast.synthetic.songs import Singer, draw_species

# One stream of random numbers for each thing that is drawn, so that none shifts another.
CLASSES, SPECIES, RECORDISTS, SITES, TABLE, INDIVIDUALS, FOCAL, PLAN, SOUNDSCAPES = range(9)
N_SITES = 4  # of the training soundscapes; as many others for the test
SECONDARY_SHARE = 0.25  # of the recordings: another bird in the background
LISTED_SHARE = 0.75  # of those: it is noted in secondary_labels
UNKNOWN_AUTHOR_SHARE = 0.04
COLLECTIONS = {"XC": 0.65, "iNat": 0.33, "CSA": 0.02}
MAX_SPECIES = 5  # in one soundscape


@dataclass(frozen=True, kw_only=True)
class Options:
    """What :func:`~birdfast.synthetic.synth.synth` was asked for; it is written beside the data."""

    n_classes: int
    n_recordings: int
    tail: float
    difficulty: float
    year: int
    n_labelled: int
    n_unlabelled: int
    n_test: int
    n_unrecorded: int
    soundscape_duration: float
    recording_duration: tuple[float, float]
    sample_rate: int
    n_recordists: int
    seed: int


@dataclass(frozen=True)
class World:
    """All that the recordings share: species, recordists and sites."""

    options: Options
    layout: Layout
    classes: pd.DataFrame
    species: list[Singer]
    recordists: list[Setting]
    sites: list[Setting]


@dataclass(frozen=True)
class Soundscape:
    """One long recording: `path` relative to the folder, `singing` as numbers of classes."""

    path: str
    role: str
    index: int
    site: int
    singing: tuple[int, ...]


def draw_world(o: Options) -> World:
    """The class list, one singer a class, the recordists' and the sites' noise and equipment."""
    rng = default_rng([o.seed, CLASSES])
    classes = draw_classes(rng, n_classes=o.n_classes, n_unrecorded=o.n_unrecorded, year=o.year)
    return World(
        options=o,
        layout=LAYOUTS[o.year],
        classes=classes,
        species=_draw_species(o.seed, list(classes["class_name"])),
        recordists=[draw_setting(default_rng([o.seed, RECORDISTS, i])) for i in range(o.n_recordists)],
        sites=[draw_setting(default_rng([o.seed, SITES, i]), site=True) for i in range(2 * N_SITES)],
    )


def _draw_species(seed: int, class_names: list[str]) -> list[Singer]:
    species: list[Singer] = []
    for i, class_name in enumerate(class_names):
        species.append(draw_species(default_rng([seed, SPECIES, i]), class_name=class_name, others=species))
    return species


def draw_recordings(world: World) -> pd.DataFrame:
    """The focal recordings, sorted by class.

    Returns
    -------
    DataFrame : species, recordist, bird (which of the recordist's birds of the species), duration (s), distance (m),
        snr (dB), background (classes), listed (those of them that were noted), collection, name
    """
    o = world.options
    rng = default_rng([o.seed, TABLE])
    recorded = np.flatnonzero(world.classes["recorded"])
    counts = class_counts(len(recorded), o.n_recordings, o.tail)
    n = o.n_recordings
    species = np.sort(np.repeat(rng.permutation(recorded), counts))
    shortest, longest = o.recording_duration
    table = pd.DataFrame({"species": species, "recordist": _recordists(species, o.n_recordists, rng)})
    table["bird"] = rng.integers(0, 2, n)
    table["duration"] = np.exp(rng.uniform(np.log(shortest), np.log(longest), n))
    table["distance"] = 20 * np.exp(rng.normal(0, 0.6, n))
    table["snr"] = np.maximum(rng.normal(12 - 16 * o.difficulty, 6, n), -12)
    table["background"] = [_background(int(own), recorded, rng) for own in species]
    noted = rng.random(n) < LISTED_SHARE
    table["listed"] = [birds if ok else () for birds, ok in zip(table["background"], noted, strict=True)]
    table["collection"] = _collections(world.layout, n, rng)
    numbers = rng.choice(900_000, size=n, replace=False) + 100_000
    table["name"] = [f"{collection}{number}" for collection, number in zip(table["collection"], numbers, strict=True)]
    return table


def class_counts(n_classes: int, n_recordings: int, tail: float) -> np.ndarray:
    """Recordings a class, most first: int (n_classes,), at least 1 each, falling by exp(3 tail) from first to last.

    At ``tail=1`` the commonest class holds about the share that it holds in BirdCLEF 2026.
    """
    weights = np.exp(-3 * tail * np.linspace(0, 1, n_classes))
    edges = np.round(np.cumsum(weights / weights.sum()) * (n_recordings - n_classes)).astype(int)
    return 1 + np.diff(edges, prepend=0)


def _recordists(species: np.ndarray, n_recordists: int, rng: Generator) -> np.ndarray:
    """A few recordists made most recordings, and everyone has favourite species."""
    weights = (np.arange(n_recordists) + 4.0) ** -0.8 * rng.gamma(0.7, size=(species.max() + 1, n_recordists))
    return np.array([rng.choice(n_recordists, p=weights[i] / weights[i].sum()) for i in species])


def _background(own: int, recorded: np.ndarray, rng: Generator) -> tuple[int, ...]:
    if rng.random() >= SECONDARY_SHARE:
        return ()
    others = recorded[recorded != own]
    return tuple(int(i) for i in rng.choice(others, size=min(len(others), int(rng.integers(1, 3))), replace=False))


def _collections(layout: Layout, n: int, rng: Generator) -> np.ndarray:
    shares = np.array([COLLECTIONS[name] for name in layout.collections])
    return rng.choice(list(layout.collections), size=n, p=shares / shares.sum())


def label_table(world: World, recordings: pd.DataFrame) -> pd.DataFrame:
    """The year's ``train.csv`` or ``train_metadata.csv``."""
    o, layout = world.options, world.layout
    rng = default_rng([o.seed, TABLE, 1])
    n = len(recordings)
    table = world.classes.iloc[recordings["species"]].reset_index(drop=True)
    labels = world.classes["primary_label"].tolist()
    table["secondary_labels"] = [
        str([labels[i] for i in birds]) if birds else layout.nothing_secondary for birds in recordings["listed"]
    ]
    table["type"] = rng.choice(["['song']", "['call']", "['call', 'song']"], n, p=[0.6, 0.25, 0.15])
    files = recordings["name"] + ".ogg"
    table["filename"] = table["primary_label"] + "/" + files if layout.filename_has_folder else files
    table["collection"] = recordings["collection"]
    table["rating"] = _ratings(recordings, rng)
    table["url"] = "https://example.org/" + recordings["name"]
    table["license"] = "cc-by-nc-sa 4.0"
    authors = np.array(draw_authors(default_rng([o.seed, TABLE, 2]), o.n_recordists), dtype=object)
    table["author"] = np.where(rng.random(n) < UNKNOWN_AUTHOR_SHARE, np.nan, authors[recordings["recordist"]])
    return table.assign(**_places_and_times(layout, n, rng))[list(layout.columns)]


def _ratings(recordings: pd.DataFrame, rng: Generator) -> np.ndarray:
    """Stars after the signal-to-noise ratio; iNaturalist has none, and some recordings of the others were not rated."""
    clearer = (recordings["snr"] - recordings["snr"].median()) / 6
    stars = np.clip(np.round(2 * (3.5 + clearer + rng.normal(0, 0.4, len(recordings)))) / 2, 0.5, 5)
    unrated = (recordings["collection"] != "XC") | (rng.random(len(recordings)) < 0.03)
    return np.where(unrated, 0.0, stars)


def _places_and_times(layout: Layout, n: int, rng: Generator) -> dict[str, np.ndarray]:
    somewhere = np.where(rng.random(n) < 0.97, 1.0, np.nan)
    days, minutes = rng.integers(0, 3_000, n), rng.integers(5 * 60, 19 * 60, n)
    return {
        "latitude": np.round(rng.uniform(-20, -15, n), 4) * somewhere,
        "longitude": np.round(rng.uniform(-59, -55, n), 4) * somewhere,
        "date": np.datetime_as_string(np.datetime64(f"{layout.year - 9}-01-01") + days),
        "time": np.array([f"{m // 60:02d}:{m % 60:02d}" for m in minutes]),
    }


def plan_soundscapes(world: World) -> list[Soundscape]:
    """Names, sites and species of the soundscapes that the year has.

    The test has sites of its own. The species take turns, those without recordings first, so that all are heard.
    """
    o, layout = world.options, world.layout
    folders = {"labelled": layout.labelled, "unlabelled": layout.unlabelled, "test": "test_soundscapes"}
    counts = {"labelled": o.n_labelled, "unlabelled": o.n_unlabelled, "test": o.n_test}
    plans: list[Soundscape] = []
    for number, role in enumerate(ROLES):
        rng = default_rng([o.seed, PLAN, number])
        turns = _turns(world.classes["recorded"].to_numpy(), rng)
        shared = role == "unlabelled" and layout.labelled == layout.unlabelled
        for i in range(counts[role] if folders[role] else 0):
            site = int(rng.integers(N_SITES)) + (N_SITES if role == "test" else 0)
            stem = soundscape_stem(layout, role, i + shared * o.n_labelled, site, rng)
            singing = {next(turns) for _ in range(int(rng.integers(2, MAX_SPECIES + 1)))}
            plans.append(Soundscape(f"{folders[role]}/{stem}.ogg", role, i, site, tuple(sorted(singing))))
    return plans


def _turns(recorded: np.ndarray, rng: Generator) -> Iterator[int]:
    while True:
        order = rng.permutation(len(recorded))
        yield from (int(i) for i in order[np.argsort(recorded[order], kind="stable")])
