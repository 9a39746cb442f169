"""`birdfast predict`: models and recordings in; a folder of results, one csv or a submission out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from birdfast.commands.shared.models import check_models
from birdfast.commands.shared.options import (
    EVENTS,
    MACHINE,
    SPECIES,
    WINDOWS,
    BatchSize,
    Blend,
    FileTop,
    Shift,
    Smooth,
    SmoothGroup,
    Taxonomy,
    Threads,
    Weights,
)
from birdfast.commands.shared.places import check_recordings
from birdfast.commands.shared.post import read_post
from birdfast.commands.shared.shell import stopped
from birdfast.commands.shared.typed import read_weights


def command(
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="MODEL... PATHS...",
            help="Bundles or runs (several: their mean), or birdnet as it is; then recordings, folders",
        ),
    ],
    out: Annotated[
        str | None,
        typer.Option(
            "--out",
            "-o",
            help="A folder or its URL; a .csv for scores alone: predictions.csv unless given, submission.csv of a submission",
        ),
    ] = None,
    submission: Annotated[
        Path | None, typer.Option(help="A sample_submission.csv whose rows and columns to fill")
    ] = None,
    step: Annotated[
        float | None,
        typer.Option(help="Seconds from window to window; less than a window: overlap", rich_help_panel=WINDOWS),
    ] = None,
    last: Annotated[
        str, typer.Option(help="The last, partial window: pad, drop, or shift it back", rich_help_panel=WINDOWS)
    ] = "pad",
    average: Annotated[
        bool, typer.Option("--average", help="Average overlapping windows, a row a step", rich_help_panel=WINDOWS)
    ] = False,
    shift: Shift = 0.0,
    smooth: Smooth = None,
    smooth_group: SmoothGroup = None,
    taxonomy: Taxonomy = None,
    file_top: FileTop = 0,
    as_: Annotated[
        list[str] | None,
        typer.Option(
            "--as",
            help="csv, events (unless given), raven, raven-combined, audacity, flac, wav; repeat",
            rich_help_panel=EVENTS,
        ),
    ] = None,
    threshold: Annotated[
        str | None,
        typer.Option(
            help="A number (0.5), f1 or precision as fitted in training, or a csv; of a submission of 2021 or 2022: a number",
            rich_help_panel=EVENTS,
        ),
    ] = None,
    top_k: Annotated[
        int | None, typer.Option(help="The K likeliest species of a window", rich_help_panel=EVENTS)
    ] = None,
    gap: Annotated[
        float | None, typer.Option(help="Seconds between windows that are still one event", rich_help_panel=EVENTS)
    ] = None,
    merge: Annotated[bool, typer.Option(help="Consecutive windows are one event", rich_help_panel=EVENTS)] = True,
    context: Annotated[float, typer.Option(help="Seconds around an event's sound", rich_help_panel=EVENTS)] = 0.0,
    calibrate: Annotated[
        bool, typer.Option("--calibrate", help="Probabilities as calibrated in training", rich_help_panel=SPECIES)
    ] = False,
    keep: Annotated[
        str | None, typer.Option(help="Species wanted: a text file, or names with commas", rich_help_panel=SPECIES)
    ] = None,
    drop: Annotated[str | None, typer.Option(help="Species not wanted, likewise", rich_help_panel=SPECIES)] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="A name the model does not know is an error", rich_help_panel=SPECIES)
    ] = False,
    lat: Annotated[
        float | None, typer.Option(help="Latitude: only species that live there; with --lon", rich_help_panel=SPECIES)
    ] = None,
    lon: Annotated[float | None, typer.Option(help="Longitude", rich_help_panel=SPECIES)] = None,
    week: Annotated[
        int | None, typer.Option(help="Week of the year, 1 to 48, four a month", rich_help_panel=SPECIES)
    ] = None,
    blend: Blend = "mean",
    weights: Weights = None,
    engine: Annotated[str, typer.Option(help="local, or ray for a cluster", rich_help_panel=MACHINE)] = "local",
    batch_size: BatchSize = 4,  # less memory, and as fast on a CPU
    workers: Threads = None,
) -> None:
    """Score recordings of any length, window by window, into a folder: Parquet, events, selection tables, sound.

    Killed and typed again it goes on where it was; what changed is scored anew. Recordings that cannot be read are
    listed in errors.csv. With --submission it writes what Kaggle takes.

    Example: `birdfast predict runs/first soundscapes/ --out results --as raven --threshold f1`
    """
    from birdfast.commands.predicting.score import PredictOptions, predict, split_words
    from birdfast.commands.predicting.view import ViewOptions

    out = out or ("predictions.csv" if submission is None else "submission.csv")
    post = read_post(shift, smooth, smooth_group or (), taxonomy, file_top)
    how = PredictOptions(step, last, engine, batch_size, workers, post, blend, read_weights(weights))
    view = ViewOptions(keep, drop, strict, threshold, top_k, gap, merge, calibrate, average, (lat, lon, week))
    if any(part is not None for part in view.place):
        from birdfast.embedders.species_range import check_place

        check_place(lat, lon, week)
    models, paths = split_words(words)
    check_models(models)
    if submission is None:  # whose folder may be filled on Kaggle alone
        check_recordings(paths)
    with stopped(lambda: "" if out.endswith(".csv") else "; what is done is kept, the same command goes on"):
        said = predict(
            models, paths, out, submission=submission, formats=as_ or (), context=context, how=how, view=view
        )
    if said:
        typer.echo(said)
