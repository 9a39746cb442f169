"""The metrics equal scikit-learn's on the same numbers, and stay numbers where scikit-learn's turn into NaN."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score, top_k_accuracy_score

from birdfast.errors import BirdfastError
from birdfast.evaluation import metrics

SEEDS = range(12)


def random_case(seed: int, *, multi: bool, n_classes: int = 7, unknown: float = 0.0):
    """Targets and probabilities with many equal scores (rounded in every second seed), rare and absent classes."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(30, 200))
    probabilities = rng.random((n, n_classes))
    if seed % 2:
        probabilities = probabilities.round(1)
    if not multi:
        return rng.integers(0, n_classes - 1, n), probabilities  # the last class is absent
    targets = (rng.random((n, n_classes)) < np.linspace(0.5, 0.03, n_classes)).astype(float)
    targets[:, -1] = 0
    targets[rng.random(targets.shape) < unknown] = np.nan
    return targets, probabilities


def one_hot(targets, n_classes):
    return targets if targets.ndim == 2 else np.eye(n_classes)[targets]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("multi", [False, True])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_rankings_equal_sklearn_per_class(seed, multi, dtype):
    targets, probabilities = random_case(seed, multi=multi)
    probabilities = probabilities.astype(dtype)
    truth = one_hot(targets, 7)
    auc, ap = metrics.class_auc(targets, probabilities), metrics.class_ap(targets, probabilities)
    for c in range(6):
        if truth[:, c].any():
            assert auc[c] == pytest.approx(roc_auc_score(truth[:, c], probabilities[:, c]), abs=1e-12)
            assert ap[c] == pytest.approx(average_precision_score(truth[:, c], probabilities[:, c]), abs=1e-12)
    assert np.isnan(auc[6]) and np.isnan(ap[6])
    assert metrics.roc_auc(targets, probabilities) == pytest.approx(np.nanmean(auc), abs=1e-12)
    assert metrics.cmap(targets, probabilities) == pytest.approx(np.nanmean(ap), abs=1e-12)


@pytest.mark.parametrize("seed", SEEDS)
def test_unknown_targets_are_left_out_per_class(seed):
    targets, probabilities = random_case(seed, multi=True, unknown=0.3)
    auc, f1 = metrics.class_auc(targets, probabilities), metrics.class_f1(targets, probabilities)
    for c in range(6):
        known = ~np.isnan(targets[:, c])
        y, p = targets[known, c], probabilities[known, c]
        if y.any():
            assert auc[c] == pytest.approx(roc_auc_score(y, p), abs=1e-12)
            assert f1[c] == pytest.approx(f1_score(y, p >= 0.5, zero_division=0), abs=1e-12)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("multi", [False, True])
@pytest.mark.parametrize("padding", [1, 5, 20])
def test_padded_cmap_is_birdclef_2023s(seed, multi, padding):
    targets, probabilities = random_case(seed, multi=multi)
    ones = np.ones((padding, 7))
    truth = np.concatenate([one_hot(targets, 7), ones]).astype(int)
    expected = average_precision_score(truth, np.concatenate([probabilities, ones]), average="macro")
    assert metrics.padded_cmap(targets, probabilities, padding=padding) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(("n_classes", "expected"), [(10, 0.93), (206, 0.85)])
def test_padded_cmap_is_high_by_chance_for_rare_classes(n_classes, expected):
    rng = np.random.default_rng(0)
    targets, draws = np.arange(n_classes), [rng.random((n_classes, n_classes)) for _ in range(20)]
    assert np.mean([metrics.padded_cmap(targets, scores) for scores in draws]) == pytest.approx(expected, abs=0.01)
    assert np.mean([metrics.roc_auc(targets, scores) for scores in draws]) == pytest.approx(0.5, abs=0.06)
    assert metrics.padded_cmap([[1, 0]], [[0.9, 0.5]]) == 1.0  # the second class has no positive


def test_padded_cmap_without_padding_counts_absent_classes_as_zero():
    assert metrics.padded_cmap([[1, 0], [0, 0]], [[0.9, 0.2], [0.1, 0.3]], padding=0) == 0.5


@pytest.mark.parametrize("seed", SEEDS)
def test_f1_of_single_labels_equals_sklearn(seed):
    targets, probabilities = random_case(seed, multi=False)
    expected = f1_score(targets, probabilities.argmax(1), labels=np.unique(targets), average="macro")
    assert metrics.macro_f1(targets, probabilities) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("threshold", [0.3, 0.5])
def test_f1_of_multi_hot_equals_sklearn(seed, threshold):
    targets, probabilities = random_case(seed, multi=True)
    present = np.flatnonzero(targets.any(axis=0))
    expected = f1_score(targets, probabilities >= threshold, labels=present, average="macro", zero_division=0)
    assert metrics.macro_f1(targets, probabilities, threshold=threshold) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("k", [1, 2, 5])
def test_top_k_equals_sklearn(k):
    rng = np.random.default_rng(k)
    targets, probabilities = rng.integers(0, 7, 200), rng.random((200, 7))
    expected = top_k_accuracy_score(targets, probabilities, k=k, labels=range(7))
    assert metrics.top_k_accuracy(targets, probabilities, k=k) == pytest.approx(expected)
    assert metrics.top_k_accuracy(np.eye(7)[targets], probabilities, k=k) == pytest.approx(expected)


def test_accuracy_equals_argmax_also_where_scores_are_equal():
    targets, probabilities = random_case(1, multi=False)
    assert metrics.accuracy(targets, probabilities) == np.mean(probabilities.argmax(1) == targets)


