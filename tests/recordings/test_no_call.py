import pandas as pd
import pytest

from birdfast.errors import BirdfastError
from birdfast.recordings.birdclef import read_birdclef
from birdfast.recordings.folds import split
from birdfast.recordings.no_call import NO_CALL, with_no_call
from birdfast.recordings.synth import synth
from birdfast.recordings.tables import read_table


def test_soundscape_windows_marked_so_become_recordings(tmp_path):
    folder = synth(tmp_path / "2021", n_classes=5, year=2021)
    source = read_birdclef(folder)
    silent = source.soundscapes[source.soundscapes["no_call"]]
    assert 0 < len(silent) < len(source.soundscapes)
    made = with_no_call(source)
    assert made.classes == [*source.classes, NO_CALL]
    new = made.recordings[made.recordings["primary_label"] == NO_CALL]
    assert list(new["path"]) == list(silent["path"])
    assert list(new["end_time"]) == list(silent["end_time"])
    assert len(made.recordings) == len(source.recordings) + len(silent)
    assert made.recordings.dtypes.equals(source.recordings.dtypes)
    split(made.recordings, n_folds=2)


def test_a_window_in_which_only_another_species_calls_is_not_without_call(tmp_path):
    folder = synth(tmp_path / "2021", n_classes=5, year=2021)
    source = read_birdclef(folder, classes=read_birdclef(folder).classes[:2])
    assert (source.soundscapes["labels"].map(len) == 0).sum() > source.soundscapes["no_call"].sum()


def test_the_label_of_a_table_counts_and_comes_last(tiny_table):
    silent = tiny_table[:3].assign(primary_label=NO_CALL)
    made = with_no_call(read_table(pd.concat([tiny_table, silent], ignore_index=True)))
    assert made.classes == ["species0", "species1", "species2", NO_CALL]


def test_given_folds_take_the_soundscapes_in(tiny_table, tmp_path):
    source = read_table(tiny_table.assign(fold=[i % 3 for i in range(30)]))
    paths = ["a.ogg", "b.ogg", "c.ogg", "c.ogg"]
    source.soundscapes = pd.DataFrame({"path": paths, "start_time": 0.0, "end_time": 5.0, "labels": [()] * 4})
    made = with_no_call(source).recordings
    assert made["fold"][30:].tolist() == [0, 1, 2, 2]
    assert split(made, fold=2)[30:].tolist() == [False, False, True, True]


def test_without_any_it_says_so(tiny_table):
    with pytest.raises(BirdfastError, match="table has none: label some 'nocall'"):
        with_no_call(read_table(tiny_table))
