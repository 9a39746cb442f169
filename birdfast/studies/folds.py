"""Every fold in one call: a run a fold, the predictions about what each has not heard, one ensemble."""

from __future__ import annotations

import gc
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from birdfast.errors import BirdfastError
from birdfast.evaluation import metrics
from birdfast.evaluation.blending import blend_weights
from birdfast.notes import loading, note
from birdfast.prediction.ensemble import Ensemble
from birdfast.recipe.auto import AUTO
from birdfast.recipe.presets import get_recipe
from birdfast.recipe.recipe import Recipe
from birdfast.sources.no_call import NO_CALL
from birdfast.sources.read import read_source
from birdfast.sources.source import Source
from birdfast.splits.auto import recipe_for
from birdfast.splits.folds import ALWAYS_TRAIN, assign_folds
from birdfast.splits.run_files import BUNDLE
from birdfast.studies.deal import deal_soundscapes, dealt_sides, new_bad_files, training_rows
from birdfast.studies.key import begin, digest, write_table

PREDICTIONS, TRUTH, SCORES = "predictions.parquet", "truth.parquet", "scores.json"
_KEYS = ["fold", "recording"]


@dataclass(frozen=True)
class Folds:
    """The folds of a study that are trained.

    Attributes
    ----------
    out
        The folder: ``fold<k>/`` is a run each, ``predictions.parquet``, ``truth.parquet`` and ``scores.json`` are of all.
    recipe, classes
        Of every fold.
    folds
        Their numbers.
    """

    out: Path
    recipe: Recipe
    classes: list[str]
    folds: list[int]

    @property
    def bundles(self) -> list[Path]:
        """The bundle of each fold."""
        return [self.out / f"fold{fold}" / BUNDLE for fold in self.folds]

    @cached_property
    def predictions(self) -> pd.DataFrame:
        """Probabilities by the model that has not heard it, of every validation window.

        Columns `path, start_time, end_time` (s), `fold`, `recording` (with `fold` the key of :attr:`truth`), then a column
        a class.
        """
        return self._read(PREDICTIONS)

    @cached_property
    def truth(self) -> pd.DataFrame:
        """The targets of each validation recording or labelled window: `path`, `fold`, `recording`, a column a class.

        Where clips have one label, a column `target` in place of the classes.
        """
        return self._read(TRUTH)

    def _read(self, name: str) -> pd.DataFrame:
        return pd.concat([pd.read_parquet(self.out / f"fold{k}" / name) for k in self.folds], ignore_index=True)

    @cached_property
    def recordings(self) -> pd.DataFrame:
        """What each row of :meth:`arrays` is of: `fold`, `recording`, `path`, `start_time` (s).

        Sorted by path and start, so that studies of the same recordings agree in it whatever their seeds.
        """
        first = self.predictions.groupby(_KEYS, sort=False).agg(
            path=("path", "first"), start_time=("start_time", "min")
        )
        return first.reset_index().sort_values(["path", "start_time", "recording"], ignore_index=True)

    def arrays(self) -> tuple[np.ndarray, np.ndarray]:
        """Targets and probabilities ``(n, n_classes)``, a row a recording of all folds, its windows averaged.

        Rows stand in the order of :attr:`recordings`.
        """
        rows = pd.MultiIndex.from_frame(self.recordings[_KEYS])
        means = self.predictions.groupby(_KEYS, sort=False)[self.classes].mean().loc[rows]
        truth = self.truth.set_index(_KEYS).loc[rows]
        if "target" in truth:
            return np.array([self.classes.index(name) for name in truth["target"]]), means.to_numpy()
        return truth[self.classes].to_numpy(), means.to_numpy()

    def blend_weights(self, *others: Folds, metric: Callable[[Any, Any], float] = metrics.roc_auc) -> np.ndarray:
        """What this study and each of `others` should count, by :func:`~birdfast.evaluation.blending.blend_weights`.

        Raises
        ------
        BirdfastError
            If a study knows other classes or has held out other recordings.
        """
        for other in others:
            _check_alike(self, other)
        return blend_weights(self.arrays()[0], [study.arrays()[1] for study in (self, *others)], metric)

    @cached_property
    def scores(self) -> dict[str, float]:
        """The metrics over all out-of-fold rows together."""
        return metrics.summary(*self.arrays())

    def ensemble(self, **options: Any) -> Ensemble:
        """The folds as one model, which predicts, and which ``evaluate``, ``export_model`` and ``save_ensemble`` take."""
        return Ensemble(self.bundles, **options)


