"""The ladder: the same data and seeds for every recipe, a row a training, and whether each step was worth it."""

from __future__ import annotations

import gc
import platform
import shlex
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from operator import index
from pathlib import Path
from typing import Any

import pandas as pd

from birdfast.errors import BirdfastError, unknown
from birdfast.evaluation.gains import SCORES, ladder_markdown, ladder_table
from birdfast.notes import loading, note
from birdfast.recipe.recipe import Recipe
from birdfast.sources.read import read_source
from birdfast.sources.source import Source
from birdfast.splits.sides import split_both
from birdfast.studies.book import Book
from birdfast.studies.deal import training_rows
from birdfast.studies.key import digest_paths, digest_rows
from birdfast.studies.pseudo import find_unlabelled
from birdfast.studies.rungs import MAIN, Rung, compared_with, find_rungs
from birdfast.studies.scores import score_learner, soundscape_truth
from birdfast.studies.teachers import labels_of, teacher_of

TABLE, MARKDOWN, PLOT = "table.csv", "ladder.md", "ladder.png"
_SPLIT = ("n_folds", "fold", "group", "seed", "soundscape_group", "no_call")  # the knobs that decide a split


@dataclass(frozen=True)
class Ladder:
    """What was measured.

    Attributes
    ----------
    out
        The folder: ``ladder.csv`` (a row a training) and ``recipes.json``, and after :meth:`write` the table and plot.
    rungs
        As they were asked for, in order.
    rows
        Those of the rungs, the data and the seeds asked for.
    score
        The score that decides; see :func:`~birdfast.evaluation.gains.main_score`.
    """

    out: Path
    rungs: list[Rung]
    rows: pd.DataFrame
    score: str | None = None

    @cached_property
    def table(self) -> pd.DataFrame:
        """A row a rung: score, gain over the rung it is compared with, verdict, time."""
        return ladder_table(self.rows, score=self.score)

    def __str__(self) -> str:
        return ladder_markdown(self.table)

    def write(self) -> Path:
        """``table.csv``, ``ladder.md`` and ``ladder.png`` into the folder."""
        import matplotlib.pyplot as plt

        from birdfast.plots.ladder import plot_ladder

        self.table.to_csv(self.out / TABLE)
        (self.out / MARKDOWN).write_text(f"{self}\n")
        figure = plot_ladder(self.table)
        figure.savefig(self.out / PLOT, dpi=110, bbox_inches="tight")
        plt.close(figure)
        return self.out


