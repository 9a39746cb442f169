"""Thresholds and calibration: against sets whose answer is known."""

import json

import numpy as np
import pandas as pd
import pytest

from birdfast.errors import BirdfastError
from birdfast.evaluation.calibration import (
    Calibration,
    calibration_error,
    fit_calibration,
    read_thresholds,
    reliability,
)
from birdfast.evaluation.metrics import class_f1, decision_counts

CLASSES = ["ash", "bee", "cow"]


def overconfident(n=4000, seed=0):
    """Truth drawn from probabilities; the scores given have twice their logit, and are shifted."""
    rng = np.random.default_rng(seed)
    logit = rng.normal(-1, 1.5, (n, 3))
    truth = rng.random((n, 3)) < 1 / (1 + np.exp(-logit))
    return truth, (1 / (1 + np.exp(-(2 * logit + 0.7)))).astype(np.float32)


@pytest.mark.parametrize("method", ["platt", "isotonic"])
def test_calibrated_probabilities_mean_what_they_say(method):
    fitted = fit_calibration(*overconfident(), CLASSES, method=method)
    truth, scores = overconfident(seed=1)
    calibrated = fitted.apply(scores, CLASSES)
    assert calibrated.dtype == np.float32 and calibrated.min() >= 0 and calibrated.max() <= 1
    assert calibration_error(truth, scores) > 0.08 and calibration_error(truth, calibrated) < 0.02
    if method == "platt":
        for name in CLASSES:
            slope, intercept = fitted.curves[name]
            assert slope == pytest.approx(0.5, abs=0.05) and intercept == pytest.approx(-0.35, abs=0.1)
    for column in range(3):
        order = np.argsort(scores[:, column], kind="stable")
        assert (np.diff(calibrated[order, column]) >= -1e-6).all(), "the order within a class stays"


def test_f1_thresholds_are_the_best_there_are():
    truth, scores = overconfident(500)
    best = fit_calibration(truth, scores, CLASSES).threshold("f1", CLASSES)
    for i in range(3):
        f1 = class_f1(truth[:, [i]], scores[:, [i]], threshold=best[i])[0]
        others = [class_f1(truth[:, [i]], scores[:, [i]], threshold=t)[0] for t in np.unique(scores[:, i])]
        assert f1 == pytest.approx(max(others))


def test_precision_thresholds_reach_the_precision_and_no_more_than_that():
    truth, scores = overconfident(2000)
    found = fit_calibration(truth, scores, CLASSES, precision=0.8).threshold("precision", CLASSES)
    for i in range(3):
        hits, false, _ = decision_counts(truth[:, [i]], scores[:, [i]], threshold=found[i])
        assert hits[0] / (hits[0] + false[0]) >= 0.8
        lower = np.sort(scores[scores[:, i] < found[i], i])[-1]
        hits, false, _ = decision_counts(truth[:, [i]], scores[:, [i]], threshold=lower)
        assert hits[0] / (hits[0] + false[0]) < 0.8
    hopeless = np.random.default_rng(0).random((300, 3)).astype(np.float32) * 0.9
    never = fit_calibration(truth[:300] & (hopeless < 0.5), hopeless, CLASSES, precision=0.99)
    assert (hopeless >= never.threshold("precision", CLASSES)).sum() == 0


def test_a_class_out_of_reach_is_not_called_where_scores_saturate():
    truth, scores = np.zeros((40, 1)), np.full((40, 1), 0.2, np.float32)
    truth[:10], scores[5:35] = 1, 1.0
    fitted = fit_calibration(truth, scores, CLASSES[:1])
    again = Calibration.from_dict(json.loads(json.dumps(fitted.to_dict(), allow_nan=False)))
    assert again == fitted and not (scores >= again.threshold("precision", CLASSES[:1])).any()


def test_classes_of_few_positives_take_the_fit_of_all_together():
    truth, scores = overconfident(1000)
    truth[:, 2] = False
    truth[:4, 2] = True
    fitted = fit_calibration(truth, scores, CLASSES)
    assert set(fitted.curves) == {"", "ash", "bee"}
    assert fitted.threshold("f1", ["cow", "ash"])[0] == fitted.thresholds["f1"][""]
    assert fitted.threshold("f1", ["cow", "ash"])[1] == fitted.thresholds["f1"]["ash"]


