"""The command line: its verbs, each in a file of `birdfast.commands` that is imported when it is wanted."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from birdfast import __version__
from birdfast.commands.shared.shell import Commands


class Birdfast(Commands):
    """In the order of the help: that of the work."""

    verbs = (
        "synth", "doctor", "train", "folds", "pseudo", "cache", "evaluate", "ladder", "predict", "embed", "export", "budget",
    )  # fmt: skip


app = typer.Typer(
    cls=Birdfast,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Train, judge and ship classifiers of bird calls. In this order: synth (or your own recordings), doctor, "
    "train, evaluate, predict. `birdfast COMMAND --help` shows an example of each.",
)


def _version(value: bool) -> None:
    if value:
        typer.echo(f"birdfast {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of an error (or BIRDFAST_DEBUG=1)")
    ] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version")
    ] = False,
) -> None:
    os.environ.setdefault("MPLBACKEND", "Agg")


def main() -> None:
    """The entry point of the command `birdfast`."""
    app(prog_name="birdfast")
