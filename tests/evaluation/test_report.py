"""The tables equal scikit-learn's figures, and scores meet their truth or say why not."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score, precision_recall_fscore_support, roc_auc_score

from birdfast.errors import BirdfastError
from birdfast.evaluation import metrics
from birdfast.evaluation.report import (
    average_by,
    confusion_counts,
    join_truth,
    joined_rows,
    per_class_table,
    rare_third,
    worst_errors,
    worst_pairs,
)

CLASSES = ["ash", "bee", "cow", "doe", "elk"]


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.mark.parametrize("multi", [False, True])
def test_per_class_table_equals_sklearn(rng, multi):
    targets = rng.integers(0, 4, 90)  # elk is absent
    probabilities = rng.random((90, 5))
    probabilities[:, 3] *= 0.4  # never over the threshold, never the top: precision undefined
    truth, decided = np.eye(5)[targets], np.eye(5)[probabilities.argmax(1)]
    if multi:
        truth[:, 0] = rng.random(90) < 0.5
        decided = (probabilities >= 0.5).astype(float)
    table = per_class_table(truth if multi else targets, probabilities, CLASSES)
    precision, recall, f1, support = precision_recall_fscore_support(truth, decided, zero_division=np.nan)
    assert list(table.index) == CLASSES and table.index.name == "class"
    assert list(table.columns) == ["support", "auc", "ap", "f1", "precision", "recall"]
    np.testing.assert_array_equal(table["support"], support)
    np.testing.assert_allclose(table["precision"], precision)
    np.testing.assert_allclose(table["recall"], recall)
    np.testing.assert_allclose(table["f1"][:4], np.nan_to_num(f1[:4]))
    assert np.isnan(table.loc["elk", ["auc", "ap", "f1", "recall"]].to_numpy(float)).all()
    for c, name in enumerate(CLASSES[:4]):
        assert table.loc[name, "auc"] == pytest.approx(roc_auc_score(truth[:, c], probabilities[:, c]))
        assert table.loc[name, "ap"] == pytest.approx(average_precision_score(truth[:, c], probabilities[:, c]))
    figures = metrics.summary(truth if multi else targets, probabilities)
    assert table["f1"].mean() == pytest.approx(figures["macro_f1"])
    assert table["auc"].mean() == pytest.approx(figures["roc_auc"])


def test_train_counts_are_laid_beside_by_name(rng):
    args = rng.integers(0, 5, 20), rng.random((20, 5)), CLASSES
    table = per_class_table(*args, train_counts=pd.Series({"bee": 3, "ash": 7}))
    assert list(table["train_recordings"]) == [7, 3, 0, 0, 0]
    assert list(per_class_table(*args, train_counts={"elk": 2})["train_recordings"]) == [0, 0, 0, 0, 2]
    with pytest.raises(BirdfastError, match=r"'eelk'.*did you mean 'elk'"):
        per_class_table(*args, train_counts={"eelk": 2})
    with pytest.raises(BirdfastError, match="2 class names"):
        per_class_table(args[0], args[1], ["ash", "bee"])


def test_worst_pairs_of_single_labels():
    targets = np.array([0, 0, 0, 0, 1, 1, 2])
    tops = np.array([0, 1, 1, 2, 0, 1, 1])
    table = worst_pairs(targets, np.eye(3)[tops], CLASSES[:3])
    expected = [("ash", "bee", 2, 0.5), ("cow", "bee", 1, 1.0), ("bee", "ash", 1, 0.5), ("ash", "cow", 1, 0.25)]
    assert list(table.itertuples(index=False, name=None)) == expected
    assert list(table.columns) == ["true", "predicted", "count", "share"]
    assert len(worst_pairs(targets, np.eye(3)[tops], CLASSES[:3], n=2)) == 2


def test_worst_pairs_of_multi_hot_count_each_missed_positive():
    targets = [[1, 1, 0], [1, 0, 1], [0, 0, 0]]
    table = worst_pairs(targets, [[0.1, 0.2, 0.9], [0.1, 0.2, 0.9], [0.9, 0.1, 0.1]], CLASSES[:3])
    assert list(table.itertuples(index=False, name=None)) == [("bee", "cow", 1, 1.0), ("ash", "cow", 1, 0.5)]


def test_no_confusion_is_an_empty_table():
    table = worst_pairs([0, 1], np.eye(2), CLASSES[:2])
    assert table.empty and list(table.columns) == ["true", "predicted", "count", "share"]


def test_confusion_counts_add_up_to_the_rows(rng):
    targets, probabilities = rng.integers(0, 5, 100), rng.random((100, 5))
    counts = confusion_counts(targets, probabilities)
    assert counts["count"].sum() == 100
    right = counts.loc[counts["true"] == counts["predicted"], "count"].sum()
    assert right / 100 == metrics.accuracy(targets, probabilities)
    assert confusion_counts(targets, probabilities, errors_only=True)["count"].sum() == 100 - right


def test_average_by_keeps_the_order_of_first_sight(rng):
    keys, values = ["b", "a", "b", "c", "a", "b"], rng.random((6, 3)).astype(np.float32)
    names, averages = average_by(keys, values)
    assert names == ["b", "a", "c"] and averages.dtype == np.float64
    for name, row in zip(names, averages, strict=True):
        np.testing.assert_allclose(row, values[np.array(keys) == name].mean(0), rtol=1e-6)
    assert average_by([("x", 1), ("x", 2), ("x", 1)], [1.0, 2.0, 3.0])[1].tolist() == [2.0, 2.0]
    assert average_by([], np.zeros((0, 3)))[1].shape == (0, 3)
    with pytest.raises(BirdfastError, match="2 keys"):
        average_by(["a", "b"], values)


def test_rare_third():
    counts = pd.Series({"a": 5, "b": 1, "c": 0, "d": 2, "e": 1, "f": 9, "g": 30})
    assert rare_third(counts) == ["b", "e"]
    assert rare_third({"a": 4, "b": 2}) == ["b"]
    assert rare_third({"a": 0}) == []
    assert len(rare_third({str(i): i + 1 for i in range(206)})) == 68


def windows(rows, values, columns=("ash", "bee")):
    index = pd.MultiIndex.from_tuples(rows, names=["path", "start_time", "end_time"])
    return pd.DataFrame(values, index=index, columns=list(columns))


def test_join_truth_aligns_rows_and_columns():
    scores = windows([("x", 0.0, 5.0), ("x", 5.0, 10.0), ("y", 0.0, 5.0)], [[0.1, 0.2], [0.3, 0.4], [0.5, 0.6]])
    truth = windows([("y", 0, 5), ("x", 5, 10.0000001), ("z", 0, 5)], [[1, 0], [0, 1], [1, 1]], ("bee", "ash"))
    targets, probabilities, n_missing = join_truth(scores, truth, no_row="unknown")
    assert targets.tolist() == [[1, 0], [0, 1]]
    assert probabilities.tolist() == [[0.3, 0.4], [0.5, 0.6]]
    assert n_missing == 1


def test_a_window_without_a_row_is_no_call_only_where_the_recording_is_labelled():
    rows = [("x", 0.0, 5.0), ("x", 2.5, 7.5), ("x", 5.0, 10.0), ("x", 10.0, 15.0), ("unlabelled", 0.0, 5.0)]
    scores = windows(rows, np.arange(10).reshape(5, 2) / 10)
    truth = windows([("x", 5.0, 10.0)], [[np.nan, 1.0]])
    targets, probabilities, n_missing = join_truth(scores, truth)
    np.testing.assert_array_equal(targets, [[0, 0], [np.nan, 1], [0, 0]])
    assert probabilities.tolist() == [[0.0, 0.1], [0.4, 0.5], [0.6, 0.7]]
    assert n_missing == 0


def test_times_meet_to_the_millisecond_and_whole_files_by_missing_times():
    scores = windows([("x", 0.1 + 0.2, 5.3), ("y", np.nan, np.nan)], [[0.1, 0.2], [0.3, 0.4]])
    truth = windows([("y", np.nan, np.nan), ("x", 0.3, 5.3)], [[1, 0], [0, 1]])
    assert join_truth(scores, truth)[0].tolist() == [[0, 1], [1, 0]]


def test_join_truth_says_what_does_not_match():
    scores = windows([("/a/x.ogg", 0.0, 5.0)], [[0.1, 0.2]])
    with pytest.raises(BirdfastError, match=r"scores name /a/x\.ogg, the truth x\.ogg"):
        join_truth(scores, windows([("x.ogg", 0.0, 5.0)], [[1, 0]]))
    with pytest.raises(BirdfastError, match=r"0\.0 to 5\.0 s, the truth 1\.0 to 4\.0 s"):
        join_truth(scores, windows([("/a/x.ogg", 1.0, 4.0)], [[1, 0]]))
    with pytest.raises(BirdfastError, match="truth lack 1 of the 2 classes of the scores: bee"):
        join_truth(scores, windows([("/a/x.ogg", 0.0, 5.0)], [[1]], ["ash"]))
    with pytest.raises(BirdfastError, match="scores lack 1 of the 3 classes of the truth: cow"):
        join_truth(scores, windows([("/a/x.ogg", 0.0, 5.0)], [[1, 0, 0]], ["ash", "bee", "cow"]))
    with pytest.raises(BirdfastError, match="truth hold 1 windows twice"):
        join_truth(scores, windows([("/a/x.ogg", 0.0, 5.0)] * 2, [[1, 0]] * 2))
    with pytest.raises(BirdfastError, match="set the index"):
        join_truth(scores.reset_index(), windows([("/a/x.ogg", 0.0, 5.0)], [[1, 0]]))
    with pytest.raises(BirdfastError, match="nothing to join: 1 rows of scores, 0"):
        join_truth(scores, windows([("/a/x.ogg", 0.0, 5.0)], [[1, 0]]).iloc[:0])
    with pytest.raises(BirdfastError, match="no_row"):
        join_truth(scores, scores, no_row="maybe")


def test_joined_rows_are_those_of_the_targets():
    scores = windows([("x.ogg", 5.0 * k, 5.0 * k + 5) for k in range(4)], np.arange(8).reshape(4, 2) / 8)
    truth = windows([("x.ogg", 5.0, 10.0)], [[1, 0]])
    for no_row, starts in (("no call", [0, 5, 10, 15]), ("unknown", [5])):
        assert joined_rows(scores, truth, no_row=no_row)["start_time"].tolist() == starts
        assert len(join_truth(scores, truth, no_row=no_row)[0]) == len(starts)


def test_worst_errors_first_each_row_once_a_class_twice():
    truth = np.array([[1, 0, 0], [0, 1, 1], [0, 0, 0], [0, 0, 0], [0, 0, np.nan]])
    scores = np.array([[0.1, 0.7, 0.8], [0.6, 0.3, 0.2], [0.0, 0.5, 0.9], [0.0, 0.5, 0.95], [0.05, 0.04, 0.99]])
    table = worst_errors(truth, scores, ["ash", "bee", "cow"])
    alarms, missed = (table[table["kind"] == kind] for kind in ("false alarm", "missed"))
    assert list(zip(alarms["row"], alarms["label"])) == [(3, "cow"), (2, "cow"), (1, "ash"), (4, "ash")]
    assert list(zip(missed["row"], missed["label"])) == [(0, "ash"), (1, "cow")]
    assert missed["truth"].tolist() == [("ash",), ("bee", "cow")]
    single = worst_errors(np.array([0, 1]), np.array([[0.9, 0.1], [0.7, 0.3]]), ["ash", "bee"])
    assert single[["kind", "row", "label"]].to_numpy().tolist()[0] == ["false alarm", 1, "ash"]
    assert worst_errors(np.zeros((0, 2)), np.zeros((0, 2)), ["ash", "bee"]).empty
