"""The pictures say what they should: labels and units, as many marks as data, kHz ticks where the mel bands are."""

from __future__ import annotations

import subprocess
import sys

import matplotlib
import numpy as np
import pandas as pd
import pytest

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from birdfast.errors import BirdfastError
from birdfast.evaluation.calibration import reliability
from birdfast.evaluation.report import per_class_table, worst_pairs
from birdfast.plots.judgement import plot_confusion, plot_per_class, plot_reliability, plot_worst_pairs
from birdfast.plots.run import plot_class_counts, plot_history
from birdfast.plots.sound import plot_spectrogram

NAMES = [f"species{i:03d}" for i in range(206)]


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


@pytest.fixture
def scored():
    """Truth and scores of 206 classes, the even ones often taken for their odd neighbour."""
    rng = np.random.default_rng(0)
    targets = rng.integers(0, 200, 1500)
    taken = np.where((targets % 2 == 0) & (rng.random(1500) < 0.6), targets + 1, targets)
    probabilities = rng.random((1500, 206)) * 0.4
    probabilities[np.arange(1500), taken] += 0.5
    return targets, probabilities


def spectrogram_axes(n_mels=128, frames=313, **changes):
    knobs = {"sample_rate": 32_000, "hop_length": 512, "fmin": 20, "fmax": 16_000} | changes
    return plot_spectrogram(np.random.default_rng(0).random((n_mels, frames)), **knobs)


@pytest.mark.parametrize("mel_scale", ["slaney", "htk"])
@pytest.mark.parametrize(("n_mels", "fmin", "fmax"), [(128, 20, 16_000), (64, 500, 15_000), (256, 0, 24_000)])
def test_each_khz_tick_stands_at_its_mel_band(mel_scale, n_mels, fmin, fmax):
    librosa = pytest.importorskip("librosa")
    ax = spectrogram_axes(n_mels, mel_scale=mel_scale, fmin=fmin, fmax=fmax)
    centres = librosa.mel_frequencies(n_mels + 2, fmin=fmin, fmax=fmax, htk=mel_scale == "htk")[1:-1]
    labels = [float(label.get_text()) for label in ax.get_yticklabels()]
    assert len(labels) >= 5 and labels == sorted(labels)
    assert {1, 2, 4, 8} <= set(labels)
    for khz, place in zip(labels, ax.get_yticks(), strict=True):
        if centres[0] <= 1000 * khz <= centres[-1]:
            below = int(place)
            assert centres[below] - 1e-6 <= 1000 * khz <= centres[min(below + 1, n_mels - 1)] + 1e-6
    assert (np.diff(ax.get_yticks()) >= n_mels / 12).all()


def test_a_tone_is_drawn_at_its_tick():
    librosa = pytest.importorskip("librosa")
    tone = np.sin(2 * np.pi * 4000 * np.arange(32_000) / 32_000)
    mel = librosa.feature.melspectrogram(y=tone, sr=32_000, n_mels=128, hop_length=512, fmin=20, fmax=16_000)
    ax = plot_spectrogram(mel, sample_rate=32_000, hop_length=512, fmin=20, fmax=16_000)
    ticks = {label.get_text(): place for place, label in zip(ax.get_yticks(), ax.get_yticklabels(), strict=True)}
    assert mel.mean(axis=1).argmax() == pytest.approx(ticks["4"], abs=1)


def test_spectrogram_axes_have_units_and_the_time_of_the_frames():
    ax = spectrogram_axes()
    assert (ax.get_xlabel(), ax.get_ylabel(), ax.get_title()) == ("time (s)", "frequency (kHz)", "")
    left, right, bottom, top = ax.images[0].get_extent()
    assert (left, right) == (pytest.approx(-0.008), pytest.approx(312.5 * 512 / 32_000))
    assert (bottom, top) == (-0.5, 127.5)
    assert ax.images[0].origin == "lower"


def test_a_narrow_band_has_ticks_too():
    ax = spectrogram_axes(fmin=5100, fmax=5800)
    labels = [float(label.get_text()) for label in ax.get_yticklabels()]
    assert len(labels) == 5 and labels[0] == 5.1 and labels[-1] == 5.8


def test_draws_on_the_given_axes_and_makes_no_other_figure():
    ax = plt.figure().add_subplot()
    assert spectrogram_axes(ax=ax, title="wren") is ax
    assert ax.get_title() == "wren" and len(plt.get_fignums()) == 1


def test_a_batch_is_no_spectrogram():
    with pytest.raises(BirdfastError, match=r"\(1, 8, 9\)"):
        plot_spectrogram(np.zeros((1, 8, 9)), sample_rate=1, hop_length=1, fmin=0, fmax=1)