def ladder(
    source: Any,
    rungs: str | Rung | Iterable[str | Rung] | None = None,
    out: str | Path = "runs/ladder",
    seeds: int | Iterable[int] = 3,
    *,
    score: str | None = None,
    columns: Mapping[str, Any] | None = None,
    num_workers: int | None = None,
    device: str | None = None,
    cache: str | None = None,
    cache_dir: str | Path | None = None,
    command: str | None = None,
    **knobs: Any,
) -> Ladder:
    """Train every rung with every seed, and compare; called again, it goes on where it was stopped.

    The rungs share split and seed, so that gains are differences of pairs. A training appends its row to
    ``out/ladder.csv`` as it ends. Rows of the same recipe, data and seed are not measured again; of a rung with
    pseudo-labels, the unlabelled soundscapes are among the data. Its pseudo-labels are what the same recipe without them,
    trained on the same fold, says of the source's unlabelled soundscapes.

    Parameters
    ----------
    source, columns
        What :func:`~birdfast.sources.read.read_source` takes.
    rungs
        Names of :data:`~birdfast.studies.rungs.RUNGS`, in a list or a text with commas, or Rungs; those of `MAIN` unless given.
    seeds
        How many (0, 1, ...), or which.
    score
        The score that decides: "soundscape_roc_auc", "roc_auc", "accuracy" or "rare_accuracy"; the first that there is.
    command
        What reproduces the rows; what was typed unless given.
    knobs
        Of every rung, where it does not change them itself: ``epochs=5``; not `seed`, which is each training's.

    Raises
    ------
    BirdfastError
        Before anything is trained: an unknown rung, or one with a knob or a value that the recipe does not have; a score
        that some rung will not have; no rung that this data can train; a folder whose rows cannot be read. Single rungs
        that lack in the data what they train on, or whose split leaves nothing to validate, are left out.
    """
    chosen = find_rungs(MAIN if rungs is None else rungs)
    numbers = _read_seeds(seeds, knobs)
    recipes = {rung.name: rung.get_recipe(**knobs) for rung in chosen}
    if score not in (None, *SCORES):
        raise unknown("score of a ladder", score, SCORES)
    with loading():
        from birdfast.training.dataloaders import check_request

    for recipe in recipes.values():
        check_request(recipe, cache)
    out = Path(out)
    if out.exists() and not out.is_dir():
        raise BirdfastError(f"{out} is a file: give a folder for the rows of the ladder")
    found = read_source(source, **(columns or {}))
    chosen = _with_references(_possible(chosen, recipes, found, numbers))
    _check_score(score, found, [recipes[rung.name] for rung in chosen])
    out.mkdir(parents=True, exist_ok=True)
    typed = command or shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])
    teach = any(recipes[rung.name].pseudo_mix for rung in chosen)
    book = Book(out, digest_rows(found), typed, digest_paths(found.root, find_unlabelled(found, None)) if teach else "")
    options = {"num_workers": num_workers, "device": device, "cache": cache, "cache_dir": cache_dir}
    taught = {book.key(teacher_of(recipe)) for recipe in recipes.values() if recipe.pseudo_mix}
    pupils_last = sorted(chosen, key=lambda rung: recipes[rung.name].pseudo_mix > 0)  # a rung may be another's teacher
    todo = [(rung, seed) for seed in numbers for rung in pupils_last]  # all rungs of a seed: a whole table, early
    for number, (rung, seed) in enumerate(todo, start=1):
        recipe = recipes[rung.name].with_(seed=seed)
        if book.row(recipe) is None:
            note(f"ladder: {rung.name}, seed {seed} ({number} of {len(todo)})")
            book.append(rung, recipe, _train(book, found, recipe, taught, options))
    return Ladder(out, chosen, book.rows(chosen, recipes, numbers), score)


def _read_seeds(seeds: Any, knobs: Mapping[str, Any]) -> list[int]:
    """The seeds, of how many or which."""
    if "seed" in knobs:
        raise BirdfastError(
            f"seed={knobs['seed']} is no knob of a ladder, which trains each rung with several: leave it out, and say how "
            "many with seeds=3 (at the shell --seeds 3), or which with seeds=[5, 6, 7]"
        )
    try:
        numbers = [index(seed) for seed in seeds] if isinstance(seeds, Iterable) else list(range(index(seeds)))
    except TypeError:
        raise BirdfastError(f"seeds must be how many, as 3, or which, as [5, 6, 7], not {seeds!r}") from None
    if not numbers:
        raise BirdfastError("seeds must be 1 or more: nothing is measured without one")
    return numbers


def _train(book: Book, source: Source, recipe: Recipe, taught: set[str], options: dict[str, Any]) -> dict[str, Any]:
    """One training: with pseudo-labels, after its teacher; as one of the `taught`, kept for its pupil."""
    pseudo = None
    if recipe.pseudo_mix:
        teacher = book.bundle(teacher_of(recipe))
        if not teacher.is_file():
            note("the model that labels the soundscapes is trained first")
            train_and_score(source, teacher_of(recipe), keep=teacher, **options)
        pseudo = labels_of(teacher, source, options["device"])
    keep = book.bundle(recipe) if book.key(recipe) in taught else None
    return train_and_score(source, recipe, keep=keep, pseudo=pseudo, **options)


