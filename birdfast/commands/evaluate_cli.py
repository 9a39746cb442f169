"""`birdfast evaluate` as it is typed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from birdfast.commands.arguments import (
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
from birdfast.commands.options import read_columns
from birdfast.commands.shell import listing, score_lines
from birdfast.errors import BirdfastError


def evaluate(
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
    from birdfast.commands.evaluate import check_out
    from birdfast.commands.evaluate import evaluate as judge
    from birdfast.commands.models import read_weights
    from birdfast.commands.post import read_post

    *models, source = words
    if not models:
        raise BirdfastError(f"only {source} is named: give a model, then what to score it on")
    if out:
        check_out(out)  # before hours of scoring
    columns = read_columns(file, label, author, fold_column, audio_root)
    post = read_post(shift, smooth, smooth_group or (), taxonomy, file_top)
    ensemble = {"blend": blend, "weights": read_weights(weights)}
    options = {"truth": truth, "fold": fold, "columns": columns, "batch_size": batch_size, "workers": workers}
    result = judge(models, source, post=post, **ensemble, **options)  # type: ignore[arg-type]
    scorable = int(result.per_class["auc"].notna().sum())
    typer.echo(f"scored {result.what}")
    typer.echo(f"{len(result.targets)} rows, {scorable} of {len(result.classes)} classes can be ranked")
    typer.echo(score_lines(result.summary))
    errors = ", ".join(f"{value:.4f} {name}" for name, value in result.calibration_errors.items())
    typer.echo(f"  calibration error {errors}")
    if out:
        typer.echo(f"everything is in {result.write(out)}:\n{listing(out)}")
