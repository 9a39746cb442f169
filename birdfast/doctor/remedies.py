"""The commands to type after a run."""

from __future__ import annotations

import shlex

from birdfast.doctor.run import Run
from birdfast.recipe.presets import RECIPES
from birdfast.sources.words import source_words
from birdfast.splits.run_files import RECIPE

SUFFIX = "-2"  # of the folder for another try
STUDY = "study.json"  # in the folder of train_folds, beside its runs


def typed_source(run: Run) -> str:
    """The source as it was given to `birdfast train`, with the options that name its columns and pseudo-labels."""
    pseudo = {"pseudo": run.data["pseudo"]} if run.data.get("pseudo") else {}
    return source_words(str(run.data.get("source", "SOURCE")), (run.data.get("columns") or {}) | pseudo)


def again(run: Run, *options: str) -> str:
    """The command that trains the same data with other options, in another folder."""
    preset = RECIPES.get(run.recipe.name) == run.recipe
    recipe = run.recipe.name if preset else shlex.quote(str(run.folder / RECIPE))
    out = shlex.quote(f"{run.folder}{SUFFIX}")
    return " ".join([f"birdfast train {typed_source(run)} --recipe {recipe}", *options, f"--out {out}"])


def go_on(run: Run, epochs: int) -> str:
    """The command that continues this run; of a study, whose folder keeps to its recipe, one for all folds anew."""
    study = run.folder.parent
    if (study / STUDY).is_file():
        recipe, out = shlex.quote(str(run.folder / RECIPE)), shlex.quote(f"{study}{SUFFIX}")
        return f"birdfast folds {typed_source(run)} --recipe {recipe} --set epochs={epochs} --out {out}"
    return f"birdfast train {typed_source(run)} --out {shlex.quote(str(run.folder))} --resume --epochs {epochs}"
