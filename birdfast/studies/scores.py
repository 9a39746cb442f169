"""The scores of one training: held-out recordings, the rare third of the species, and soundscapes with a known truth."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import numpy as np
import pandas as pd

from birdfast.evaluation.metrics import PRESENT, accuracy, roc_auc
from birdfast.evaluation.report import INDEX, rare_third
from birdfast.files.scratch import scratch
from birdfast.files.text import read_csv
from birdfast.recipe.recipe import Recipe
from birdfast.sources.no_call import NO_CALL
from birdfast.sources.soundscapes import SOLUTION
from birdfast.sources.source import WINDOW, Source
from birdfast.studies.windows import Truth, window_scores


def score_learner(learn: Any) -> dict[str, float]:
    """`accuracy`, `roc_auc`, `rare_accuracy` (of `n_rare` recordings) and, where there is a truth, of soundscapes.

    The rare third are the classes with the fewest training recordings.
    """
    clips, classes = learn.dls.plan.clips, learn.classes
    trained = clips[~clips["is_valid"] & ~(clips["kind"] == WINDOW).to_numpy() & ~_is_silent(clips, learn)]
    rare = rare_third(trained["primary_label"].value_counts())
    targets, probabilities = _of_recordings(learn)
    columns = [classes.index(name) for name in rare]
    of_rare = np.isin(targets, columns) if targets.ndim == 1 else (targets[:, columns] >= PRESENT).any(axis=1)
    row = {
        "accuracy": accuracy(targets, probabilities),
        "roc_auc": roc_auc(targets, probabilities),
        "rare_accuracy": accuracy(targets[of_rare], probabilities[of_rare]) if of_rare.any() else np.nan,
        "n_rare": int(of_rare.sum()),
    }
    sides = soundscape_sides(learn)
    if sides is None:
        return row
    truth, scores = sides
    asked = list(truth.columns)
    columns = [asked.index(name) for name in rare if name in asked]
    known, found = truth.to_numpy(), scores.to_numpy()
    return row | {
        "soundscape_roc_auc": roc_auc(known, found),
        "rare_soundscape_roc_auc": roc_auc(known[:, columns], found[:, columns]) if columns else np.nan,
    }


def _of_recordings(learn: Any) -> tuple[np.ndarray, np.ndarray]:
    """Targets and probabilities of the held-out recordings, without windows of soundscapes that validate, too."""
    targets, probabilities = learn.recording_scores()
    items, bad = learn.dls.valid.items, learn.dls.plan.bad_files.clips()
    good = [key not in bad for key in zip(items["path"], items["start_time"], strict=True)]
    rows = items[good].drop_duplicates("recording")
    if targets.ndim == 1:  # recording_scores has left them out already
        rows = rows[~_is_silent(rows, learn)]
    heard = ~(rows["kind"] == WINDOW).to_numpy() & ~_is_silent(rows, learn)
    return targets[heard], probabilities[heard]


def _is_silent(clips: pd.DataFrame, learn: Any) -> np.ndarray:
    """Which rows of a clips table are of the class that stands for no call, bool (n,)."""
    return learn.recipe.no_call & (clips["primary_label"] == NO_CALL).to_numpy()


def soundscape_sides(learn: Any) -> tuple[pd.DataFrame, pd.DataFrame] | None:
    """Truth and probabilities of windows, a column a class: of the test soundscapes, else of labelled ones; or None.

    None, too, where the only ones that are labelled were trained on.
    """
    known = soundscape_truth(learn.dls.plan.source, learn.recipe)
    return known and {"test": _test, "labelled": _labelled}[known](learn, learn.dls.plan.source)


def soundscape_truth(source: Source, recipe: Recipe) -> Literal["test", "labelled"] | None:
    """Which soundscapes with a known truth score a training by `recipe`: test ones, else labelled ones it did not hear."""
    root, tested = source.root, source.test is not None and source.sample_submission is not None
    if tested and root is not None and (root / SOLUTION).is_file():
        return "test"
    heard = recipe.hears_soundscapes or recipe.no_call
    return "labelled" if source.soundscapes is not None and len(source.soundscapes) and not heard else None


def _test(learn: Any, source: Source) -> tuple[pd.DataFrame, pd.DataFrame]:
    from birdfast.prediction.predictor import Predictor

    assert source.test is not None and source.sample_submission is not None and source.root is not None
    with TemporaryDirectory(dir=scratch()) as folder:
        table = Predictor(learn).submission(
            source.test, source.sample_submission, out=Path(folder) / "submission.csv", progress=False
        )
    scores = table.set_index("row_id")
    truth = read_csv(source.root / SOLUTION, dtype={"row_id": str}).set_index("row_id")
    return truth.loc[scores.index, scores.columns], scores


def _labelled(learn: Any, source: Source) -> tuple[pd.DataFrame, pd.DataFrame]:
    from birdfast.prediction.predictor import Predictor

    assert source.soundscapes is not None
    truth = Truth("labelled soundscapes", source.soundscapes.set_index(INDEX), complete=False)
    sides = window_scores(Predictor(learn), truth, progress=False)
    return pd.DataFrame(sides.targets, columns=sides.classes), pd.DataFrame(sides.probabilities, columns=sides.classes)
