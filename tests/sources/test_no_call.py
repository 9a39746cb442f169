import pandas as pd
import pytest

from birdfast.errors import BirdfastError
from birdfast.recipe.recipe import Recipe
from birdfast.sources.birdclef import read_birdclef
from birdfast.sources.no_call import NO_CALL, with_no_call
from birdfast.sources.read import read_table
from birdfast.sources.soundscapes import site_of
from birdfast.sources.source import RECORDING
from birdfast.splits.leaks import leak_report
from birdfast.splits.sides import split_both, with_windows
from birdfast.synthetic.synth import synth


@pytest.fixture(scope="module")
def folder_of_2021(tmp_path_factory):
    """A small BirdCLEF 2021, whose silent windows say "nocall"."""
    sizes = {"n_recordings": 10, "n_labelled": 2, "n_unlabelled": 0, "n_test": 0}
    return synth(tmp_path_factory.mktemp("2021"), n_classes=5, year=2021, **sizes)


def test_soundscape_windows_marked_so_become_recordings(folder_of_2021):
    source = read_birdclef(folder_of_2021)
    silent = source.soundscapes[source.soundscapes["no_call"]]
    assert 0 < len(silent) < len(source.soundscapes)
    made = with_no_call(source)
    assert made.classes == [*source.classes, NO_CALL]
    new = made.recordings[made.recordings["primary_label"] == NO_CALL]
    assert list(new["path"]) == list(silent["path"])
    assert list(new["end_time"]) == list(silent["end_time"])
    assert len(made.recordings) == len(source.recordings) + len(silent)
    assert made.recordings[source.recordings.columns].dtypes.equals(source.recordings.dtypes)
    assert list(made.soundscapes["path"]) == list(source.soundscapes["path"][~source.soundscapes["no_call"]])


def test_a_window_in_which_only_another_species_calls_is_not_without_call(folder_of_2021):
    source = read_birdclef(folder_of_2021, classes=read_birdclef(folder_of_2021).classes[:2])
    assert (source.soundscapes["labels"].map(len) == 0).sum() > source.soundscapes["no_call"].sum()


def test_the_label_of_a_table_counts_and_comes_last(tiny_table):
    silent = tiny_table[:3].assign(primary_label=NO_CALL)
    made = with_no_call(read_table(pd.concat([tiny_table, silent], ignore_index=True)))
    assert made.classes == ["species0", "species1", "species2", NO_CALL]


@pytest.fixture
def source(tiny_table):
    """Folds are given; four soundscapes at each of three sites, of three windows, the last without a call."""
    found = read_table(tiny_table.assign(fold=[i % 3 for i in range(30)]))
    paths = [f"BC2026_Train_{i:04d}_S{i % 3:02d}_20250227_010002.ogg" for i in range(12) for _ in range(3)]
    windows = pd.DataFrame({"path": paths, "start_time": [0.0, 5.0, 10.0] * 12, "end_time": [5.0, 10.0, 15.0] * 12})
    found.soundscapes = windows.assign(labels=[("species0",), ("species1",), ()] * 12)
    return found


@pytest.mark.parametrize("fold", [0, 1, 2])
def test_silent_windows_lie_on_the_side_of_their_site(source, fold):
    recipe, made = Recipe(n_folds=3, fold=fold), with_no_call(source)
    table = made.recordings
    is_valid, silent = split_both(table, recipe), (table["kind"] != RECORDING).to_numpy()
    assert silent.sum() == 12 and table["site"][silent].tolist() == [site_of(path) for path in table["path"][silent]]
    assert is_valid[~silent].tolist() == [i % 3 == fold for i in range(30)]  # the folds that are given
    report = leak_report(table, is_valid)
    assert is_valid[silent].sum() == 4 and report.shared_sites.empty and report.n_unknown_authors == 0
    by_file = Recipe(n_folds=3, fold=fold, soundscape_group="file")
    assert len(leak_report(table, split_both(table, by_file)).shared_sites)


def test_they_lie_where_labelled_windows_of_their_soundscape_lie(source):
    recipe = Recipe(n_folds=3, soundscape_share=0.25, no_call=True)
    both = with_windows(with_no_call(source))
    assert not both.duplicated(["path", "start_time"]).any() and (both["kind"] != RECORDING).to_numpy().sum() == 36
    place = ["path", "start_time"]
    sides = both.assign(is_valid=split_both(both, recipe))[both["kind"] != RECORDING].set_index(place)
    plain = with_windows(source)
    alone = plain.assign(is_valid=split_both(plain, recipe))[plain["kind"] != RECORDING].set_index(place)
    assert sides["is_valid"].sort_index().equals(alone["is_valid"].sort_index())


def test_without_any_it_says_so(tiny_table):
    with pytest.raises(BirdfastError, match="table has none: label some 'nocall'"):
        with_no_call(read_table(tiny_table))
