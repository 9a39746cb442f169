"""`birdfast export` and `birdfast budget` as they are typed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from birdfast.commands.arguments import BatchSize, Threads, Weights
from birdfast.errors import BirdfastError


def export(
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN... OUT",
            help="Folder of a run, a bundle (.safetensors) or a learner's .pkl; several are written as one ensemble. Last, "
            "where to: .safetensors (safe, needs no fastai), .onnx (ONNX Runtime), .xml (OpenVINO), .pkl (load_learner)",
        ),
    ],
    weights: Weights = None,
    check: Annotated[
        list[Path] | None,
        typer.Option(
            "--check",
            help="Recordings to compare with PyTorch on; the run's validation recordings, else synthetic songs",
        ),
    ] = None,
) -> None:
    """Write a trained model, or several as one, to the format that OUT's suffix names.

    An .onnx or .xml takes waveforms and gives probabilities, the spectrogram is inside; it is written only if its
    probabilities agree with PyTorch's to 1e-4. A .pkl of strangers can run any code: prefer .safetensors.

    Example: `birdfast export runs/first birds.onnx --check data/birdclef/test_soundscapes`
    """
    from birdfast.commands.export import export as write
    from birdfast.commands.models import read_weights

    *sources, out = words
    if not sources:
        raise BirdfastError(f"only {out} is named: give the folder of a run or a bundle, then the file to write")
    typer.echo(f"wrote {write(sources, out, recordings=check or (), weights=read_weights(weights))}")


def budget(
    models: Annotated[
        list[Path],
        typer.Argument(metavar="MODEL...", help="Bundles, runs or exported files; several are an ensemble"),
    ],
    files: Annotated[int, typer.Option(help="Soundscapes to score")] = 700,
    minutes: Annotated[float, typer.Option(help="Length of each, in minutes")] = 1.0,
    limit: Annotated[float, typer.Option(help="Time limit, in minutes")] = 90.0,
    on: Annotated[
        list[Path] | None, typer.Option("--on", help="Soundscapes to measure with; noise is made unless given")
    ] = None,
    batch_size: BatchSize = 16,
    workers: Threads = None,
) -> None:
    """Measure a model here, and say whether a submission with it fits the time limit, and how many such models do.

    Exit status 1 if one does not fit.

    Example: `birdfast budget birds.onnx --files 700 --minutes 1 --limit 90`
    """
    from birdfast.commands.budget import budget as measure

    found = measure(
        models,
        files=files,
        minutes=minutes,
        limit=limit,
        recordings=on or (),
        batch_size=batch_size,
        workers=workers,
    )
    typer.echo(str(found))
    if not found.fits:
        raise typer.Exit(1)
