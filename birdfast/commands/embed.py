"""`birdfast embed`: recordings in, a folder of embeddings by a pretrained model out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from birdfast.commands.shared.options import MACHINE, WINDOWS, AudioRoot, File, Threads
from birdfast.files.places import is_url


def command(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE_OR_FOLDER",
            help="A folder: all sound in it; a file of sound; a csv or label table: the recordings that it names",
        ),
    ],
    out: Annotated[str, typer.Option("--out", "-o", help="A folder or its URL")],
    with_: Annotated[
        str, typer.Option("--with", help="birdnet, or an .onnx or .tflite with its settings in a .toml beside it")
    ] = "birdnet",
    step: Annotated[
        float | None,
        typer.Option(help="Seconds from window to window; less than a window: overlap", rich_help_panel=WINDOWS),
    ] = None,
    last: Annotated[
        str, typer.Option(help="The last, partial window: pad, drop, or shift it back", rich_help_panel=WINDOWS)
    ] = "pad",
    logits: Annotated[bool, typer.Option("--logits", help="Keep the model's own logits, too")] = False,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Windows embedded at once; a core each", rich_help_panel=MACHINE)
    ] = None,
    workers: Threads = None,
    file: File = None,
    audio_root: AudioRoot = None,
) -> None:
    """Embed recordings window by window with a pretrained model, into Parquet files; typed again it goes on where it was.

    `--set distill=OUT/embeddings` of `birdfast train` learns from them.

    Example: `birdfast embed data/birdclef --with birdnet --out embeddings`
    """
    from birdfast.embedders.job import embed_into
    from birdfast.embedders.load import load_embedder

    paths = _recordings(source, file, audio_root)
    found = load_embedder(with_, threads=threads)
    result = embed_into(out, found, paths, step=step, last=last, logits=logits, workers=workers)  # type: ignore[arg-type]
    broken = f"; {len(result.errors)} cannot be read, errors.csv says why" if result.errors else ""
    typer.echo(f"{len(result.done)} recordings are embedded by {found.name} in {out}{broken}")
    typer.echo(f"next: birdfast train {source} --set distill={out.rstrip('/')}/embeddings")


def _recordings(source: str, file: str | None, audio_root: str | None) -> str | list[str]:
    """Sound itself and folders of it as they are; of what names recordings, their paths."""
    from birdfast.audio.listing import is_audio
    from birdfast.sources.read import read_source

    if is_url(source) or Path(source).is_dir() or is_audio(source):
        return source
    return read_source(source, file=file, audio_root=audio_root).recordings["path"].unique().tolist()
