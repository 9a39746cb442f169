"""Windows to events."""

import numpy as np
import pandas as pd
import pytest

from birdfast.errors import BirdfastError
from birdfast.prediction.outputs.events import average_overlaps, find_events, merge


def table(values, starts, window=5.0, path="a.wav", classes=("ash", "bee")) -> pd.DataFrame:
    starts = np.asarray(starts, dtype=float)
    index = pd.MultiIndex.from_arrays(
        [[path] * len(starts), starts, starts + window], names=["path", "start_time", "end_time"]
    )
    return pd.DataFrame(np.asarray(values, dtype=np.float32), index=index, columns=list(classes))


def test_overlaps_are_averaged():
    scores = table([[0.2, 1], [0.4, 1], [0.9, 1]], [0, 2.5, 5])
    found = average_overlaps(scores, 2.5)
    assert found.index.get_level_values("start_time").tolist() == [0, 2.5, 5, 7.5]
    assert found.index.get_level_values("end_time").tolist() == [2.5, 5, 7.5, 10]
    np.testing.assert_allclose(found["ash"], [0.2, 0.3, 0.65, 0.9], atol=1e-6)
    np.testing.assert_allclose(found["bee"], 1, atol=1e-6)
    assert found["ash"].dtype == np.float32


def test_averages_are_those_of_a_plain_loop():
    rng = np.random.default_rng(0)
    starts = np.append(np.arange(40) * 0.7, 28.03)  # the last one shifted back
    scores = table(rng.random((41, 2)), starts, window=3.0)
    found = average_overlaps(scores, 0.7)
    assert found.index.is_unique and found.index.get_level_values("end_time").max() == starts[-1] + 3.0
    for (_, start, end), row in found.iterrows():
        middle = (start + end) / 2
        over = (starts <= middle) & (starts + 3.0 > middle)
        np.testing.assert_allclose(row, scores.to_numpy()[over].mean(axis=0), atol=1e-6)


def test_recordings_are_averaged_apart_and_gaps_stay():
    two = pd.concat([table([[0.1, 0]], [0]), table([[0.9, 0]], [0], path="b.wav")])
    assert average_overlaps(two, 5.0)["ash"].tolist() == pytest.approx([0.1, 0.9])
    apart = average_overlaps(table([[0.1, 0], [0.9, 0]], [0, 20]), 20)
    assert apart["ash"].tolist() == pytest.approx([0.9]), "the middle of the first stretch was not heard"
    with pytest.raises(BirdfastError, match="above 0"):
        average_overlaps(two, 0)


def test_windows_above_the_threshold_are_joined():
    scores = table([[0.6, 0.1], [0.9, 0.7], [0.2, 0.7], [0.8, 0.1]], [0, 5, 10, 15])
    found = find_events(scores, 0.5)
    assert found.to_numpy().tolist() == [
        ["a.wav", 0.0, 10.0, "ash", pytest.approx(0.9)],
        ["a.wav", 5.0, 15.0, "bee", pytest.approx(0.7)],
        ["a.wav", 15.0, 20.0, "ash", pytest.approx(0.8)],
    ]
    assert len(find_events(scores, 0.5, gap=5.0)) == 2
    assert len(find_events(scores, 0.5, gap=None)) == 5
    assert find_events(scores, np.array([0.85, 1.0]))["label"].tolist() == ["ash"]
    assert find_events(scores, 0.95).empty and list(find_events(scores, 0.95)) == list(found)


def test_top_k():
    scores = table([[0.6, 0.7], [0.3, 0.3]], [0, 5])
    assert find_events(scores, 0.0, top_k=1, gap=None)["label"].tolist() == ["bee", "ash"]
    assert len(find_events(scores, 0.0, top_k=9, gap=None)) == 4
    with pytest.raises(BirdfastError, match="top_k must be 1 or more"):
        find_events(scores, 0.0, top_k=0)


def test_joining_knows_recordings_and_long_events():
    rows = [("b", 0, 30, "x", 0.5), ("b", 5, 10, "x", 0.9), ("b", 29, 35, "x", 0.1), ("a", 35, 40, "x", 0.2)]
    events = pd.DataFrame(rows, columns=["path", "start_time", "end_time", "label", "probability"])
    assert merge(events).to_numpy().tolist() == [["b", 0, 35, "x", 0.9], ["a", 35, 40, "x", 0.2]]
    steps = table([[0.9, 0.1]] * 30, np.arange(30) * 0.1 + 0.3, window=0.1)
    assert len(find_events(steps, 0.5)) == 1, "0.1 + 0.2 is 0.3"
    with pytest.raises(BirdfastError, match="0 or more"):
        merge(events, gap=-1)