def _check_alike(one: Folds, other: Folds) -> None:
    """BirdfastError unless the rows and columns of two studies' arrays are of the same recordings and classes."""
    if one.classes != other.classes:
        raise BirdfastError(f"{other.out} knows other classes than {one.out}: blend studies of the same class list")
    sides = [
        list(study.recordings[["path", "start_time"]].itertuples(index=False, name=None)) for study in (one, other)
    ]
    if sides[0] != sides[1]:
        differ = sorted(set(sides[0]) ^ set(sides[1])) or sides[0]
        raise BirdfastError(
            f"{other.out} has not held out the same recordings as {one.out} (first: {differ[0][0]}): train all folds of both "
            "on the same data, or give blend_weights the rows that both have"
        )


def train_folds(
    source: Any,
    recipe: str | Path | Recipe = AUTO,
    out: str | Path = "runs/folds",
    folds: int | Iterable[int] | None = None,
    *,
    columns: dict[str, Any] | None = None,
    pseudo: str | Path | None = None,
    num_workers: int | None = None,
    device: str | None = None,
    cache: str | None = None,
    cache_dir: str | Path | None = None,
    **knobs: Any,
) -> Folds:
    """Train every fold as a run of its own, ``out/fold0`` and so on; called again, it goes on where it was stopped.

    Recordings and labelled soundscapes are dealt out to the folds once, as the study begins, and stay where they are
    whatever can be read later. A file that could not be read then, and is mended, trains from then on in every fold, and
    validates in none. See :func:`~birdfast.studies.deal.dealt_sides`.

    Parameters
    ----------
    source, columns
        What :func:`~birdfast.sources.read.read_source` takes.
    recipe, knobs
        As for ``bird_dls``; the recipe's own `fold` does not matter.
    folds
        The one to train, or several; all there are, unless given. More of them may be added by a later call, whose
        study, tables and scores are of all that are trained then.
    pseudo
        Pseudo-labels to mix in, see ``bird_dls``.

    Raises
    ------
    BirdfastError
        If there is no such fold, `folds` are no numbers, `out` holds a study by another recipe or of other data, or the
        data lack what the recipe trains on, or enough of it to hold some out.
    """
    if recipe == AUTO:
        source = read_source(source, **(columns or {}))
        recipe, knobs = recipe_for(AUTO, source, **knobs), {}
    recipe, out = get_recipe(recipe, **knobs), Path(out)
    with loading():
        from birdfast.splits.pseudo import check_pseudo
        from birdfast.training.dataloaders import check_request

    check_request(recipe, cache)
    check_pseudo(pseudo, recipe)
    found = read_source(source, **(columns or {}))
    recipe = with_all_folds(found, recipe)
    deal_soundscapes(training_rows(found, recipe), recipe)  # raises while another recipe may still have the folder
    numbers = wanted_folds(found, recipe, folds)
    begin(out, recipe, found, pseudo=digest(Path(pseudo).read_bytes()) if pseudo else None)
    options = {"num_workers": num_workers, "device": device, "cache": cache, "cache_dir": cache_dir}
    if pseudo:
        options["pseudo"] = pseudo
    for fold in numbers:
        folder = out / f"fold{fold}"
        if (folder / PREDICTIONS).is_file():
            note(f"fold {fold} is trained already: {folder}")
            continue
        note(f"fold {fold}, of {', '.join(map(str, numbers))}: {folder}")
        mine = recipe.with_(fold=fold)
        _train(found, mine, folder, {**options, "sides": dealt_sides(found, mine, out)})
        gc.collect()  # fastai's learners lie in cycles, and hold the GPU's memory
    classes = [name for name in found.classes if not (recipe.no_call and name == NO_CALL)]
    return _finish(Folds(out, recipe, classes, numbers))


def with_all_folds(source: Source, recipe: Recipe) -> Recipe:
    """The recipe with as many folds as the source itself has, if these are more: soundscapes are dealt out to as many."""
    return recipe.with_(n_folds=max(recipe.n_folds, int(_assigned(source, recipe).max(initial=-1)) + 1))


def _assigned(source: Source, recipe: Recipe) -> np.ndarray:
    """The fold of each recording that a training splits."""
    return assign_folds(source.recordings, n_folds=recipe.n_folds, group=recipe.group, seed=recipe.seed)


