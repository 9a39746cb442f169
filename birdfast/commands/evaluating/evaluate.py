"""A model or its scores on one side, the truth on the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from birdfast.commands.evaluating.evaluation import Evaluation
from birdfast.commands.evaluating.heard import heard_recordings, held_out, split_rows
from birdfast.commands.evaluating.truth import ANNOTATED, annotated_truth, read_truth, scores_against
from birdfast.commands.shared.models import find_predictor
from birdfast.errors import BirdfastError
from birdfast.evaluation.calibration import Calibration
from birdfast.evaluation.report import average_by
from birdfast.notes import note
from birdfast.prediction.ensemble import each_model
from birdfast.prediction.postprocess import PostProcess
from birdfast.prediction.predictor import Predictor
from birdfast.scoring.bundle import Bundle
from birdfast.sources.read import Source, read_source
from birdfast.splits.folds import split
from birdfast.studies.windows import Sides, window_scores

BATCH = 16  # windows a pass of the model


def evaluate(
    model: str | Path | Bundle | Predictor | Sequence[str | Path | Bundle],
    source: str | Path,
    *,
    truth: str | Path | None = None,
    fold: int | None = None,
    columns: Mapping[str, Any] | None = None,
    post: PostProcess | None = None,
    blend: str = "mean",
    weights: Sequence[float] | None = None,
    batch_size: int = BATCH,
    workers: int | None = None,
) -> Evaluation:
    """Score a model, or scores that were written before, against what is known.

    Parameters
    ----------
    model
        A bundle or its path, the folder of a run, or a csv: a submission, or the scores of `birdfast predict`. Several
        models are an ensemble, by `blend` and `weights` as of :class:`~birdfast.prediction.ensemble.Ensemble`, or that
        itself.
    source
        A solution.csv; a BirdCLEF folder, of which the test soundscapes are scored where it has a solution.csv, else
        its labelled soundscapes, without those that the model was trained on, by what its run or study wrote beside it,
        else by its recipe; Raven or Audacity labels, of which each window has the species of all annotations that reach
        into it, by 0.25 s or half of a shorter one; else recordings with labels, whose windows are averaged.
    truth
        A csv of soundscape labels, or a solution, for the soundscapes in `source`.
    fold
        Score the recordings of this fold alone, by the split of the model's recipe; of several, the first one's. What
        was scored says how many of them were trained on, by what the runs or studies wrote beside the models, else by
        their recipes.
    post
        As for :meth:`~birdfast.prediction.predictor.Predictor.predict`; nothing for a csv.

    Raises
    ------
    BirdfastError
        If there is nothing to score, or scores and truth do not go together.
    """
    models = each_model(model)
    if models and isinstance(models[0], (str, Path)) and Path(models[0]).suffix == ".csv":
        if post or len(models) > 1 or blend != "mean" or weights is not None:
            raise BirdfastError(
                f"{models[0]} holds scores: post-process and blend where they are made, in birdfast predict"
            )
        given = {"fold": fold is not None, "workers": workers is not None, "batch-size": batch_size != BATCH}
        if dropped := [f"--{name}" for name, there in given.items() if there]:
            raise BirdfastError(f"{models[0]} holds scores, no model: leave out {', '.join(dropped)}")
        what, sides = scores_against(Path(models[0]), Path(source), truth, columns=columns)
        return Evaluation(what, sides.targets, sides.probabilities, sides.classes, rows=sides.rows)
    predictor = find_predictor(models, batch_size=batch_size, workers=workers, blend=blend, weights=weights)
    known = read_truth(source, truth, columns=columns) if fold is None else None
    if known is not None and not known.complete:
        own = truth is None and Path(source).suffix != ".csv"
        known = held_out(known, models, predictor.engine, read_source(source) if own else None)
    if known is not None:
        what, sides = known.what, window_scores(predictor, known, post=post)
    else:
        what, sides = _score_source(predictor, models, read_source(source, **(columns or {})), fold, post)
    stored = predictor.extra.get("calibration")
    calibration = Calibration.from_dict(stored) if isinstance(stored, dict) else None
    counts = _counts(predictor.extra, sides.classes)
    return Evaluation(
        what, sides.targets, sides.probabilities, sides.classes, counts, calibration, sides.rows, predictor.recipe
    )


def _counts(extra: Mapping[str, Any], classes: list[str]) -> dict[str, int] | None:
    """Training recordings of the classes, where `birdfast train` put them into the bundle."""
    counts = extra.get("train_counts")
    return {name: int(counts.get(name, 0)) for name in classes} if isinstance(counts, dict) else None


def _score_source(
    predictor: Any, models: Sequence[Any], source: Source, fold: int | None, post: PostProcess | None
) -> tuple[str, Sides]:
    """What was scored, and the scores: of annotated recordings window by window, of others recording by recording."""
    what, recordings = _recordings(source, predictor, models, fold)
    if source.layout not in ANNOTATED:
        return what, _score_recordings(predictor, recordings, post)
    _check_known(recordings["primary_label"], predictor.classes)
    truth = annotated_truth(recordings, window=predictor.window, what=what)
    return truth.what, window_scores(predictor, truth, post=post)


def _check_known(labels: pd.Series, classes: list[str]) -> None:
    if not labels.isin(classes).any():
        raise BirdfastError(
            f"none of the labels ({', '.join(labels.unique()[:3])}, ...) is a class of the model "
            f"({', '.join(classes[:3])}, ...): it was trained on other data"
        )


def _recordings(source: Source, predictor: Any, models: Sequence[Any], fold: int | None) -> tuple[str, pd.DataFrame]:
    """The recordings to score, and what to call them."""
    recordings, rows = source.recordings, "annotations" if source.layout in ANNOTATED else "recordings"
    recipe = predictor.recipe
    if fold is None:
        what = f"all {len(recordings)} {rows} of {source.root or source.layout}"
        return f"{what}, including any the model was trained on (--fold K scores a held-out fold only)", recordings
    if not 0 <= fold < recipe.n_folds:
        raise BirdfastError(
            f"--fold must lie between 0 and {recipe.n_folds - 1}, the model's recipe has {recipe.n_folds}"
        )
    recordings = split_rows(recordings)
    mine = split(recordings, n_folds=recipe.n_folds, fold=fold, group=recipe.group, seed=recipe.seed)
    heard, sure = heard_recordings(recordings, models, predictor.engine, source.root)
    what = f"{mine.sum()} {rows} of fold {fold} of {source.root or source.layout}, {_whose(heard[mine], sure)}"
    return what, recordings[mine]


def _whose(heard: np.ndarray, sure: bool) -> str:
    """How far the model knows what it is scored on, of which it has `heard` some, bool (n,)."""
    if not heard.any():
        return "which the model held out" + ("" if sure else " if it was trained on these recordings and columns")
    of = "all" if heard.all() else f"{heard.sum()}"
    return f"on {of} of which the model was trained{'' if sure else ', by its recipe'}: the figures are too good"


def _score_recordings(predictor: Any, recordings: pd.DataFrame, post: PostProcess | None = None) -> Sides:
    """Class index ``(n,)`` and averaged probabilities ``(n, n_classes)`` of each recording that can be read.

    The rows name the window of each that the model was surest of.
    """
    index = {name: i for i, name in enumerate(predictor.classes)}
    _check_known(recordings["primary_label"], predictor.classes)
    known = recordings["primary_label"].isin(index)
    if not known.all():
        note(f"{(~known).sum()} of {len(known)} recordings have a label that the model does not know: left out")
    rows = recordings[known].reset_index(drop=True)
    whole = bool(rows[["start_time", "end_time"]].isna().all(axis=None))  # then full windows, as in validation
    paths, max_bad = rows["path"].unique().tolist(), predictor.recipe.max_bad
    windows = predictor.predict(paths, last="drop" if whole else "pad", post=post, max_bad=max_bad)
    row, column = _windows_of(rows, windows)
    if len(unscored := set(rows.index) - set(row)):
        note(f"{len(unscored)} of {len(rows)} recordings have no scores: left out")
    keys, averages = average_by(rows.index[row], windows.to_numpy()[column])
    surest = pd.Series(windows.to_numpy()[column].max(axis=1)).groupby(row, sort=False).idxmax()
    heard = windows.index[column[surest.to_numpy()]].to_frame(index=False)
    return Sides(rows["primary_label"].map(index).to_numpy()[keys], averages, predictor.classes, heard)


def _windows_of(rows: pd.DataFrame, windows: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Which windows belong to which row: those of the file that overlap its stretch by half of the shorter or more."""
    index = windows.index.to_frame(index=False).assign(column=np.arange(len(windows)))
    pairs = rows[["path", "start_time", "end_time"]].assign(row=np.arange(len(rows))).merge(index, on="path")
    start, end = pairs["start_time_x"].fillna(0), pairs["end_time_x"].fillna(np.inf)
    overlap = np.minimum(end, pairs["end_time_y"]) - np.maximum(start, pairs["start_time_y"])
    shorter = np.minimum(end - start, pairs["end_time_y"] - pairs["start_time_y"])
    kept = pairs[overlap >= shorter / 2 - 1e-6].sort_values(["row", "column"])
    return kept["row"].to_numpy(), kept["column"].to_numpy()
