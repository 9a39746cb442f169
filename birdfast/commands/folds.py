"""`birdfast folds`: every fold a run, one study."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

from birdfast.commands.shared.options import (
    AudioRoot,
    Author,
    Backbone,
    BackboneWeights,
    Cache,
    CacheDir,
    Clips,
    Epochs,
    File,
    FoldColumn,
    FoldList,
    Label,
    Out,
    PseudoLabels,
    Rate,
    RecipeName,
    Set,
    SourceArg,
    Workers,
)
from birdfast.commands.shared.places import check_source
from birdfast.commands.shared.shell import score_lines, stopped
from birdfast.commands.shared.typed import named_recipe, read_cache, read_columns, read_folds, read_knobs, read_lr
from birdfast.recipe.auto import AUTO
from birdfast.sources.pseudo import check_pseudo_file


def command(
    source: SourceArg,
    out: Out = Path("runs/folds"),
    recipe: RecipeName = AUTO,
    folds: FoldList = None,
    lr: Rate = None,
    epochs: Epochs = None,
    batch_size: Clips = None,
    backbone: Backbone = None,
    weights: BackboneWeights = None,
    set_: Set = None,
    pseudo: PseudoLabels = None,
    workers: Workers = None,
    cache: Cache = None,
    cache_dir: CacheDir = None,
    file: File = None,
    label: Label = None,
    author: Author = None,
    fold_column: FoldColumn = None,
    audio_root: AudioRoot = None,
) -> None:
    """Train every fold, a run each, and score all recordings by the model that has not heard them.

    Killed and typed again, it goes on where it was. The runs are one ensemble: `birdfast predict OUT/fold0 OUT/fold1 ...`

    Example: `birdfast folds data/birdclef --recipe small --out runs/folds --folds 0,1`
    """
    columns = read_columns(file, label, author, fold_column, audio_root)
    options = {"lr": read_lr(lr), "epochs": epochs, "batch_size": batch_size, "backbone": backbone, "weights": weights}
    named = named_recipe(recipe, source, columns, read_knobs(options, set_ or []))
    how: dict[str, Any] = {"columns": columns, "pseudo": pseudo, "num_workers": workers, **read_cache(cache, cache_dir)}
    numbers = read_folds(folds)
    check_source(source)
    check_pseudo_file(pseudo)
    from birdfast.studies.folds import train_folds

    with stopped(lambda: f"; the epochs that ended are kept in {out}, the same command goes on"):
        study = train_folds(source, named, out, numbers, **how)
    typer.echo(f"{len(study.folds)} folds, {len(study.truth)} rows, each scored by the model that has not heard it:")
    typer.echo(score_lines(study.scores))
    typer.echo(f"next: birdfast predict {' '.join(str(bundle.parent) for bundle in study.bundles)} RECORDINGS")
