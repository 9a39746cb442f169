"""Splits that cannot leak, that train every class, and that repeat."""

import numpy as np
import pandas as pd
import pytest

from birdfast.errors import BirdfastError
from birdfast.splits.folds import ALWAYS_TRAIN, assign_folds, leak_report, split


def table(labels, authors=None, paths=None, **more) -> pd.DataFrame:
    n = len(labels)
    paths = [f"/{label}/{i}.wav" for i, label in enumerate(labels)] if paths is None else paths
    return pd.DataFrame({"path": paths, "primary_label": labels, "author": authors or [pd.NA] * n} | more)


def many(seed: int, n: int = 600, missing: float = 0.0) -> pd.DataFrame:
    """A long tail of 40 classes by 60 recordists of unequal zeal."""
    rng = np.random.default_rng(seed)
    labels = [f"s{int(k):02}" for k in np.minimum(rng.exponential(8, n), 39)]
    authors = [pd.NA if rng.random() < missing else f"a{int(k):02}" for k in np.minimum(rng.exponential(15, n), 59)]
    return table(labels, authors)


@pytest.mark.parametrize("missing", [0.0, 0.3])
@pytest.mark.parametrize("seed", range(3))
def test_no_recordist_on_both_sides_and_every_class_trained(seed, missing):
    t = many(seed, missing=missing)
    folds = assign_folds(t, seed=seed)
    held_out = t[folds != ALWAYS_TRAIN].assign(fold=folds[folds != ALWAYS_TRAIN])
    assert held_out.groupby("author")["fold"].nunique().max() == 1
    for fold in range(5):
        is_valid = folds == fold
        assert set(t["primary_label"]) == set(t.loc[~is_valid, "primary_label"])
        assert 0.1 < is_valid.mean() < 0.3
        # A recordist on both sides is known only from classes that are never validated.
        shared = set(t.loc[is_valid, "author"].dropna()) & set(t.loc[~is_valid, "author"].dropna())
        theirs = t[~is_valid & t["author"].isin(shared).to_numpy()]
        assert not set(theirs["primary_label"]) & set(t.loc[is_valid, "primary_label"])


def test_the_same_seed_gives_the_same_folds():
    t = many(0)
    assert (assign_folds(t, seed=1) == assign_folds(t, seed=1)).all()
    assert (assign_folds(t, seed=1) != assign_folds(t, seed=2)).any()


@pytest.mark.parametrize("seed", range(5))
def test_fold_0_is_of_a_fair_size(seed):
    authors = ["big"] * 30 + ["middle"] * 9 + ["small"] * 3 + ["tiny"] * 2 + ["one"]
    assert 5 < (assign_folds(table(["a", "b", "c"] * 15, authors), seed=seed) == 0).sum() < 15


def test_fewer_recordists_than_folds_are_refused_with_the_remedy():
    t = table(["a", "b"] * 20, [f"r{i % 3}" for i in range(40)])
    with pytest.raises(
        BirdfastError, match="of 3 recordists .* too few for n_folds=5: set n_folds to 3, or group='none'"
    ):
        assign_folds(t)
    assert set(assign_folds(t, n_folds=3)) == {0, 1, 2}
    assert set(assign_folds(t, group="none")) == {0, 1, 2, 3, 4}


def test_unknown_recordists_are_not_one_group():
    folds = assign_folds(table(["a", "b"] * 20))
    assert sorted(np.unique(folds)) == [0, 1, 2, 3, 4]
    assert np.bincount(folds).tolist() == [8] * 5


def test_rare_classes_always_train():
    labels = ["common"] * 20 + ["once"] + ["few"] * 3 + ["by one"] * 6
    authors = [f"a{i}" for i in range(24)] + ["z"] * 6
    folds = assign_folds(table(labels, authors))
    assert (folds[20] == ALWAYS_TRAIN) and (folds[24:] == ALWAYS_TRAIN).all()
    assert (folds[21:24] != ALWAYS_TRAIN).any()


def test_two_recordings_a_class():
    t = table(["a", "a", "b", "b", "c", "c"])
    for seed in range(5):
        folds = assign_folds(t, seed=seed)
        for fold in range(5):
            assert set(t.loc[folds != fold, "primary_label"]) == {"a", "b", "c"}
        assert split(t, seed=seed).any()