def test_accuracy_of_multi_hot_is_whether_the_top_class_is_a_positive():
    targets = [[1, 1, 0], [0, 1, 1], [0, 0, 0]]  # the last row has no positive: left out
    assert metrics.accuracy(targets, [[0.1, 0.9, 0.5], [0.8, 0.7, 0.1], [0.9, 0.1, 0.1]]) == 0.5
    assert metrics.top_k_accuracy(targets, [[0.1, 0.9, 0.5], [0.8, 0.7, 0.1], [0.9, 0.1, 0.1]], k=2) == 1.0


def test_an_unknown_class_cannot_be_the_top_one():
    assert metrics.accuracy([[np.nan, 1, 0]], [[0.9, 0.6, 0.1]]) == 1.0


def test_more_rows_than_a_block(monkeypatch):
    targets, probabilities = random_case(2, multi=True, unknown=0.2)
    whole = metrics.top_k_accuracy(targets, probabilities, k=2), metrics.top_classes(targets, probabilities)
    monkeypatch.setattr(metrics, "_ROWS", 7)
    assert metrics.top_k_accuracy(targets, probabilities, k=2) == whole[0]
    assert (metrics.top_classes(targets, probabilities) == whole[1]).all()


def test_top_k_with_fewer_classes_is_one_and_a_constant_model_earns_its_share():
    assert metrics.top_k_accuracy([0, 1, 1], [[0.1, 0.9]] * 3, k=5) == 1.0
    assert metrics.top_k_accuracy(np.arange(10), np.full((10, 10), 0.1), k=5) == 0.5


def test_a_secondary_label_of_half_weight_counts_as_present():
    assert metrics.accuracy([[0.5, 0.0]], [[0.9, 0.1]]) == 1.0
    assert metrics.cmap([[0.2, 0.0]], [[0.9, 0.1]]) == 0.0


SUMMARY = ["accuracy", "top5", "roc_auc", "cmap", "padded_cmap", "macro_f1"]


@pytest.mark.parametrize("targets", [[0, 0], [[0, 0], [0, 0]], [[1, 1], [1, 1]], [[np.nan, np.nan], [np.nan, np.nan]]])
def test_summary_is_never_nan(targets):
    scores = metrics.summary(targets, [[0.9, 0.1], [0.8, 0.2]])
    assert list(scores) == SUMMARY
    assert all(isinstance(value, float) and np.isfinite(value) for value in scores.values())
    assert scores["roc_auc"] == 0.5


def test_summary_without_rows():
    empty = np.zeros((0, 3))
    assert metrics.summary(empty, empty) == dict.fromkeys(SUMMARY, 0.0) | {"roc_auc": 0.5}
    assert metrics.summary(np.zeros(0, int), empty) == dict.fromkeys(SUMMARY, 0.0) | {"roc_auc": 0.5}


def test_summary_holds_the_single_figures():
    targets, probabilities = random_case(3, multi=True)
    scores = metrics.summary(targets, probabilities)
    assert scores["accuracy"] == metrics.accuracy(targets, probabilities)
    assert scores["top5"] == metrics.top_k_accuracy(targets, probabilities, k=5)
    for name in SUMMARY[2:]:
        assert scores[name] == getattr(metrics, name)(targets, probabilities)


def test_inputs_are_not_changed():
    targets, probabilities = random_case(4, multi=True, unknown=0.2)
    before = targets.copy(), probabilities.copy()
    metrics.summary(targets, probabilities)
    np.testing.assert_array_equal(before[0], targets)
    np.testing.assert_array_equal(before[1], probabilities)


@pytest.mark.parametrize(
    ("targets", "probabilities", "words"),
    [
        ([0, 1, 0], [[0.1, 0.9]] * 2, r"\(3,\).*\(2, 2\)"),
        ([[0, 1, 0]], [[0.1, 0.9]], r"\(1, 3\).*\(1, 2\)"),
        ([0, 1], [0.1, 0.9], r"\(2,\).*\(2,\)"),
        ([0, 1, 0], [[0.1, 0.9], [0.2, np.nan], [np.nan, 0.1]], "nan in row 1, class 1 .2 such rows of 3"),
        ([0, 1], [[0.1, 0.9], [np.inf, 0.1]], "inf in row 1, class 0"),
        ([0, 2], [[0.1, 0.9]] * 2, "target 2 in row 1 .* 2 classes"),
        ([0, -1], [[0.1, 0.9]] * 2, "target -1 in row 1"),
        ([0.0, 1.0], [[0.1, 0.9]] * 2, "integer class indices"),
        ([[0, 1], [2, 0]], [[0.1, 0.9]] * 2, "row 1 lie outside"),
        ([["a", "b"]], [[0.1, 0.9]], "numbers or bool"),
    ],
)
def test_bad_input_is_named(targets, probabilities, words):
    with pytest.raises(BirdfastError, match=words):
        metrics.summary(targets, probabilities)


def test_logits_are_refused_where_they_would_mislead():
    logits = np.array([[-3.0, 4.0], [2.0, -1.0]])
    for function in (metrics.padded_cmap, metrics.macro_f1):
        with pytest.raises(BirdfastError, match="sigmoid or softmax"):
            function(np.eye(2), logits)
    assert metrics.roc_auc(np.eye(2)[::-1], logits) == 1.0
    with pytest.raises(BirdfastError, match="k must be"):
        metrics.top_k_accuracy([0], [[1.0]], k=0)
    with pytest.raises(BirdfastError, match="padding"):
        metrics.padded_cmap([0], [[1.0]], padding=-1)
