"""The synthetic BirdCLEF: the same again from the same seed, true to each year's layout, and true in its truth."""

import ast
import json

import numpy as np
import pandas as pd
import pytest
import soundfile as sf
from numpy.random import default_rng

from birdfast.errors import BirdfastError
from birdfast.sources.read import read_source
from birdfast.synthetic.layouts import LAYOUTS
from birdfast.synthetic.names import MAX_CLASSES, draw_classes
from birdfast.synthetic.plan import class_counts
from birdfast.synthetic.scenes import carry, draw_setting, passing_noise, record
from birdfast.synthetic.songs import SYLLABLES, compose, draw_individual, draw_species, sing
from birdfast.synthetic.synth import synth

RATE = 16_000
SMALL = {
    "n_classes": 5, "n_recordings": 12, "n_labelled": 2, "n_unlabelled": 1, "n_test": 2, "soundscape_duration": 12.0,
    "recording_duration": (1.0, 2.0), "sample_rate": RATE,
}  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A small folder of every year."""
    root = tmp_path_factory.mktemp("synth")
    return {year: synth(root / f"made{i}", year=year, **SMALL) for i, year in enumerate(LAYOUTS)}


def samples(folder):
    """Decoded audio by relative path."""
    return {str(path.relative_to(folder)): sf.read(path)[0] for path in sorted(folder.rglob("*.ogg"))}


def tables(folder):
    return {path.name: path.read_text() for path in folder.iterdir() if path.is_file()}


def test_same_seed_same_everything(tmp_path, made):
    again = synth(tmp_path / "again", year=2026, workers=3, **SMALL)
    assert tables(again) == tables(made[2026])
    ours, theirs = samples(again), samples(made[2026])
    assert ours.keys() == theirs.keys()
    assert all(np.array_equal(ours[name], theirs[name]) for name in ours)


def test_another_seed_is_another_set(tmp_path, made):
    other = synth(tmp_path / "other", year=2026, seed=1, **SMALL)
    assert tables(other)["train.csv"] != tables(made[2026])["train.csv"]


@pytest.mark.parametrize("year", LAYOUTS)
def test_every_year_reads_back(made, year):
    source = read_source(made[year])
    truth = pd.read_csv(made[year] / "solution.csv")
    assert source.year == year
    assert source.classes == list(truth.columns[1:])
    assert len(source.recordings) == SMALL["n_recordings"]
    assert all(sf.info(path).samplerate == RATE for path in source.recordings["path"])
    assert (source.unlabelled is not None) == (year >= 2024)
    assert (source.soundscapes is not None) == (year in (2021, 2026))
    assert set(source.recordings["primary_label"]) == set(source.classes)


@pytest.mark.parametrize("year", LAYOUTS)
def test_solution_has_a_row_for_each_window(made, year):
    truth = pd.read_csv(made[year] / "solution.csv")
    files = list((made[year] / "test_soundscapes").iterdir())
    assert len(truth) == truth["row_id"].nunique() == len(files) * 2  # 12 s hold two windows
    assert set(truth.iloc[:, 1:].to_numpy().ravel()) == {0, 1}
    sample = pd.read_csv(made[year] / "sample_submission.csv")
    if year != 2022:
        assert list(sample["row_id"]) == list(truth["row_id"])
    else:
        scored = json.loads((made[year] / "scored_birds.json").read_text())
        assert len(sample) == len(truth) * len(scored)


@pytest.mark.parametrize("year", LAYOUTS)
def test_filenames_lie_where_the_year_puts_them(made, year):
    layout = LAYOUTS[year]
    table = pd.read_csv(made[year] / layout.label_csv, dtype={"primary_label": str})
    assert tuple(table.columns) == layout.columns
    has_folder = table["filename"].str.contains("/")
    assert has_folder.all() if year > 2021 else not has_folder.any()
    names = table["filename"].str.split("/").str[-1]
    folders = made[year] / layout.audio_folder / table["primary_label"]
    assert all((folder / name).is_file() for folder, name in zip(folders, names, strict=True))


def test_quirks_of_2026(made):
    table = pd.read_csv(made[2026] / "train.csv", dtype=str)
    labels = pd.read_csv(made[2026] / "train_soundscapes_labels.csv", dtype=str)
    assert table["primary_label"].str.isdigit().any()  # the string-label trap
    assert set(table.loc[table["collection"] == "iNat", "rating"]) == {"0.0"}
    assert all(isinstance(ast.literal_eval(text), list) for text in table["secondary_labels"])
    assert labels.duplicated().sum() == len(labels) / 2
    assert labels["start"].str.fullmatch(r"\d\d:\d\d:\d\d").all()


def test_empty_secondary_labels_of_2025(made):
    table = pd.read_csv(made[2025] / "train.csv", dtype=str)
    assert (table["secondary_labels"] == "['']").any() and not (table["secondary_labels"] == "[]").any()


def test_test_soundscapes_have_sites_of_their_own(tmp_path):
    folder = synth(tmp_path / "sites", **SMALL | {"n_labelled": 6, "n_unlabelled": 6, "n_test": 6})
    train, test = ({p.stem.split("_")[3] for p in folder.glob(f"{part}_soundscapes/*")} for part in ("train", "test"))
    assert train and test and not train & test


def test_truth_is_where_the_song_is(tmp_path):
    """At difficulty 0 song stands far above the background: windows with truth are louder in the voice band."""
    options = SMALL | {"n_test": 6, "n_labelled": 0, "n_unlabelled": 0, "soundscape_duration": 60.0}
    folder = synth(tmp_path / "truth", difficulty=0.0, **options)
    truth = pd.read_csv(folder / "solution.csv").set_index("row_id").any(axis=1)
    higher = []
    for path in (folder / "test_soundscapes").iterdir():
        windows = sf.read(path)[0].reshape(-1, 5 * RATE)
        spectrum = np.abs(np.fft.rfft(windows.reshape(12, -1, 1600)))[..., 150:600]  # 1.5 to 6 kHz
        loud = np.quantile(np.sqrt((spectrum**2).mean(-1)), 0.95, axis=1)
        sings = truth[[f"{path.stem}_{5 * (i + 1)}" for i in range(12)]].to_numpy()
        if 0 < sings.sum() < 12:
            higher.append(np.median(loud[sings]) > 1.2 * np.median(loud[~sings]))
    assert len(higher) >= 3 and all(higher)


def test_unrecorded_classes_sing_in_soundscapes_only(tmp_path):
    folder = synth(tmp_path / "unrecorded", n_unrecorded=2, **SMALL)
    source = read_source(folder)
    missing = set(source.classes) - set(source.recordings["primary_label"])
    assert missing == {"47158son01", "47158son02"}
    assert missing <= {label for labels in source.soundscapes["labels"] for label in labels}
    assert not (folder / "train_audio" / "47158son01").exists()


def test_no_soundscapes_at_all(tmp_path):
    folder = synth(tmp_path / "none", **SMALL | {"n_labelled": 0, "n_unlabelled": 0, "n_test": 0})
    source = read_source(folder)
    assert len(source.recordings) == 12
    assert source.soundscapes is None and source.sample_submission is None
    assert list((folder / "test_soundscapes").iterdir()) == []


@pytest.mark.parametrize("tail", [0.0, 1.0, 2.0])
def test_class_counts(tail):
    counts = class_counts(206, 1200, tail)
    assert counts.sum() == 1200 and counts.min() >= 1
    assert counts.max() - counts.min() <= 1 if tail == 0 else counts[0] > 5 * counts[-1]


@pytest.mark.parametrize("n_classes", [2, 206, MAX_CLASSES])
def test_class_names_are_unique_and_sorted(n_classes):
    classes = draw_classes(default_rng(0), n_classes=n_classes, n_unrecorded=0, year=2026)
    labels = list(classes["primary_label"])
    assert len(set(labels)) == n_classes and labels == sorted(labels)
    assert classes["inat_taxon_id"].is_unique


@pytest.mark.parametrize("kind", SYLLABLES)
def test_each_syllable_sounds_without_aliasing(kind):
    for seed in range(5):
        species = draw_species(default_rng(seed))
        note = SYLLABLES[kind](default_rng(seed))
        singer = type(species)(species.centre, (note,) * len(species.syllables), species.songs, 1.0)
        sound = sing(compose(singer, 3.0, default_rng(seed)), singer.centre, n_samples=3 * RATE, sample_rate=RATE)
        assert sound.dtype == np.float32 and sound.shape == (3 * RATE,)
        power = np.abs(np.fft.rfft(sound)) ** 2
        assert power.sum() > 0 and power[-50:].sum() < 1e-3 * power.sum()


def test_individuals_differ_and_repeat():
    species = draw_species(default_rng(0))
    one, same, other = (draw_individual(species, default_rng(i)) for i in (1, 1, 2))
    assert one == same != other
    assert len(one.songs) <= len(species.songs)
    still = draw_individual(species, default_rng(1), variation=0.0)
    assert still.centre == species.centre and still.syllables == species.syllables


def test_snr_is_what_was_asked_for():
    setting, rng = draw_setting(default_rng(0)), default_rng(0)
    tone = np.sin(2 * np.pi * 3000 * np.arange(RATE) / RATE).astype(np.float32)
    near, far = (carry(tone, distance=1.0, reverb=0.2, snr=snr, sample_rate=RATE, rng=rng).std() for snr in (20, 0))
    assert near / far == pytest.approx(10, rel=0.1)
    noise = passing_noise(setting, n_samples=RATE, sample_rate=RATE, rng=rng)
    sound = record(noise, setting, sample_rate=RATE, rng=rng)
    assert sound.shape == (RATE,) and sound.dtype == np.float32 and np.abs(sound).max() < 1


def test_refuses_a_folder_of_others(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(BirdfastError, match="did not write"):
        synth(tmp_path, **SMALL)
    assert (tmp_path / "thesis.txt").read_text() == "mine"


def test_writes_its_own_folder_anew(tmp_path):
    folder = synth(tmp_path / "set", year=2021, **SMALL)
    (folder / "notes.txt").write_text("mine")
    synth(folder, year=2026, **SMALL)
    assert not (folder / "train_short_audio").exists() and (folder / "train_audio").is_dir()
    assert (folder / "notes.txt").read_text() == "mine"
    assert json.loads((folder / "synth.json").read_text())["year"] == 2026


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"year": 2020}, "year of BirdCLEF"),
        ({"n_classes": 1}, "n_classes must lie between 2"),
        ({"n_classes": 5000}, str(MAX_CLASSES)),
        ({"n_recordings": 3}, "too few for 5 classes"),
        ({"tail": -1.0}, "tail must lie between 0"),
        ({"difficulty": 9.0}, "difficulty must lie between"),
        ({"difficulty": float("nan")}, "difficulty must lie between"),
        ({"n_test": -1}, "n_test must be 0 or more"),
        ({"n_unrecorded": 4}, "n_unrecorded"),
        ({"n_unrecorded": 1, "year": 2023}, "needs year=2025"),
        ({"recording_duration": (5.0, 1.0)}, "shortest, longest"),
        ({"soundscape_duration": 2.0}, "soundscape_duration"),
        ({"sample_rate": 100}, "sample_rate must be 8000"),
        ({"seed": -1}, "seed must be 0"),
        ({"workers": -2}, "workers"),
    ],
)
def test_options_that_cannot_work(tmp_path, options, says):
    with pytest.raises(BirdfastError, match=says):
        synth(tmp_path / "bad", **SMALL | options)
    assert not (tmp_path / "bad").exists()