def test_scores_that_say_nothing_and_scores_that_say_all():
    truth, scores = overconfident(600)
    backwards = fit_calibration(truth, 1 - scores, CLASSES)
    np.testing.assert_allclose(backwards.apply(scores[:5], CLASSES)[0], truth.mean(axis=0), atol=0.01)
    perfect = np.where(truth, 0.9, 0.1).astype(np.float32)
    sure = fit_calibration(truth, perfect, CLASSES)
    assert np.isfinite(list(sure.curves.values())).all() and (sure.apply(perfect, CLASSES)[truth] > 0.95).all()


def test_class_indices_and_unknown_targets():
    rng = np.random.default_rng(0)
    index = rng.integers(0, 3, 200)
    scores = rng.dirichlet([1, 1, 1], 200)
    one_hot = np.eye(3)[index]
    by_index, by_row = (fit_calibration(t, scores, CLASSES).to_dict() for t in (index, one_hot))
    assert by_index == by_row
    known = one_hot.copy()
    known[150:] = np.nan
    assert fit_calibration(known, scores, CLASSES).curves == fit_calibration(index[:150], scores[:150], CLASSES).curves


@pytest.mark.parametrize("method", ["platt", "isotonic"])
def test_it_travels_as_json(method):
    truth, scores = overconfident(300)
    fitted = fit_calibration(truth, scores, CLASSES, method=method)
    again = Calibration.from_dict(json.loads(json.dumps(fitted.to_dict())))
    np.testing.assert_array_equal(again.apply(scores, CLASSES), fitted.apply(scores, CLASSES))
    assert again == fitted


def test_mistakes_are_told():
    truth, scores = overconfident(50)
    with pytest.raises(BirdfastError, match="unknown calibration method 'plat': did you mean 'platt'"):
        fit_calibration(truth, scores, CLASSES, method="plat")
    with pytest.raises(BirdfastError, match="between 0 and 1, not 90"):
        fit_calibration(truth, scores, CLASSES, precision=90)
    with pytest.raises(BirdfastError, match="2 classes do not go with"):
        fit_calibration(truth, scores, CLASSES[:2])
    with pytest.raises(BirdfastError, match="some in which not"):
        fit_calibration(np.zeros_like(truth), scores, CLASSES)
    fitted = fit_calibration(truth, scores, CLASSES)
    with pytest.raises(BirdfastError, match="unknown threshold of the bundle 'f2': did you mean 'f1'"):
        fitted.threshold("f2", CLASSES)
    for damaged in ({}, {"method": "platt"}, fitted.to_dict() | {"curves": {}}, fitted.to_dict() | {"thresholds": 3}):
        with pytest.raises(BirdfastError, match="calibration"):
            Calibration.from_dict(damaged)


def test_reliability_and_its_error():
    truth = np.array([[1.0], [0], [1], [0], [np.nan]])
    scores = np.array([[0.95], [0.95], [0.85], [0.05], [0.5]])
    table = reliability(truth, scores)
    expected = pd.DataFrame({"confidence": [0.05, 0.85, 0.95], "observed": [0.0, 1.0, 0.5], "count": [1, 1, 2]})
    pd.testing.assert_frame_equal(table, expected)
    assert calibration_error(truth, scores) == pytest.approx((0.05 + 0.15 + 2 * 0.45) / 4)
    top = reliability(np.array([0, 1]), np.array([[0.9, 0.1], [0.8, 0.2]]))
    assert top["observed"].tolist() == [0.0, 1.0] and top["confidence"].tolist() == pytest.approx([0.8, 0.9])


def test_thresholds_of_a_list():
    assert read_thresholds([("bee", 0.2), ("ash", 0.1), ("owl", 1)], ["ash", "bee"]).tolist() == [0.1, 0.2]
    with pytest.raises(BirdfastError, match="1 classes have no threshold: cow"):
        read_thresholds([("bee", 0.2), ("ash", 0.1)], CLASSES)
    with pytest.raises(BirdfastError, match="threshold of bee is 2.0"):
        read_thresholds([("bee", 2)], ["bee"])
