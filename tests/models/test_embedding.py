"""The head of an embedder: windows to logits, and what is not there."""

import numpy as np
import pytest
import torch

from birdfast.errors import BirdfastError
from birdfast.models.embedding import JOINS, EmbeddingModel

NAN = float("nan")


def model(join="lse", **options):
    torch.manual_seed(0)
    head = EmbeddingModel(4, 3, join=join, **options)
    head.start_at(torch.randn(3, 4), torch.randn(3), scale=2.0)
    return head.eval()


@pytest.mark.parametrize("join", JOINS)
def test_windows_that_are_not_there_count_for_nothing(join):
    x = torch.randn(2, 5, 4)
    with_gaps = torch.cat([x, torch.full((2, 3, 4), NAN)], 1)
    torch.testing.assert_close(model(join)(with_gaps), model(join)(x))


@pytest.mark.parametrize("join", JOINS)
def test_of_nothing_at_all_there_are_numbers(join):
    assert model(join)(torch.full((2, 3, 4), NAN)).isfinite().all()


def test_the_start_is_the_rows_given_whatever_the_scale():
    torch.manual_seed(0)
    rows, bias, x = torch.randn(3, 4), torch.randn(3), torch.randn(2, 1, 4)
    head = EmbeddingModel(4, 3, hidden=8)
    head.start_at(rows, bias, scale=7.0)
    torch.testing.assert_close(head(x), x[:, 0] @ rows.T + bias)


def test_the_join_lies_between_mean_and_maximum():
    x = torch.randn(6, 5, 4)
    low, middle, high = (model(join)(x) for join in ("mean", "lse", "max"))
    assert (low < middle).all() and (middle < high).all()


def test_a_join_that_is_none_is_refused():
    with pytest.raises(BirdfastError, match="join"):
        EmbeddingModel(4, 3, join="best")


def test_a_waveform_has_a_channel():
    x = torch.randn(2, 1, 5, 4)
    np.testing.assert_allclose(model()(x).detach(), model()(x[:, 0]).detach())
