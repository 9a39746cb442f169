"""`birdfast pseudo`: models that label soundscapes for the next ones."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

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
    Rate,
    RecipeName,
    Set,
    SourceArg,
    Workers,
)
from birdfast.commands.shared.places import check_files, check_source
from birdfast.commands.shared.shell import score_lines, stopped
from birdfast.commands.shared.typed import read_cache, read_columns, read_folds, read_knobs, read_lr
from birdfast.recipe.presets import get_recipe


def command(
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
    columns = read_columns(file, label, author, fold_column, audio_root)
    options = {"lr": read_lr(lr), "epochs": epochs, "batch_size": batch_size, "backbone": backbone, "weights": weights}
    named = get_recipe(recipe, **read_knobs(options, set_ or []))
    how: dict[str, Any] = {"pseudo_how": pseudo_how, "pseudo_mix": pseudo_mix, "pseudo_label_sum": pseudo_label_sum}
    if pseudo_power:
        how["pseudo_power"] = pseudo_power if len(pseudo_power) > 1 else pseudo_power[0]
    how |= read_cache(cache, cache_dir)
    how |= {"folds": read_folds(folds), "columns": columns, "num_workers": workers}
    check_source(source)
    check_files("--soundscapes", soundscapes or ())
    from birdfast.studies.pseudo import pseudo_label

    with stopped(lambda: f"; what is done is kept in {out}, the same command goes on"):
        study = pseudo_label(source, named, out, soundscapes or None, rounds, **how)
    typer.echo(study.rounds.to_string(index=False))
    typer.echo(score_lines(study.folds.scores))
    typer.echo(f"next: birdfast predict {' '.join(str(bundle.parent) for bundle in study.folds.bundles)} RECORDINGS")
