"""Weights of models: better than equal ones where there is something to gain, equal where there is not."""

import numpy as np
import pytest

from birdfast.errors import BirdfastError
from birdfast.evaluation.blending import blend_weights
from birdfast.evaluation.metrics import cmap, roc_auc


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def mean(weights, tables):
    return np.tensordot(weights, np.stack(tables), axes=1)


def noisy(truth, rng, *levels):
    return [truth + rng.normal(0, level, truth.shape) for level in levels]


@pytest.mark.parametrize("metric", [roc_auc, cmap])
def test_the_better_model_counts_more(rng, metric):
    truth = (rng.random((400, 3)) < 0.3).astype(float)
    tables = noisy(truth, rng, 0.5, 2.0, 50.0)
    weights = blend_weights(truth, tables, metric)
    assert weights.min() >= 0 and weights.sum() == pytest.approx(1)
    assert weights[0] > weights[1] and weights[2] < 0.05, "noise gets nothing"
    assert metric(truth, mean(weights, tables)) > metric(truth, mean(np.full(3, 1 / 3), tables)) + 0.1
    assert metric(truth, mean(weights, tables)) >= max(metric(truth, table) for table in tables)


def test_no_gain_leaves_them_equal(rng):
    truth = rng.integers(0, 4, 100)
    table = rng.random((100, 4))
    np.testing.assert_allclose(blend_weights(truth, [table, table, table]), 1 / 3)
    np.testing.assert_array_equal(blend_weights(truth, [table]), [1])


def test_what_does_not_go_together(rng):
    with pytest.raises(BirdfastError, match="none was given"):
        blend_weights(np.zeros(3, int), [])
    with pytest.raises(BirdfastError, match="do not go with"):
        blend_weights(np.zeros(3, int), [rng.random((3, 2)), rng.random((4, 2))])