def history(epochs=4):
    epoch = np.arange(epochs)
    columns = {"train_loss": 3.0 - epoch / 2, "valid_loss": 3.1 - epoch / 3, "accuracy": epoch / 10}
    return pd.DataFrame({"epoch": epoch, **columns, "cmap": epoch / 9, "lr": 1e-3, "time": "00:12"})


def test_history_has_losses_left_and_metrics_right():
    figure = plot_history(history())
    left, right, twin = figure.axes
    assert (left.get_xlabel(), left.get_ylabel()) == ("epoch", "loss")
    assert (right.get_xlabel(), right.get_ylabel(), right.get_ylim()) == ("epoch", "metric", (0, 1.02))
    assert [line.get_label() for line in left.lines] == ["train loss", "valid loss"]
    assert [line.get_label() for line in right.lines] == ["accuracy", "cmap"]
    assert left.lines[1].get_ydata().tolist() == history()["valid_loss"].tolist()
    for line in (left.lines[0], right.lines[0], twin.lines[0]):
        assert line.get_xdata().tolist() == [1, 2, 3, 4]
    assert twin.get_ylabel() == "learning rate" and twin.lines[0].get_ydata().tolist() == [1e-3] * 4


def test_history_of_one_epoch_and_without_lr_on_given_axes():
    axes = plt.figure().subplots(1, 2)
    figure = plot_history(history(1).drop(columns="lr"), axes=axes)
    figure.canvas.draw()
    assert figure is axes[0].figure and len(figure.axes) == 2
    assert all(tick == int(tick) for tick in axes[0].get_xticks())
    with pytest.raises(BirdfastError, match="column epoch, this one has loss"):
        plot_history(pd.DataFrame({"loss": [1]}))


@pytest.mark.parametrize(("n_classes", "named"), [(206, False), (20, True)])
def test_class_counts_are_sorted_on_a_log_axis(n_classes, named):
    counts = pd.Series(np.random.default_rng(0).integers(1, 500, n_classes), index=NAMES[:n_classes])
    counts.iloc[3] = 0
    ax = plot_class_counts(counts)
    heights = [bar.get_height() for bar in ax.patches]
    assert heights == sorted(counts[counts > 0], reverse=True)
    assert ax.get_yscale() == "log" and ax.get_ylabel() == "recordings" and ax.get_xlabel().startswith("class")
    assert "1 more without any" in ax.get_title()
    labels = [label.get_text() for label in ax.get_xticklabels()]
    assert (labels == list(counts[counts > 0].sort_values(ascending=False, kind="stable").index)) == named
    with pytest.raises(BirdfastError, match="no class has a recording"):
        plot_class_counts(counts * 0)


def test_a_few_classes_are_named_upright_and_counted():
    counts = pd.Series(
        [40, 22, 9, 9, 9], index=["Turdus merula", "Parus major", "wren", "robin", "Carduelis carduelis"]
    )
    ax = plot_class_counts(counts)
    assert {label.get_rotation() for label in ax.get_xticklabels()} == {0}
    assert [text.get_text() for text in ax.texts] == ["40", "22", "9", "9", "9"]
    assert ax.get_title() == "5 classes, 40 to 9 recordings each"
    ax = plot_class_counts(pd.Series(24, index=[f"{i:03d} - Fire crackling" for i in range(10)]))
    assert {label.get_rotation() for label in ax.get_xticklabels()} == {90}
    assert ax.get_title() == "10 classes, 24 recordings each"


def test_worst_pairs_name_both_classes(scored):
    table = worst_pairs(*scored, NAMES)
    ax = plot_worst_pairs(table)
    assert [bar.get_width() for bar in ax.patches] == table["count"].tolist()
    assert ax.get_yticklabels()[0].get_text() == f"{table['true'][0]} → {table['predicted'][0]}"
    assert ax.texts[0].get_text() == f"{table['share'][0]:.0%}"
    assert ax.get_xlabel().startswith("rows confused") and ax.get_ylabel() == "true → predicted"
    assert ax.yaxis_inverted()


def test_no_confusion_says_so():
    ax = plot_worst_pairs(worst_pairs([0, 1], np.eye(2), NAMES[:2]))
    assert [text.get_text() for text in ax.texts] == ["no confusion"] and not ax.patches


def test_confusion_shows_the_most_confused_classes_with_shares_of_all_their_rows():
    targets = np.array([0, 0, 0, 0, 1, 2, 3, 3])
    tops = np.array([0, 1, 1, 2, 1, 2, 3, 3])
    ax = plot_confusion(targets, np.eye(4)[tops], ["ash", "bee", "cow", "doe"], n=2)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["ash", "bee"]
    np.testing.assert_allclose(ax.images[0].get_array(), [[0.25, 0.5], [0, 1]])
    assert sorted(text.get_text() for text in ax.texts) == ["1", "1", "2"]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("predicted class", "true class")
    assert ax.figure.axes[1].get_ylabel() == "share of all rows of the true class"
    assert ax.get_title() == "The 2 classes confused most (number of rows)"
    assert plot_confusion(targets, np.eye(4)[tops], list("abcd")).get_title().startswith("What each class")


