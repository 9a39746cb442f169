"""`birdfast evaluate`: a model or its scores against what is known."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from birdfast.commands.shared.models import check_blend, check_models
from birdfast.commands.shared.options import (
    AudioRoot,
    Author,
    BatchSize,
    Blend,
    File,
    FileTop,
    FoldColumn,
    Label,
    Shift,
    Smooth,
    SmoothGroup,
    Taxonomy,
    Threads,
    Weights,
)
from birdfast.commands.shared.places import check_report, check_source
from birdfast.commands.shared.post import read_post
from birdfast.commands.shared.shell import listing, score_lines
from birdfast.commands.shared.typed import read_columns, read_weights
from birdfast.errors import BirdfastError


def command(
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="MODEL... SOURCE",
            help="Bundles or runs (several: an ensemble), or a csv of scores or a submission; last, where the truth is: "
            "BirdCLEF folder, solution.csv, labelled recordings",
        ),
    ],
    truth: Annotated[
        Path | None, typer.Option(help="Solution or soundscape labels for the soundscapes in SOURCE")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Folder for index.html, tables and plots")] = None,
    fold: Annotated[int | None, typer.Option(help="Score the recordings of one fold of SOURCE only")] = None,
    shift: Shift = 0.0,
    smooth: Smooth = None,
    smooth_group: SmoothGroup = None,
    taxonomy: Taxonomy = None,
    file_top: FileTop = 0,
    blend: Blend = "mean",
    weights: Weights = None,
    batch_size: BatchSize = 16,
    workers: Threads = None,
    file: File = None,
    label: Label = None,
    author: Author = None,
    fold_column: FoldColumn = None,
    audio_root: AudioRoot = None,
) -> None:
    """Score a model, several as one, or a csv that they wrote, against what is known.

    A BirdCLEF folder is scored by the truth of its test soundscapes (solution.csv) if it has one, else by its labelled
    soundscapes that the model was not trained on; any other source by its recordings, windows averaged. What was scored is
    the first line of the answer.

    Example: `birdfast evaluate runs/first data/birdclef --out report`
    """
    *models, source = words
    if not models:
        raise BirdfastError(f"only {source} is named: give a model, then what to score it on")
    if out:
        check_report(out)  # before hours of scoring
    ensemble = {"blend": blend, "weights": read_weights(weights)}
    check_models(model for model in models if not model.endswith(".csv"))
    check_blend(blend)
    check_source(source)
    post = read_post(shift, smooth, smooth_group or (), taxonomy, file_top)
    columns = read_columns(file, label, author, fold_column, audio_root)
    options = {"truth": truth, "fold": fold, "columns": columns, "batch_size": batch_size, "workers": workers}
    from birdfast.commands.evaluating.evaluate import evaluate

    result = evaluate(models, source, post=post, **ensemble, **options)  # type: ignore[arg-type]
    scorable = int(result.per_class["auc"].notna().sum())
    typer.echo(f"scored {result.what}")
    typer.echo(f"{len(result.targets)} rows, {scorable} of {len(result.classes)} classes can be ranked")
    typer.echo(score_lines(result.summary))
    errors = ", ".join(f"{value:.4f} {name}" for name, value in result.calibration_errors.items())
    typer.echo(f"  calibration error {errors}")
    if out:
        typer.echo(f"everything is in {result.write(out)}:\n{listing(out)}")