def wanted_folds(source: Source, recipe: Recipe, folds: int | Iterable[int] | None) -> list[int]:
    """The folds asked for, or all there are, sorted; BirdfastError for one that holds no recording."""
    there = sorted({int(fold) for fold in _assigned(source, recipe)} - {ALWAYS_TRAIN})
    wanted = there if folds is None else _as_numbers(folds)
    if missing := [fold for fold in wanted if fold not in there]:
        raise BirdfastError(
            f"no recording falls into fold {missing[0]}: there are {', '.join(map(str, there)) or 'none'}"
        )
    if not wanted:
        raise BirdfastError(
            "there is no fold to train: every class has one recording only, or all are by one recordist"
        )
    return wanted


def _as_numbers(folds: Any) -> list[int]:
    """One number or several, as a sorted list."""
    several = [folds] if isinstance(folds, Integral) else list(folds) if isinstance(folds, Iterable) else []
    if not several or not all(isinstance(fold, Integral) for fold in several):
        raise BirdfastError(
            f"folds must be the number of a fold or several, as in folds=[0, 1], not {folds!r}; leave it out to train all"
        )
    return sorted({int(fold) for fold in several})


def _train(source: Source, recipe: Recipe, folder: Path, options: dict[str, Any]) -> None:
    """One fold: a run, its bundle, and what it says about the recordings that it has not heard."""
    from birdfast.scoring.bundle import save_bundle
    from birdfast.training.dataloaders import bird_dls
    from birdfast.training.learner import bird_learner
    from birdfast.training.progress import quiet_unless_watched

    folder.mkdir(parents=True, exist_ok=True)
    dls = bird_dls(source, recipe, bad_files=new_bad_files(folder), **options)
    learn = bird_learner(dls, path=folder)
    with quiet_unless_watched(learn) as cbs:
        learn.fit_recipe(run=folder, resume=True, cbs=cbs)
    save_bundle(learn, folder / BUNDLE)
    windows, truth = _validated(learn, recipe.fold)
    write_table(truth, folder / TRUTH)
    write_table(windows, folder / PREDICTIONS)  # the last: that it is there means that the fold is done


def _validated(learn: Any, fold: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Probabilities of the validation windows, and the targets of what they are parts of; not of those of no call alone."""
    with learn.no_bar(), learn.no_logging():
        probabilities, targets = (part.numpy() for part in learn.get_preds(dl=learn.dls.valid))
    items, bad = learn.dls.valid.items, learn.dls.plan.bad_files.clips()
    good = np.array([key not in bad for key in zip(items["path"], items["start_time"])])
    classes = learn.classes
    if targets.ndim == 1:
        good &= targets < len(classes)
    else:
        targets = targets[:, : len(classes)]
    probabilities = probabilities[:, : len(classes)]
    rows = items[["path", "start_time", "end_time", "recording"]].assign(fold=fold)[good]
    windows = _beside(rows, probabilities[good].astype(np.float32), classes)
    first = ~rows["recording"].duplicated().to_numpy()
    keys, values = rows.loc[first, ["path", *_KEYS]], targets[good][first]
    if values.ndim == 1:
        return windows, keys.assign(target=[classes[int(i)] for i in values])
    return windows, _beside(keys, values.astype(np.float32), classes)


def _beside(rows: pd.DataFrame, values: np.ndarray, classes: Sequence[str]) -> pd.DataFrame:
    return pd.concat([rows.reset_index(drop=True), pd.DataFrame(values, columns=list(classes))], axis=1)


def _finished(out: Path) -> list[int]:
    names = [file.parent.name.removeprefix("fold") for file in out.glob(f"fold*/{PREDICTIONS}")]
    return sorted(int(name) for name in names if name.isdecimal())


def _finish(study: Folds) -> Folds:
    """The study of all folds that are trained, also by earlier calls; writes what they have to say together."""
    folds = replace(study, folds=_finished(study.out))
    write_table(folds.predictions, folds.out / PREDICTIONS)
    write_table(folds.truth, folds.out / TRUTH)
    each = {f"fold{k}": Folds(folds.out, folds.recipe, folds.classes, [k]).scores["roc_auc"] for k in folds.folds}
    (folds.out / SCORES).write_text(json.dumps({"all": folds.scores, "roc_auc": each}, indent=2) + "\n")
    note(f"{len(folds.folds)} folds: macro ROC-AUC {folds.scores['roc_auc']:.4f} over all out-of-fold rows")
    return folds
