"""Folds are dealt out once for a study: files that break, are mended or move stay where they are, and move no other."""

import shutil

import numpy as np
import pandas as pd
import pytest

from birdfast.errors import BirdfastError
from birdfast.sources.read import read_source
from birdfast.sources.source import Source
from birdfast.splits.sides import split_both
from birdfast.studies.deal import DEALT, deal, dealt_sides, training_rows


@pytest.fixture
def recipe(tiny_recipe):
    return tiny_recipe.with_(n_folds=3)


@pytest.fixture
def birds(tiny_birds, tmp_path):
    return shutil.copytree(tiny_birds, tmp_path / "birds")


def with_soundscapes(source, names):
    """The source, and two labelled windows, the second without a call, of soundscapes of these names."""
    rows = [(name, 5.0 * i, 5.0 * i + 5, ("species0",) * (i == 0)) for name in names for i in range(2)]
    table = pd.DataFrame(rows, columns=["path", "start_time", "end_time", "labels"])
    return Source(**{**vars(source), "soundscapes": table})


@pytest.mark.parametrize("knobs", [{}, {"soundscape_mix": 0.5}, {"no_call": True, "soundscape_group": "file"}])
def test_all_folds_at_once_are_those_of_each_training(tiny_table, recipe, knobs):
    names = [f"H{i % 4:02d}_20230420_07400{i}.ogg" for i in range(6)]
    source = with_soundscapes(read_source(tiny_table), names)
    recipe = recipe.with_(**knobs)
    rows = training_rows(source, recipe)
    assert len(rows) == 30 + {"soundscape_mix": 12, "no_call": 6}.get(next(iter(knobs), ""), 0)
    folds = deal(rows, recipe)
    for fold in range(3):
        np.testing.assert_array_equal(folds == fold, split_both(rows, recipe.with_(fold=fold)))


def test_a_file_that_breaks_moves_no_other(birds, recipe, tmp_path):
    source = read_source(birds)
    before = [dealt_sides(source, recipe.with_(fold=fold), tmp_path) for fold in range(3)]
    assert np.sum([[*sides.values()] for sides in before], axis=0).tolist() == [1] * 30
    (birds / "species1" / "3.wav").write_bytes(b"")
    assert [dealt_sides(source, recipe.with_(fold=fold), tmp_path) for fold in range(3)] == before
    moved = birds.rename(tmp_path / "elsewhere")
    after = dealt_sides(read_source(moved), recipe.with_(fold=0), tmp_path)
    assert after == {path.replace(str(birds), str(moved)): validates for path, validates in before[0].items()}


def test_a_file_that_is_mended_has_no_side(birds, recipe, tmp_path):
    file = birds / "species1" / "3.wav"
    sound = file.read_bytes()
    file.write_bytes(b"")
    source = read_source(birds)
    sides = dealt_sides(source, recipe, tmp_path)
    file.write_bytes(sound)
    assert len(sides) == 29 and str(file) not in sides
    assert dealt_sides(source, recipe, tmp_path) == sides


def test_too_many_that_cannot_be_read_deal_nothing_out(birds, recipe, tmp_path):
    for file in (birds / "species1").iterdir():
        file.write_bytes(b"")
    with pytest.raises(BirdfastError, match="10 of 30 recordings cannot be read"):
        dealt_sides(read_source(birds), recipe, tmp_path)
    assert not (tmp_path / DEALT).exists()


def test_official_folds_of_rows_have_no_sides_of_files(tiny_table, recipe, tmp_path):
    halves = [tiny_table.assign(start_time=i, end_time=i + 1.0, fold=i) for i in range(2)]
    source = read_source(pd.concat(halves, ignore_index=True))
    assert dealt_sides(source, recipe, tmp_path) is None
