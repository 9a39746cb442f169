"""`birdfast train`: a source and a recipe in, the folder of a run out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from birdfast.commands.shared.options import (
    KNOBS,
    RECIPE_HELP,
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
    Label,
    PseudoLabels,
    Rate,
    Set,
    SourceArg,
    Workers,
)
from birdfast.commands.shared.places import check_source
from birdfast.commands.shared.shell import exported_line, listing, score_lines, stopped
from birdfast.commands.shared.typed import (
    default_out,
    how_to_resume,
    named_recipe,
    read_cache,
    read_columns,
    read_knobs,
    read_lr,
    resumed_recipe,
)
from birdfast.recipe.auto import AUTO
from birdfast.sources.pseudo import check_pseudo_file


def command(
    source: SourceArg,
    recipe: Annotated[str | None, typer.Option("--recipe", "-r", help=RECIPE_HELP)] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Folder of the run; runs/SOURCE-RECIPE-DATE")] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run in --out; only --epochs may change")
    ] = False,
    export: Annotated[
        str, typer.Option(help="Weights to export and score: last, or best (epoch of the highest validation ROC-AUC)")
    ] = "last",
    lr: Rate = None,
    epochs: Epochs = None,
    batch_size: Clips = None,
    backbone: Backbone = None,
    weights: BackboneWeights = None,
    fold: Annotated[int | None, typer.Option(help="The fold to validate on", rich_help_panel=KNOBS)] = None,
    seed: Annotated[int | None, typer.Option(help="Same seed, same run (on CPU)", rich_help_panel=KNOBS)] = None,
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
    """Train a classifier and write the folder of the run: recipe, checkpoints, history, both exports, tables, plots.

    A run that was stopped goes on with --resume and ends with the same weights; one that has ended goes on to more
    --epochs. Small data sets want `--lr auto`. The exports and the figures are of the last epoch unless --export best;
    `--resume --export best` exports a run that has ended anew.

    Example: `birdfast train data/birdclef --lr auto --set mixup_alpha=0.2 --out runs/first`
    """
    options = {"lr": read_lr(lr), "epochs": epochs, "batch_size": batch_size, "backbone": backbone, "weights": weights}
    knobs = read_knobs(options | {"fold": fold, "seed": seed}, set_ or [])
    columns = read_columns(file, label, author, fold_column, audio_root)
    named = named_recipe("improved" if resume else recipe or AUTO, source, columns, {} if resume else knobs)
    folder = out or default_out(source, named)
    wanted = resumed_recipe(folder, recipe, knobs) if resume else named
    more = read_cache(cache, cache_dir)
    more |= {"pseudo": str(pseudo)} if pseudo else {}
    chosen = more | ({"export": export} if export != "last" else {})
    check_source(source)
    check_pseudo_file(pseudo)
    from birdfast.commands.training.run import train_run

    with stopped(lambda: how_to_resume(source, columns, folder, chosen)):
        how = {"resume": resume, "export": export, "num_workers": workers}
        summary = train_run(source, wanted, folder, columns=columns, **how, **more)  # type: ignore[arg-type]
    if not summary:
        return  # of several processes the first speaks
    typer.echo(score_lines(summary["metrics"]))
    typer.echo(exported_line(summary))
    typer.echo(f"{summary['seconds']:.0f} s at lr={summary['lr']:.2g}; everything is in {folder}:")
    typer.echo(listing(folder))
    typer.echo(f"next: birdfast doctor {folder}")
