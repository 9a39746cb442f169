"""Labels become the targets and the weights asked for."""

import numpy as np
import pandas as pd
import pytest

from birdfast.errors import BirdfastError
from birdfast.sources.labels import check_labels, class_list, targets
from birdfast.splits.sampling import sampling_weights

INDEX = {"a": 0, "b": 1, "c": 2}


def recordings(*labels: str) -> pd.DataFrame:
    paths = [f"/{i}.wav" for i in range(len(labels))]
    return pd.DataFrame({"path": paths, "primary_label": list(labels), "secondary_labels": [("c", "x")] * len(labels)})


def test_class_list_is_sorted_text():
    assert class_list(["b", "a", "b", 25073]) == ["25073", "a", "b"]


@pytest.mark.parametrize(
    ("mode", "expected"), [("ignore", [1, 0, 0]), ("weight", [1, 0.5, 0]), ("mask", [1, np.nan, 0])]
)
def test_secondary_labels(mode, expected):
    row = targets("a", ("b", "a", "outside"), INDEX, n_classes=3, secondary_mode=mode)
    assert row.dtype == np.float32
    np.testing.assert_array_equal(row, np.float32(expected))


def test_no_call_has_no_target():
    assert targets(None, (), INDEX, n_classes=3).tolist() == [0, 0, 0]


def test_wrong_names_are_errors():
    with pytest.raises(BirdfastError, match="did you mean 'mask'"):
        targets("a", (), INDEX, n_classes=3, secondary_mode="masked")
    with pytest.raises(BirdfastError, match="unknown label 'd'"):
        targets("d", (), INDEX, n_classes=3)


def test_check_labels():
    check_labels(recordings("a", "b"), ["a", "b", "c"])
    with pytest.raises(
        BirdfastError, match=r"1 recordings bear a label outside.*/1.wav.*correct.*'robin1'.*did you mean 'robin'"
    ):
        check_labels(recordings("wren", "robin1"), ["wren", "robin"])
    with pytest.raises(BirdfastError, match="one class, 'a'.*correct the labels"):
        check_labels(recordings("a", "a"), ["a", "b"])
    with pytest.raises(BirdfastError, match="no recordings"):
        check_labels(recordings(), ["a", "b"])


@pytest.mark.parametrize("power", [0, 0.5, 1])
def test_sampling_weights(power):
    labels = ["common"] * 16 + ["rare"] * 4
    weights = sampling_weights(labels, power=power)
    assert weights.sum() == pytest.approx(1)
    assert weights[-1] / weights[0] == pytest.approx(4**power)


def test_sampling_weights_floor_and_cap():
    labels = pd.Series(["common"] * 100 + ["some"] * 10 + ["rare"])
    weights = sampling_weights(labels, power=1, floor=5, cap=20)
    assert weights[-1] / weights[0] == pytest.approx(20 / 5)
    assert weights[100] / weights[0] == pytest.approx(20 / 10)