def train_and_score(source: Source, recipe: Recipe, *, keep: Path | None = None, **options: Any) -> dict[str, Any]:
    """One training, scored once, after its last epoch, and saved to `keep`; `options` go to ``bird_dls``."""
    from birdfast.scoring.bundle import save_bundle
    from birdfast.training.dataloaders import bird_dls
    from birdfast.training.learner import bird_learner
    from birdfast.training.progress import EpochTimer, NoValidation

    started, timer = time.perf_counter(), EpochTimer()
    learn = bird_learner(bird_dls(source, recipe, **options))
    with learn.no_bar(), learn.no_logging():
        learn.fit_recipe(cbs=[NoValidation(), timer])
    row = {
        "lr": float(max(learn.recorder.lrs)),  # scoring forgets them
        "epochs": recipe.epochs,
        "seconds": round(time.perf_counter() - started, 1),
        "seconds_per_epoch": round(sum(timer.seconds) / len(timer.seconds), 2),
        "device": device_name(learn.dls.device),
    }
    row = score_learner(learn) | row
    if keep is not None:
        save_bundle(learn, keep)
    del learn
    gc.collect()  # fastai's learners lie in cycles, and hold the GPU's memory
    return row


def device_name(device: Any) -> str:
    """What trained, in words."""
    import torch

    if str(device).startswith("cuda"):
        return torch.cuda.get_device_name(device)
    return f"{platform.machine()} {device}, {torch.get_num_threads()} threads"


def _possible(rungs: list[Rung], recipes: Mapping[str, Recipe], source: Source, seeds: list[int]) -> list[Rung]:
    """The rungs that have in `source` what they train on, and what they validate on; says which have not."""
    possible: list[Rung] = []
    splits: set[tuple[Any, ...]] = set()
    for rung in rungs:
        try:
            _check_trains(recipes[rung.name], source)
            _check_splits([recipes[rung.name].with_(seed=seed) for seed in seeds], source, splits)
            possible.append(rung)
        except BirdfastError as error:
            note(f"the rung {rung.name!r} is left out: {error}")
    if not possible:
        raise BirdfastError(f"no rung can be measured on {source.layout}: each needs what this data does not have")
    return possible


def _check_trains(recipe: Recipe, source: Source) -> None:
    training_rows(source, recipe)
    if recipe.pseudo_mix:
        if source.unlabelled is None:
            raise BirdfastError(f"{source.layout} has no unlabelled soundscapes, whose pseudo-labels it learns from")
        find_unlabelled(source, None)


def _check_splits(recipes: Iterable[Recipe], source: Source, known: set[tuple[Any, ...]]) -> None:
    """Split all rows, whether or not they can be read, as each recipe will; those `known` to work are not tried again."""
    for recipe in recipes:
        split = (recipe.hears_soundscapes, *(getattr(recipe, name) for name in _SPLIT))
        if split not in known:
            split_both(training_rows(source, recipe), recipe)
            known.add(split)


def _check_score(score: str | None, source: Source, recipes: Iterable[Recipe]) -> None:
    """Refuse a score that a recipe will not have."""
    if score is None:
        return
    lacks = [recipe.name for recipe in recipes if not soundscape_truth(source, recipe)]
    if "soundscape" in score and lacks:
        raise BirdfastError(
            f"{score} cannot decide: {lacks[0]!r} leaves no soundscapes with a known truth that it has not trained on; give "
            "such soundscapes, leave the rung out, or let roc_auc decide"
        )


def _with_references(rungs: list[Rung]) -> list[Rung]:
    """The rungs, each `over` the one that it is compared with; says which will have no gain."""
    over = compared_with(rungs)
    for rung in rungs:
        if rung.over and rung.name not in over:
            note(f"{rung.name!r} is compared with {rung.over!r}, which is not measured: add it to see the gain")
    return [replace(rung, over=over.get(rung.name)) for rung in rungs]
