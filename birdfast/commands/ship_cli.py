"""`birdfast export` and `birdfast budget` as they are typed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from birdfast.commands.arguments import (
    BatchSize,
    ModelArg,
    Workers,
)


def export(
    source: Annotated[
        Path, typer.Argument(metavar="RUN", help="Folder of a run, a bundle (.safetensors), or a learner's .pkl")
    ],
    out: Annotated[
        Path,
        typer.Argument(
            metavar="OUT",
            help=".safetensors (safe, needs no fastai), .onnx (ONNX Runtime), .xml (OpenVINO), .pkl (load_learner)",
        ),
    ],
    check: Annotated[
        list[Path] | None, typer.Option("--check", help="Recordings to compare with PyTorch on; synthetic songs")
    ] = None,
) -> None:
    """Write a trained model to the format that OUT's suffix names.

    An .onnx or .xml takes waveforms and gives probabilities, the spectrogram is inside; it is written only if its
    probabilities agree with PyTorch's to 1e-4. A .pkl of strangers can run any code: prefer .safetensors.

    Example: `birdfast export runs/first birds.onnx --check data/birdclef/test_soundscapes`
    """
    from birdfast.commands.export import export as write

    typer.echo(f"wrote {write(source, out, recordings=check or ())}")


def budget(
    model: ModelArg,
    files: Annotated[int, typer.Option(help="Soundscapes to score")] = 700,
    minutes: Annotated[float, typer.Option(help="Length of each, in minutes")] = 1.0,
    limit: Annotated[float, typer.Option(help="Time limit, in minutes")] = 90.0,
    on: Annotated[
        list[Path] | None, typer.Option("--on", help="Soundscapes to measure with; noise is made unless given")
    ] = None,
    batch_size: BatchSize = 16,
    workers: Workers = None,
) -> None:
    """Measure a model here, and say whether a submission with it fits the time limit, and how many such models do.

    Exit status 1 if one does not fit.

    Example: `birdfast budget birds.onnx --files 700 --minutes 1 --limit 90`
    """
    from birdfast.commands.budget import budget as measure

    found = measure(
        model,
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