def test_rows_of_one_recording_stay_together():
    labels = ["a", "b"] * 30
    paths = [f"/{i // 4}.wav" for i in range(60)]
    folds = pd.Series(assign_folds(table(labels, paths=paths)))
    assert folds.groupby(paths).nunique().max() == 1
    labels[0] = "once"  # forces its recording into training, all of it
    assert (assign_folds(table(labels, paths=paths))[:4] == ALWAYS_TRAIN).all()


def test_the_same_xeno_canto_number_is_one_recording():
    labels = ["a", "b"] * 20
    paths = [f"/{label}/XC{i // 2}.ogg" for i, label in enumerate(labels)]
    folds = pd.Series(assign_folds(table(labels, paths=paths)))
    assert folds.groupby([i // 2 for i in range(40)]).nunique().max() == 1


def test_official_folds_are_taken():
    t = table(["a", "b"] * 10, fold=pd.array([5, 2] * 10, dtype="Int64"))
    assert assign_folds(t).tolist() == [1, 0] * 10
    assert split(t, fold=1).tolist() == [True, False] * 10
    with pytest.raises(BirdfastError, match="fold 2: take one of 0, 1"):
        split(t, fold=2)


def test_incomplete_official_folds_are_an_error():
    t = table(["a", "b"] * 10, fold=pd.array([1, pd.NA, 2, 1] * 5, dtype="Int64"))
    with pytest.raises(BirdfastError, match="5 of 20 recordings have no fold: fill the column .*fold='none'"):
        assign_folds(t)


def test_official_folds_know_those_that_always_train():
    t = table(["a", "b"] * 10, fold=pd.array([-1, 7, 3, -1] * 5, dtype="Int64"))
    assert assign_folds(t).tolist() == [-1, 1, 0, -1] * 5
    one = table(["a", "b"] * 10, fold=pd.array([-1, 7] * 10, dtype="Int64"))
    assert assign_folds(one).tolist() == [-1, 0] * 10, "one fold is held out, or none"
    assert len(np.unique(assign_folds(one.assign(fold=7)))) == 5, "all of one fold is no split"


def test_any_column_groups():
    site = [f"s{i // 5}" for i in range(50)]
    folds = pd.Series(assign_folds(table(["a", "b"] * 25, site=site), group="site"))
    assert folds.groupby(site).nunique().max() == 1
    with pytest.raises(BirdfastError, match="did you mean 'site'"):
        assign_folds(table(["a", "b"] * 25, site=site), group="sites")


def test_one_recordist_only_is_an_error_with_the_remedy():
    t = table(["a", "b"] * 10, ["me"] * 20)
    with pytest.raises(BirdfastError, match="group='none'"):
        split(t)
    assert split(t, group="none").sum() == 4


def test_what_else_is_heard_in_a_recording_of_a_rare_class_takes_its_recordist_along():
    owl = [("ann1", "owl", "Ann"), ("ann1", "wren", "Ann")]
    rows = owl + [(f"ann{i}", "wren", "Ann") for i in range(2, 6)] + [(f"by{i}", "wren", f"B{i}") for i in range(12)]
    t = table([r[1] for r in rows], [r[2] for r in rows], [f"/{r[0]}.wav" for r in rows])
    assert (assign_folds(t)[t["author"] == "Ann"] == ALWAYS_TRAIN).all()
    assert all(leak_report(t, split(t, fold=fold)).ok for fold in range(5))


def test_no_group_goes_along_where_too_few_would_be_left_for_the_folds():
    rows = [(f"{n}{i}", "wren", n) for n in "abcdef" for i in range(5)] + [("a0", "owl", "a"), ("b0", "robin", "b")]
    t = table([r[1] for r in rows], [r[2] for r in rows], [f"/{r[0]}.wav" for r in rows])
    assert len(set(assign_folds(t)) - {ALWAYS_TRAIN}) == 5


def test_where_all_would_train_some_are_held_out_and_the_report_tells():
    rows = [row for n in "abc" for row in [(f"{n}0", f"rare {n}", n), *((f"{n}{i}", "wren", n) for i in range(3))]]
    t = table([r[1] for r in rows], [r[2] for r in rows], [f"/{r[0]}.wav" for r in rows])
    assert (assign_folds(t, n_folds=3) != ALWAYS_TRAIN).sum() == 6
    assert "recordist" in leak_report(t, split(t, n_folds=3)).line()
