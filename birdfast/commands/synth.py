"""`birdfast synth`: an invented BirdCLEF."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def command(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="A new or empty folder")],
    classes: Annotated[int, typer.Option(help="Species")] = 20,
    recordings: Annotated[int, typer.Option(help="Training recordings")] = 300,
    tail: Annotated[float, typer.Option(help="How unequal the classes are; 0: equal")] = 1.0,
    difficulty: Annotated[
        float, typer.Option(help="0: loud, clear song; 2: faint, individuals unlike each other")
    ] = 1.0,
    year: Annotated[int, typer.Option(help="Layout of BirdCLEF, 2021 to 2026")] = 2026,
    seed: Annotated[int, typer.Option(help="Same seed, same data")] = 0,
) -> None:
    """Make a small BirdCLEF on the spot: invented species, their recordings, soundscapes, and the truth.

    Example: `birdfast synth data/birdclef --classes 50 --recordings 1000`
    """
    from birdfast.synthetic.synth import synth

    options = {"n_classes": classes, "n_recordings": recordings, "tail": tail, "difficulty": difficulty, "year": year}
    folder = synth(out, **options, seed=seed, progress=True)  # type: ignore[arg-type]
    typer.echo(f"wrote {folder}: {classes} classes, {recordings} recordings in the layout of {year}")
    typer.echo(f"next: birdfast doctor {folder}")
