"""Gains over paired seeds: known differences give known verdicts."""

import numpy as np
import pandas as pd
import pytest

from birdfast.errors import BirdfastError
from birdfast.evaluation.gains import (
    COSTS,
    EQUAL,
    PAYS,
    UNKNOWN,
    ladder_markdown,
    ladder_table,
    main_score,
    paired_gain,
)

BETTER, MIXED = np.array([0.02, 0.03, 0.04]), np.array([0.02, -0.03, 0.04])


def rows(**scores):
    """A row a rung and seed: the scores by rung."""
    found = [
        {
            "rung": rung, "adds": f"what {rung} adds", "over": "", "removes": False, "seed": seed, "accuracy": score,
            "roc_auc": score, "seconds_per_epoch": 2.0,
        }
        for rung, values in scores.items() for seed, score in enumerate(values)
    ]  # fmt: skip
    return pd.DataFrame(found)


def test_a_gain_is_of_pairs_not_of_means():
    before = pd.Series([0.1, 0.5, 0.9])
    gain = paired_gain(before + BETTER, before)
    assert gain.mean == pytest.approx(0.03) and gain.n == 3
    assert gain.error == pytest.approx(0.01 / np.sqrt(3))
    assert gain.verdict == PAYS
    assert paired_gain(before, before + BETTER).verdict == COSTS
    assert paired_gain(before, before + MIXED).verdict == EQUAL


def test_seeds_that_only_one_side_has_are_left_out():
    gain = paired_gain(pd.Series([0.3, 0.9], index=[0, 7]), pd.Series([0.2], index=[0]))
    assert gain.n == 1 and gain.mean == pytest.approx(0.1) and gain.verdict == UNKNOWN
    nothing = paired_gain(pd.Series([0.3], index=[1]), pd.Series([0.2], index=[0]))
    assert nothing.n == 0 and np.isnan(nothing.mean) and nothing.verdict == ""


def test_equal_scores_make_no_difference():
    same = pd.Series([0.4, 0.5])
    assert paired_gain(same, same).verdict == EQUAL


def test_a_rung_is_compared_with_the_one_named():
    table = ladder_table(rows(a=[0.1, 0.2], b=[0.3, 0.4], c=[0.2, 0.3]), {"b": "a", "c": "a"})
    assert list(table.index) == ["a", "b", "c"]
    assert table["gain"].tolist()[1:] == pytest.approx([0.2, 0.1]) and np.isnan(table["gain"].iloc[0])
    assert table["score"].tolist() == pytest.approx([0.15, 0.35, 0.25])
    assert table["verdict"].tolist() == ["", PAYS, PAYS]


def test_what_is_taken_away_was_worth_what_is_lost():
    measured = rows(whole=[0.5, 0.6], rest=[0.4, 0.5])
    measured.loc[measured["rung"] == "rest", ["over", "removes"]] = ["whole", True]
    table = ladder_table(measured)
    assert table.loc["rest", "gain"] == pytest.approx(0.1)
    assert table.loc["rest", "verdict"] == PAYS
    assert "without what rest adds" in ladder_markdown(table)


def test_the_first_score_that_all_rows_have_decides():
    measured = rows(a=[0.1, 0.2])
    assert main_score(measured) == "roc_auc"
    assert main_score(measured.assign(soundscape_roc_auc=[0.5, np.nan])) == "roc_auc"
    assert main_score(measured.assign(soundscape_roc_auc=0.5)) == "soundscape_roc_auc"
    assert main_score(measured, "accuracy") == "accuracy"
    with pytest.raises(BirdfastError, match="accuracy"):
        main_score(measured, "acuracy")


def test_a_table_made_from_the_csv_is_the_same(tmp_path):
    measured = rows(a=[0.1, 0.2], b=[0.3, 0.4])
    measured.loc[measured["rung"] == "b", "over"] = "a"
    measured.to_csv(tmp_path / "rows.csv", index=False)
    text = ladder_markdown(ladder_table(pd.read_csv(tmp_path / "rows.csv")))
    assert text == ladder_markdown(ladder_table(measured))
    assert "+0.200 ± 0.000 over a" in text and "0.350 ± 0.071 (2)" in text
