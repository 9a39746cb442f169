"""Windows become minutes and recordings, and intervals hold what they say."""

import numpy as np
import pandas as pd
import pytest

from birdfast.evaluation.levels import by_level, intervals, level_table
from birdfast.evaluation.metrics import roc_auc


def rows_of(paths, starts):
    return pd.DataFrame({"path": paths, "start_time": starts, "end_time": np.array(starts) + 5.0})


def test_a_class_is_in_a_minute_if_it_is_in_one_of_its_windows():
    rows = rows_of(["b", "a", "b", "b"], [0.0, 5.0, 55.0, 60.0])
    truth = np.array([[1, 0], [0, 0], [0, np.nan], [0, 1]])
    scores = np.array([[0.2, 0.1], [0.3, 0.4], [0.9, 0.3], [0.1, 0.8]])
    found = by_level(truth, scores, rows)
    assert list(found) == ["window", "minute", "recording"]
    minute, probabilities, paths = found["minute"]
    np.testing.assert_array_equal(minute, [[1, np.nan], [0, 0], [0, 1]])
    np.testing.assert_array_equal(probabilities, [[0.9, 0.3], [0.3, 0.4], [0.1, 0.8]])
    assert paths.tolist() == ["b", "a", "b"]
    np.testing.assert_array_equal(found["recording"][0], [[1, 1], [0, 0]])
    np.testing.assert_array_equal(found["recording"][1], [[0.9, 0.8], [0.3, 0.4]])


def test_class_indices_are_of_recordings_already():
    rows = rows_of(["a", "b"], [0.0, 0.0])
    table = level_table(np.array([0, 1]), np.array([[0.9, 0.1], [0.4, 0.6]]), rows)
    assert table.index.tolist() == ["recording"] and table.loc["recording", "roc_auc"] == 1


def test_intervals_cover_the_truth_about_as_often_as_they_say():
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(40):
        truth = np.repeat(rng.random((40, 1)) < 0.5, 3, axis=0)  # three windows alike in each recording
        scores = truth + np.repeat(rng.normal(0, 1, (40, 1)), 3, axis=0)  # AUC of 0.760 in truth
        low, high = intervals(truth, 1 / (1 + np.exp(-scores)), np.repeat(np.arange(40), 3), draws=60)["roc_auc"]
        held += low <= 0.760 <= high
    assert held >= 33


def test_whole_recordings_are_drawn():
    rng = np.random.default_rng(1)
    truth = np.repeat(rng.random((20, 1)) < 0.5, 10, axis=0)
    scores = np.repeat(rng.random((20, 1)), 10, axis=0) * 0.5 + truth * 0.2
    together, apart = (intervals(truth, scores, g)["roc_auc"] for g in (np.repeat(np.arange(20), 10), np.arange(200)))
    assert together[1] - together[0] > 1.8 * (apart[1] - apart[0])
    assert together == intervals(truth, scores, np.repeat(np.arange(20), 10))["roc_auc"], "seeded"


def test_one_recording_and_none():
    truth, scores = np.array([[1.0], [0.0], [1.0]]), np.array([[0.9], [0.2], [0.1]])
    assert intervals(truth, scores, ["a"] * 3)["roc_auc"] == pytest.approx((roc_auc(truth, scores),) * 2)
    assert np.isnan(intervals(np.zeros((0, 1)), np.zeros((0, 1)), [])["roc_auc"]).all()
