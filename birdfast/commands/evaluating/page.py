"""The page that `birdfast evaluate --out` writes: figures, tables, plots, and the worst errors to look at and hear."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from birdfast.audio.read import MP3_RATES, AudioError, read_clip
from birdfast.commands.evaluating.figures import Figures
from birdfast.commands.shared.shell import NAMES, REMARKS
from birdfast.evaluation import html
from birdfast.evaluation.levels import JUDGED
from birdfast.evaluation.report import worst_errors
from birdfast.files.writing import replacing

PAGE = "index.html"
CLASSES = 400  # rows of the table of classes on the page; the csv holds all
_SECONDS = 10.0  # of sound in a card, at most
PLOTS = {
    "reliability.png": "How often a class is present where the model gives it a probability",
    "worst_pairs.png": "What is taken for what",
    "confusion.png": "The classes that are confused most",
    "per_class.png": "Average precision by the number of training recordings",
}


def write_page(result: Figures, folder: Path) -> Path:
    """Write index.html beside the tables and plots, which it holds inside."""
    parts = [
        html.text("How good is this model?", tag="h1"),
        html.text(f"Scored {result.what}: {len(result.targets):,} rows, {len(result.classes):,} classes.", kind="soft"),
        html.tiles({NAMES.get(name, name): f"{value:.3f}" for name, value in result.summary.items()}),
        *(html.text(f"{NAMES[name]} lies {remark}.", kind="soft") for name, remark in REMARKS.items()),
        *_levels(result.levels),
        *_worst(result),
        html.text("Classes", tag="h2"),
        html.text(
            "The best first, then those without a row to rank. Decisions are at 0.5, or by the model's own thresholds."
        ),
        html.table(_sorted(result.per_class), bars=["ap", "f1", "f1_at_threshold"]),
        html.text("Confusions", tag="h2"),
        html.table(_pairs(folder), bars=["share"]),
        html.text("Plots", tag="h2"),
        *(
            html.picture((folder / n).read_bytes(), form="png", caption=c)
            for n, c in PLOTS.items()
            if (folder / n).exists()
        ),
    ]
    with replacing(folder / PAGE) as temporary:
        temporary.write_text(html.page("birdfast report", parts), encoding="utf-8")
    return folder / PAGE


def _levels(levels: pd.DataFrame | None) -> Iterator[str]:
    if levels is None:
        return
    shown = pd.DataFrame({"rows": levels["rows"]})
    for name in JUDGED:
        ends = zip(levels[name], levels[f"{name}_low"], levels[f"{name}_high"], strict=True)
        shown[NAMES[name]] = [f"{value:.3f} ({low:.3f} to {high:.3f})" for value, low, high in ends]
    yield html.text("By the window, the minute and the recording", tag="h2")
    yield html.text(
        "In brackets, where the figure would lie in 95 of 100 samples of as many recordings (bootstrap over recordings): "
        "two models whose brackets overlap much are not told apart by this data."
    )
    yield html.table(shown)


def _sorted(per_class: pd.DataFrame) -> pd.DataFrame:
    return per_class.sort_values("ap", ascending=False, na_position="last", kind="stable").head(CLASSES)


def _pairs(folder: Path) -> pd.DataFrame:
    pairs = pd.read_csv(folder / "worst_pairs.csv", dtype={"true": str, "predicted": str}, keep_default_na=False)
    return pairs.set_index("true").rename_axis("true class")


def _worst(result: Figures) -> Iterator[str]:
    """Cards of the worst errors; without sound for a submission, whose files nobody named."""
    errors = worst_errors(result.targets, result.probabilities, result.classes)
    words = {
        "false alarm": "Surest false alarms",
        "missed": "Calls that were missed",
    }
    for kind, group in errors.groupby("kind", sort=False):
        yield html.text(words[str(kind)], tag="h2")
        yield html.cards(_card(result, error) for error in group.itertuples())


def _card(result: Figures, error: Any) -> str:
    truth = ", ".join(map(str, error.truth)) or "no call"
    lines = [f"{error.label}, at {error.probability:.2f}", f"in truth: {truth}"]
    if result.rows is None:
        return html.card(lines)
    row = result.rows.iloc[error.row]
    start = 0.0 if np.isnan(row["start_time"]) else float(row["start_time"])
    lines.append(f"{Path(str(row['path'])).name}, from {start:g} s")
    rate = result.recipe.sample_rate if result.recipe else 32_000
    length = float(np.nan_to_num(row["end_time"] - start, nan=_SECONDS))
    try:
        sound = read_clip(row["path"], start_time=start, duration=min(length, _SECONDS), sample_rate=rate, pad="end")
    except AudioError:
        return html.card(lines)  # as for a submission: the row has no file of that name
    content, form = _player(sound, rate)
    return html.card(lines, image=_image(sound, rate), sound=content, sound_form=form)


def _player(sound: np.ndarray, rate: int) -> tuple[bytes, str]:
    """The sound as loud as can be, as mp3 where that knows the rate."""
    import soundfile

    form = ("MP3", "mpeg") if rate in MP3_RATES else ("WAV", "wav")
    file = io.BytesIO()
    soundfile.write(file, 0.9 * sound / max(float(np.abs(sound).max()), 1e-6), rate, format=form[0])
    return file.getvalue(), form[1]


def _image(sound: np.ndarray, rate: int) -> bytes:
    import matplotlib.pyplot as plt

    from birdfast.plots.sound import plot_sound

    figure, ax = plt.subplots(figsize=(4.2, 2.0), layout="constrained")
    plot_sound(sound, sample_rate=rate, ax=ax)
    file = io.BytesIO()
    figure.savefig(file, format="jpeg", dpi=110, pil_kwargs={"quality": 80})
    plt.close(figure)
    return file.getvalue()
