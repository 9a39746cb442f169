"""`birdfast doctor`: a look before training, and after a run that did not learn."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from birdfast.commands.shared.options import (
    RECIPE_HELP,
    AsJson,
    AudioRoot,
    Author,
    Backbone,
    BackboneWeights,
    File,
    FoldColumn,
    Label,
)
from birdfast.commands.shared.typed import read_columns, read_knobs
from birdfast.errors import BirdfastError
from birdfast.recipe.presets import get_recipe


def command(
    source: Annotated[
        str, typer.Argument(metavar="SOURCE_OR_RUN", help="What you will train on, or the folder of a run")
    ],
    recipe: Annotated[str, typer.Option("--recipe", "-r", help=RECIPE_HELP)] = "improved",
    sample: Annotated[int, typer.Option(min=1, help="Recordings to decode in full; the headers of all are read")] = 200,
    backbone: Backbone = None,
    weights: BackboneWeights = None,
    as_json: AsJson = False,
    file: File = None,
    label: Label = None,
    author: Author = None,
    fold_column: FoldColumn = None,
    audio_root: AudioRoot = None,
) -> None:
    """Look before training, and after a run that did not learn.

    Of data: is it found, readable, balanced, free of leaks and copies; what will train, with which weights. Of a run:
    did it learn, over-fit or diverge, the likely cause, and the command to type next. Exit status 1 if a check failed.

    Example: `birdfast doctor data/birdclef`, and later `birdfast doctor runs/first`
    """
    columns = read_columns(file, label, author, fold_column, audio_root)
    knobs = read_knobs({"backbone": backbone, "weights": weights}, [])
    named = get_recipe(recipe, **knobs)
    from birdfast.doctor import diagnose, examine, is_run

    run = is_run(source)
    if run and knobs:
        raise BirdfastError(f"{source} is a run, which has its own {' and '.join(knobs)}: leave them out")
    report = diagnose(source) if run else examine(source, recipe=named, columns=columns, sample=sample)
    typer.echo(json.dumps(report.to_dict(), indent=2) if as_json else report.text())
    if not report.ok:
        raise typer.Exit(1)
