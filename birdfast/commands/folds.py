"""`birdfast folds` and `birdfast pseudo`: studies, typed at the shell."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from birdfast.commands.arguments import (
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
    SourceArg,
    Workers,
)
from birdfast.commands.options import read_cache, read_columns, read_knobs, read_lr
from birdfast.commands.shell import INTERRUPTED, score_lines
from birdfast.errors import BirdfastError
from birdfast.recipe.presets import get_recipe

Out = Annotated[Path, typer.Option("--out", "-o", help="Folder of the study; it goes on where it was stopped")]
RecipeName = Annotated[str, typer.Option("--recipe", "-r", help=RECIPE_HELP)]
FoldList = Annotated[str | None, typer.Option("--folds", help="Those to train, as 0,1; all unless given")]
Set = Annotated[
    list[str] | None, typer.Option("--set", metavar="KNOB=VALUE", help="Any other knob", rich_help_panel=KNOBS)
]


def folds(
    source: SourceArg,
    out: Out = Path("runs/folds"),
    recipe: RecipeName = "improved",
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
    from birdfast.studies.folds import train_folds

    columns = read_columns(file, label, author, fold_column, audio_root)
    options = {"lr": read_lr(lr), "epochs": epochs, "batch_size": batch_size, "backbone": backbone, "weights": weights}
    named = get_recipe(recipe, **read_knobs(options, set_ or []))
    cached: dict[str, Any] = read_cache(cache, cache_dir)
    try:
        study = train_folds(
            source, named, out, read_folds(folds), columns=columns, pseudo=pseudo, num_workers=workers, **cached
        )
    except KeyboardInterrupt:
        typer.echo(f"\nbirdfast: stopped; the epochs that ended are kept in {out}, the same command goes on", err=True)
        raise typer.Exit(INTERRUPTED) from None
    typer.echo(f"{len(study.folds)} folds, {len(study.truth)} rows, each scored by the model that has not heard it:")
    typer.echo(score_lines(study.scores))
    typer.echo(f"next: birdfast predict {' '.join(str(bundle.parent) for bundle in study.bundles)} RECORDINGS")


def pseudo(
    source: SourceArg,
    out: Out = Path("runs/pseudo"),
    recipe: RecipeName = "improved",
    soundscapes: Annotated[
        list[Path] | None, typer.Option("--soundscapes", help="Folder or files to label; SOURCE's own unless given")
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds at most; one that does not help is not kept")] = 3,
    pseudo_how: Annotated[str | None, typer.Option(help="mix windows into clips, or substitute them")] = None,
    pseudo_mix: Annotated[
        float | None, typer.Option(help="Share of clips that get a window; 1, or 0.5 to substitute")
    ] = None,
    pseudo_power: Annotated[
        list[float] | None, typer.Option(help="Exponent of the soft labels, 1.54; repeat: one a round")
    ] = None,
    pseudo_label_sum: Annotated[float | None, typer.Option(help="What the labels of a window sum to at most")] = None,
    folds: FoldList = None,
    lr: Rate = None,
    epochs: Epochs = None,
    batch_size: Clips = None,
    backbone: Backbone = None,
    weights: BackboneWeights = None,
    set_: Set = None,
    workers: Workers = None,
    cache: Cache = None,
    cache_dir: CacheDir = None,
    file: File = None,
    label: Label = None,
    author: Author = None,
    fold_column: FoldColumn = None,
    audio_root: AudioRoot = None,
) -> None:
    """Train all folds, let them label the soundscapes, train anew with those labels, round after round while it helps.

    Killed and typed again, it goes on where it was. No soundscape is labelled by a model that has trained on it.

    Example: `birdfast pseudo data/birdclef --recipe small --out runs/pseudo --rounds 3`
    """
    from birdfast.studies.pseudo import pseudo_label

    columns = read_columns(file, label, author, fold_column, audio_root)
    options = {"lr": read_lr(lr), "epochs": epochs, "batch_size": batch_size, "backbone": backbone, "weights": weights}
    named = get_recipe(recipe, **read_knobs(options, set_ or []))
    how: dict[str, Any] = {"pseudo_how": pseudo_how, "pseudo_mix": pseudo_mix, "pseudo_label_sum": pseudo_label_sum}
    if pseudo_power:
        how["pseudo_power"] = pseudo_power if len(pseudo_power) > 1 else pseudo_power[0]
    how |= read_cache(cache, cache_dir)
    try:
        study = pseudo_label(
            source,
            named,
            out,
            soundscapes or None,
            rounds,
            folds=read_folds(folds),
            columns=columns,
            num_workers=workers,
            **how,
        )
    except KeyboardInterrupt:
        typer.echo(f"\nbirdfast: stopped; what is done is kept in {out}, the same command goes on", err=True)
        raise typer.Exit(INTERRUPTED) from None
    typer.echo(study.rounds.to_string(index=False))
    typer.echo(score_lines(study.folds.scores))
    typer.echo(f"next: birdfast predict {' '.join(str(bundle.parent) for bundle in study.folds.bundles)} RECORDINGS")


def read_folds(text: str | None) -> list[int] | None:
    """The numbers of ``0,1``; None where nothing was given."""
    try:
        return None if text is None else [int(part) for part in text.split(",")]
    except ValueError:
        raise BirdfastError(f"--folds takes numbers with commas, as in --folds 0,1, not {text!r}") from None
