"""What people look at. Each function draws on the `ax` given, or on a new figure, and returns it; none shows it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from birdfast.errors import BirdfastError
from birdfast.evaluation.gains import COSTS, EQUAL, PAYS, SCORES, UNKNOWN
from birdfast.evaluation.report import class_support, confusion_counts
from birdfast.spectrogram.mel import hz_to_mel, mel_filterbank

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Where a frequency axis may be labelled, the most welcome first: octaves, then what lies between.
KHZ = [1, 2, 4, 8, 16, 0.5, 32, 64, 128, 0.25, 0.1, 3, 6, 12, 24, 48, 96, 1.5, 5, 7, 10, 20]
NAMED = 40  # classes up to which every bar carries its name


def _axes(ax: Axes | None, size: tuple[float, float]) -> Axes:
    if ax is not None:
        return ax
    import matplotlib.pyplot as plt

    axes: Axes = plt.subplots(figsize=size, layout="constrained")[1]
    return axes


def _bare(ax: Axes, grid: str | None = None) -> None:
    ax.spines[["top", "right"]].set_visible(False)
    if grid:
        ax.grid(axis=grid, color="0.9", linewidth=0.8)  # type: ignore[arg-type]
        ax.set_axisbelow(True)


def _whole_numbers(ax: Axes) -> None:
    from matplotlib.ticker import MaxNLocator

    ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))


# -- a spectrogram ---------------------------------------------------------------------------------------------------


def plot_spectrogram(
    spectrogram: ArrayLike,
    *,
    sample_rate: int,
    hop_length: int,
    fmin: float,
    fmax: float,
    mel_scale: str = "slaney",
    ax: Axes | None = None,
    title: str = "",
) -> Axes:
    """A mel spectrogram ``(n_mels, frames)`` over time in s and frequency in kHz, spaced as its mel bands are.

    `sample_rate`, `fmin` and `fmax` are in Hz, `hop_length` in samples; frames are centred on their time.
    """
    picture = np.asarray(spectrogram)
    if picture.ndim != 2 or not picture.size:
        raise BirdfastError(f"a spectrogram is (n_mels, frames), not {picture.shape}: take one item and one channel")
    ax = _axes(ax, (7, 3))
    n_mels, frames = picture.shape
    step = hop_length / sample_rate
    ax.imshow(
        picture,
        origin="lower",
        aspect="auto",
        interpolation="nearest",
        cmap="magma",
        extent=(-step / 2, (frames - 0.5) * step, -0.5, n_mels - 0.5),
    )
    ax.set_yticks(*_khz_ticks(n_mels, fmin, fmax, mel_scale))
    ax.set(xlabel="time (s)", ylabel="frequency (kHz)", title=title)
    return ax


def plot_sound(waveform: ArrayLike, *, sample_rate: int, ax: Axes | None = None, title: str = "") -> Axes:
    """The mel spectrogram of a waveform ``(time,)``, in dB down to 70 below the loudest, made without PyTorch."""
    sound, n_fft = np.asarray(waveform, dtype=np.float32), 1024
    hop = n_fft // 2
    padded = np.pad(sound, (hop, n_fft))
    frames = np.lib.stride_tricks.sliding_window_view(padded, n_fft)[: len(sound) + hop : hop]
    energy = np.abs(np.fft.rfft(frames * np.hanning(n_fft), axis=1)) ** 2
    band = {"sample_rate": sample_rate, "fmin": 50.0, "fmax": sample_rate / 2}
    mel = mel_filterbank(n_fft=n_fft, n_mels=96, **band) @ energy.T  # type: ignore[arg-type]
    decibels = 10 * np.log10(np.maximum(mel, max(float(mel.max()), 1e-10) * 1e-7))
    return plot_spectrogram(decibels, hop_length=hop, ax=ax, title=title, **band)  # type: ignore[arg-type]


def _khz_ticks(n_mels: int, fmin: float, fmax: float, mel_scale: str) -> tuple[list[float], list[str]]:
    """Places (in mel bands, 0 is the centre of the lowest) and labels in kHz, at least a twelfth of the axis apart."""
    kept: dict[float, float] = {}
    for khz in KHZ:
        if fmin <= 1000 * khz <= fmax:
            place = _mel_band(1000 * khz, n_mels, fmin, fmax, mel_scale)
            if all(abs(place - other) >= n_mels / 12 for other in kept.values()):
                kept[khz] = place
    if len(kept) < 2:
        kept = {hz / 1000: _mel_band(hz, n_mels, fmin, fmax, mel_scale) for hz in np.linspace(fmin, fmax, 5)}
    ticks = sorted(kept.items())
    return [place for _, place in ticks], [f"{khz:g}" for khz, _ in ticks]


def _mel_band(hz: float, n_mels: int, fmin: float, fmax: float, mel_scale: str) -> float:
    """The place of a frequency on the axis of bands, kept on the picture.

    Band i is centred on point i + 1 of n_mels + 2 points even in mel, from fmin to fmax.
    """
    low, high, mel = hz_to_mel([fmin, fmax, hz], mel_scale=mel_scale)
    return float(np.clip((mel - low) / (high - low) * (n_mels + 1) - 1, -0.5, n_mels - 0.5))


# -- a run -----------------------------------------------------------------------------------------------------------


def plot_history(history: pd.DataFrame, *, axes: Sequence[Axes] | None = None) -> Figure:
    """Losses (left, with the learning rate) and metrics (right) over the epochs, which are drawn as 1, 2, 3...

    `history` has the columns epoch (from 0, as fastai counts and history.csv has it), train_loss, valid_loss, lr if it was
    kept, and a column a metric; columns that are no numbers are left out.
    """
    if "epoch" not in history.columns:
        raise BirdfastError(f"a history has the column epoch, this one has {', '.join(map(str, history.columns))}")
    left, right = axes if axes is not None else _two_panels()
    losses = [name for name in ("train_loss", "valid_loss") if name in history.columns]
    _lines(left, history, losses)
    left.set(xlabel="epoch", ylabel="loss")
    if "lr" in history.columns:
        _learning_rate(left, history)
    metrics = [name for name in history.select_dtypes("number").columns if name not in {"epoch", "lr", *losses}]
    _lines(right, history, metrics)
    right.set(xlabel="epoch", ylabel="metric")
    if metrics and history[metrics].min().min() >= 0 and history[metrics].max().max() <= 1:
        right.set_ylim(0, 1.02)
    figure = left.get_figure(root=True)
    assert figure is not None
    return figure


def _two_panels() -> tuple[Axes, Axes]:
    import matplotlib.pyplot as plt

    axes = plt.subplots(1, 2, figsize=(10, 3.6), layout="constrained")[1]
    return axes[0], axes[1]


def _lines(ax: Axes, history: pd.DataFrame, names: Sequence[str]) -> None:
    for name in names:
        ax.plot(history["epoch"] + 1, history[name], marker="o", markersize=3, label=str(name).replace("_", " "))
    _whole_numbers(ax)
    _bare(ax, "y")
    if names:
        # Above the axes: lines may lie anywhere inside.
        ax.legend(frameon=False, ncols=3, loc="lower center", bbox_to_anchor=(0.5, 1.0), fontsize="small")


def _learning_rate(ax: Axes, history: pd.DataFrame) -> None:
    twin = ax.twinx()
    twin.plot(history["epoch"] + 1, history["lr"], color="0.7", linestyle=":", label="learning rate")
    twin.set_ylabel("learning rate", color="0.5")
    twin.tick_params(axis="y", colors="0.5")
    twin.ticklabel_format(axis="y", style="sci", scilimits=(-2, 3))
    twin.set_ylim(bottom=0)
    twin.spines["top"].set_visible(False)


# -- a data set ------------------------------------------------------------------------------------------------------


def plot_class_counts(counts: pd.Series, *, ax: Axes | None = None) -> Axes:
    """Recordings of each class, most first, on a logarithmic axis; classes without any are counted in the title."""
    some = counts[counts > 0].sort_values(ascending=False, kind="stable")
    if some.empty:
        raise BirdfastError("no class has a recording: there is nothing to draw")
    ax = _axes(ax, (9, 3.6))
    few = len(some) <= NAMED
    # Many bars touch, unsmoothed: gaps thinner than a pixel would draw a pattern of their own.
    bars = ax.bar(np.arange(len(some)), some.to_numpy(), width=0.85 if few else 1.0, color="tab:blue", antialiased=few)
    ax.set_yscale("log")
    ax.set_ylim(bottom=0.7)
    ax.set_xlim(-0.7, len(some) - 0.3)
    ax.yaxis.set_major_formatter("{x:g}")
    _bare(ax, "y")
    if few:
        _name_bars(ax, [str(name) for name in some.index])
        ax.bar_label(bars, [f"{count:g}" for count in some], padding=1, fontsize=8)
    ax.set_xlabel("class" if few else "classes, from the most to the least recorded")
    ax.set_ylabel("recordings")
    without = len(counts) - len(some)
    ending = f"; {without} more without any" if without else ""
    span = " to ".join(f"{count:g}" for count in dict.fromkeys([some.iloc[0], some.iloc[-1]]))
    ax.set_title(f"{len(some)} classes, {span} recordings each{ending}", fontsize=10)
    return ax


def _name_bars(ax: Axes, names: Sequence[str]) -> None:
    """Names below the bars, upright where they have the room."""
    pixels = 0.6 * 8 / 72 * ax.figure.dpi  # of a letter at 8 points, about
    room = ax.get_window_extent().width / len(names)
    fits = all(pixels * (len(name) + 1) < room for name in names)
    ax.set_xticks(np.arange(len(names)), names, rotation=0 if fits else 90, fontsize=8)


# -- a judgement -----------------------------------------------------------------------------------------------------


def plot_worst_pairs(table: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """The commonest confusions, as :func:`birdfast.evaluation.report.worst_pairs` lists them, most at the top."""
    ax = _axes(ax, (7, 0.7 + 0.3 * max(len(table), 5)))
    bars = ax.barh(np.arange(len(table)), table["count"].to_numpy(), color="tab:red", alpha=0.8)
    ax.bar_label(bars, [f"{share:.0%}" for share in table["share"]], padding=3, fontsize=8)
    ax.set_yticks(np.arange(len(table)), [f"{row.true} → {row.predicted}" for row in table.itertuples()])
    ax.invert_yaxis()
    ax.set_xlim(0, max(table["count"].max() * 1.12, 1) if len(table) else 1)
    ax.set(xlabel="rows confused (and their share of the true class)", ylabel="true → predicted")
    if table.empty:
        ax.text(0.5, 0.5, "no confusion", transform=ax.transAxes, ha="center", va="center")
    _whole_numbers(ax)
    _bare(ax, "x")
    return ax


def plot_confusion(
    targets: ArrayLike, probabilities: ArrayLike, classes: Sequence[str], *, n: int = 15, ax: Axes | None = None
) -> Axes:
    """The confusion matrix of the `n` classes that are confused most: share of each true class, counts written in.

    `targets` ``(n_rows,)`` or ``(n_rows, n_classes)``, `probabilities` ``(n_rows, n_classes)``. Shares are of all rows
    of the true class, as in :func:`~birdfast.evaluation.report.worst_pairs`: also those taken for a class that is not
    drawn and, with multi-hot targets, those whose top class is another one present.
    """
    counts = confusion_counts(targets, probabilities)
    matrix = np.zeros((len(classes), len(classes)), dtype=int)
    matrix[counts["true"], counts["predicted"]] = counts["count"]
    chosen = _most_confused(matrix, n)
    names = [str(classes[index]) for index in chosen]
    support = np.maximum(class_support(targets, len(classes))[chosen], 1)
    part = matrix[np.ix_(chosen, chosen)]
    ax = _axes(ax, (3.5 + 0.36 * len(chosen), 2.6 + 0.36 * len(chosen)))
    image = ax.imshow(part / support[:, None], cmap="Blues", vmin=0, vmax=1)
    _write_counts(ax, part, part / support[:, None])
    ax.set_xticks(np.arange(len(names)), names, rotation=90)
    ax.set_yticks(np.arange(len(names)), names)
    ax.set(xlabel="predicted class", ylabel="true class")
    most = "What each class is taken for" if len(names) == len(classes) else f"The {len(names)} classes confused most"
    ax.set_title(f"{most} (number of rows)", fontsize=10)
    ax.figure.colorbar(image, ax=ax, shrink=0.8, label="share of all rows of the true class")
    return ax


def _most_confused(matrix: NDArray[Any], n: int) -> list[int]:
    """The `n` classes with the most errors made and drawn (of equals, the most rows), in class order."""
    errors = matrix.sum(axis=0) + matrix.sum(axis=1) - 2 * matrix.diagonal()
    order = np.lexsort((-matrix.sum(axis=1), -errors))
    return sorted(int(index) for index in order[:n])


def _write_counts(ax: Axes, counts: NDArray[Any], shares: NDArray[Any]) -> None:
    for row, column in zip(*np.nonzero(counts), strict=True):
        color = "white" if shares[row, column] > 0.5 else "black"
        ax.text(column, row, str(counts[row, column]), ha="center", va="center", fontsize=8, color=color)


def plot_per_class(table: pd.DataFrame, *, ax: Axes | None = None, named: int = 5) -> Axes:
    """Average precision of each class against its training recordings; `named` classes that fall short, by name.

    `table` is :func:`birdfast.evaluation.report.per_class_table` with `train_counts`; classes without AP are left out.
    Named are those whose rank in AP lies furthest below their rank in recordings: look at their labels first.
    """
    if "train_recordings" not in table.columns:
        raise BirdfastError("the table lacks train_recordings: make it with per_class_table(..., train_counts=...)")
    scored = table.dropna(subset=["ap"])
    if scored.empty:
        raise BirdfastError("no class has an average precision: the truth holds no positive row")
    ax = _axes(ax, (9, 4))
    ax.scatter(scored["train_recordings"], scored["ap"], s=18, alpha=0.6, linewidths=0)
    _recordings_axis(ax, scored["train_recordings"])
    ax.set_ylim(-0.03, 1.03)
    shortfall = scored["train_recordings"].rank() - scored["ap"].rank()
    _name_points(ax, scored.loc[shortfall[shortfall > 0].nlargest(named).index])
    ax.set(xlabel="training recordings", ylabel="average precision")
    ax.set_title(f"{len(scored)} classes, mean {scored['ap'].mean():.3f}", fontsize=10)
    _bare(ax, "both")
    return ax


def _recordings_axis(ax: Axes, recordings: pd.Series) -> None:
    """Logarithmic, but linear between 0 and 1 if a class has no recording, so that it has a place."""
    from matplotlib.ticker import LogFormatter

    some = recordings.min() > 0
    if some:
        ax.set_xscale("log")
        ax.xaxis.set_minor_formatter(LogFormatter())  # 3, not 3 x 10^0
    else:
        ax.set_xscale("symlog", linthresh=1)
    ax.set_xlim(0.8 * recordings.min() if some else -0.1, max(1.3 * recordings.max(), 10))
    ax.xaxis.set_major_formatter("{x:g}")


def _name_points(ax: Axes, rows: pd.DataFrame) -> None:
    """Numbers at the points and names in a legend beside the axes: names in the cloud would hide each other."""
    for number, (name, row) in enumerate(rows.iterrows(), start=1):
        place = row["train_recordings"], row["ap"]
        ax.scatter(*place, s=26, color="tab:red", label=f"{number}  {name}")
        ax.annotate(str(number), place, (4, 3), textcoords="offset points", fontsize=8, color="tab:red")
    if len(rows):
        ax.legend(
            title="low score although many\nrecordings: check labels",
            loc="upper left",
            bbox_to_anchor=(1.0, 1.0),
            frameon=False,
        )


# -- confidence ------------------------------------------------------------------------------------------------------


def plot_reliability(tables: Mapping[str, pd.DataFrame], *, ax: Axes | None = None) -> Axes:
    """How often it was so when the model said how sure it was, a line for each of the `tables` of
    :func:`~birdfast.evaluation.calibration.reliability`; on the diagonal, probabilities mean what they say."""
    ax = _axes(ax, (4.5, 4.5))
    ax.plot([0, 1], [0, 1], color="0.7", linewidth=1, linestyle="--")
    for name, table in tables.items():
        ax.plot(table["confidence"], table["observed"], marker="o", markersize=4, label=name)
    ax.set(xlim=(0, 1), ylim=(0, 1), xlabel="probability given", ylabel="share that was so", aspect="equal")
    ax.legend(frameon=False, loc="upper left")
    _bare(ax, grid="both")
    return ax


# -- a ladder --------------------------------------------------------------------------------------------------------

VERDICT_COLORS = {PAYS: "tab:green", COSTS: "tab:red", EQUAL: "0.45", UNKNOWN: "tab:blue"}


def plot_ladder(table: pd.DataFrame, *, axes: Sequence[Axes] | None = None) -> Figure:
    """Score of each rung (left, with its spread over seeds) and its gain (right, with twice its standard error).

    `table` is :func:`birdfast.evaluation.gains.ladder_table`, drawn from the first rung at the top.
    """
    if table.empty:
        raise BirdfastError("the ladder has no rung: there is nothing to draw")
    left, right = axes if axes is not None else _two_tall_panels(len(table))
    places = np.arange(len(table))
    left.errorbar(table["score"], places, xerr=table["spread"], fmt="o", color="tab:blue", markersize=5, capsize=3)
    left.set_yticks(places, [str(name) for name in table.index])
    left.invert_yaxis()
    left.set_xlabel(f"{SCORES.get(table.attrs.get('score', ''), 'score')}, ± its spread over seeds")
    _gains(right, table.reset_index(drop=True))
    for ax in (left, right):
        _bare(ax, "x")
    figure = left.get_figure(root=True)
    assert figure is not None
    return figure


def _two_tall_panels(n: int) -> tuple[Axes, Axes]:
    import matplotlib.pyplot as plt

    axes = plt.subplots(1, 2, figsize=(10, 1.4 + 0.32 * n), layout="constrained", sharey=True)[1]
    return axes[0], axes[1]


def _gains(ax: Axes, table: pd.DataFrame) -> None:
    ax.axvline(0, color="0.7", linewidth=1)
    for verdict, rows in table[table["gain"].notna()].groupby("verdict", sort=False):
        error = (2 * rows["error"]).fillna(0.0)
        ax.errorbar(
            rows["gain"], rows.index, xerr=error, fmt="o", color=VERDICT_COLORS[str(verdict)], markersize=5, capsize=3,
            label=str(verdict),
        )  # fmt: skip
    ax.tick_params(axis="y", left=False)
    ax.set_xlabel("gain, ± twice its standard error")
    if table["gain"].notna().any():
        ax.legend(frameon=False, ncols=4, loc="lower center", bbox_to_anchor=(0.5, 1.0), fontsize="small")