def test_confusion_and_worst_pairs_tell_the_same_shares():
    truth = np.array([[1, 1, 0], [1, 1, 0], [1, 0, 0], [1, 0, 0], [0, 0, 1]])
    tops = np.eye(3)[[1, 1, 2, 0, 2]]  # class a is in four rows; in two of them the b beside it is on top
    pairs = worst_pairs(truth, tops, list("abc"))
    assert pairs.loc[0, ["true", "predicted", "share"]].tolist() == ["a", "c", 0.25]
    shares = plot_confusion(truth, tops, list("abc")).images[0].get_array()
    np.testing.assert_allclose(shares, [[0.25, 0, 0.25], [0, 1, 0], [0, 0, 1]])


def test_confusion_of_many_classes_keeps_to_n(scored):
    assert plot_confusion(*scored, NAMES).images[0].get_array().shape == (15, 15)
    multi_hot = np.eye(206)[scored[0]]
    assert plot_confusion(multi_hot, scored[1], NAMES, n=9).images[0].get_array().shape == (9, 9)


@pytest.mark.parametrize(("fewest", "scale"), [(1, "log"), (0, "symlog")])
def test_per_class_draws_each_scored_class(scored, fewest, scale):
    counts = pd.Series(np.arange(206) + fewest, index=NAMES)
    table = per_class_table(*scored, NAMES, train_counts=counts)
    ax = plot_per_class(table)
    points = ax.collections[0].get_offsets()
    known = table.dropna(subset=["ap"])
    np.testing.assert_allclose(points, known[["train_recordings", "ap"]])
    assert ax.get_xscale() == scale
    low, high = ax.get_xlim()
    assert low < points[:, 0].min() and points[:, 0].max() < high
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("training recordings", "average precision")
    assert len(ax.texts) == 5 and len(ax.get_legend().get_texts()) == 5
    assert ax.get_legend().get_title().get_text().startswith("low score although many")


def test_per_class_names_the_one_that_falls_short():
    table = pd.DataFrame({"ap": [0.1, 0.2, 0.3, 0.05, np.nan], "train_recordings": [5, 10, 20, 90, 7]}, list("abcde"))
    ax = plot_per_class(table, named=1)
    assert ax.get_legend().get_texts()[0].get_text() == "1  d"
    with pytest.raises(BirdfastError, match="train_counts"):
        plot_per_class(table[["ap"]])
    with pytest.raises(BirdfastError, match="no positive row"):
        plot_per_class(table.tail(1))


def test_importing_plots_loads_neither_matplotlib_nor_torch():
    rooms = "birdfast.plots.judgement, birdfast.plots.ladder, birdfast.plots.run, birdfast.plots.sound"
    code = f"import sys, {rooms}; print([m for m in ('matplotlib', 'torch', 'fastai') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_reliability_has_a_line_for_each_table():
    rng = np.random.default_rng(0)
    scores = rng.random((500, 3))
    truth = (rng.random((500, 3)) < scores).astype(float)
    tables = {"as given": reliability(truth, scores), "calibrated": reliability(truth, scores**2)}
    ax = plot_reliability(tables)
    given = ax.get_lines()[1]
    assert len(given.get_xdata()) == 10
    np.testing.assert_allclose(given.get_ydata(), given.get_xdata(), atol=0.15)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == list(tables)
    assert ax.get_xlabel() == "probability given" and ax.get_ylabel() == "share that was so"


def test_a_ladder_is_drawn_by_verdict():
    from birdfast.plots.ladder import plot_ladder

    table = pd.DataFrame(
        {
            "score": [0.6, 0.7, 0.65], "spread": [0.01, 0.02, np.nan], "gain": [np.nan, 0.1, -0.05],
            "error": [np.nan, 0.01, np.nan], "verdict": ["", "pays", "one seed"],
        },
        index=pd.Index(["baseline", "improved", "small"], name="rung"),
    )  # fmt: skip
    table.attrs["score"] = "accuracy"
    left, right = plot_ladder(table).axes
    assert [label.get_text() for label in left.get_yticklabels()] == ["baseline", "improved", "small"]
    assert left.get_xlabel().startswith("accuracy")
    assert {text.get_text() for text in right.get_legend().get_texts()} == {"pays", "one seed"}
    points = {line.get_xdata()[0]: line.get_ydata()[0] for line in right.lines if line.get_marker() == "o"}
    assert points == {0.1: 1, -0.05: 2}
    with pytest.raises(BirdfastError, match="no rung"):
        plot_ladder(table.iloc[:0])
