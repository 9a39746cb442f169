"""`birdfast export`: runs, bundles or pickles in; a bundle, a pickle, ONNX or OpenVINO out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from birdfast.commands.shared.options import Weights
from birdfast.commands.shared.typed import read_weights
from birdfast.errors import BirdfastError


def command(
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
    *sources, out = words
    if not sources:
        raise BirdfastError(f"only {out} is named: give the folder of a run or a bundle, then the file to write")
    counts = read_weights(weights)
    from birdfast.commands.exporting.write import export

    typer.echo(f"wrote {export(sources, out, recordings=check or (), weights=counts)}")
