"""The command line. Heavy packages are imported inside the commands: `birdfast --help` answers at once."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated

import typer

from birdfast import __version__
from birdfast.commands.arguments import (
    KNOBS,
    RECIPE_HELP,
    AsJson,
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
    Label,
    PseudoLabels,
    Rate,
    SourceArg,
    Workers,
)
from birdfast.commands.embed import embed
from birdfast.commands.evaluate_cli import evaluate
from birdfast.commands.folds import folds, pseudo
from birdfast.commands.ladder import ladder
from birdfast.commands.options import (
    default_out,
    how_to_resume,
    read_cache,
    read_columns,
    read_knobs,
    read_lr,
    resumed_recipe,
    source_words,
)
from birdfast.commands.predict_cli import predict
from birdfast.commands.shell import INTERRUPTED, Commands, exported_line, listing, score_lines
from birdfast.commands.ship_cli import budget, export
from birdfast.errors import BirdfastError
from birdfast.recipe.presets import get_recipe

app = typer.Typer(
    cls=Commands,
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


@app.command()
def synth(
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
    from birdfast.synthetic.synth import synth as make

    options = {"n_classes": classes, "n_recordings": recordings, "tail": tail, "difficulty": difficulty, "year": year}
    folder = make(out, **options, seed=seed, progress=True)  # type: ignore[arg-type]
    typer.echo(f"wrote {folder}: {classes} classes, {recordings} recordings in the layout of {year}")
    typer.echo(f"next: birdfast doctor {folder}")


@app.command()
def doctor(
    source: Annotated[
        str, typer.Argument(metavar="SOURCE_OR_RUN", help="What you will train on, or the folder of a run")
    ],
    recipe: Annotated[str, typer.Option("--recipe", "-r", help=RECIPE_HELP)] = "improved",
    sample: Annotated[int, typer.Option(min=1, help="Recordings to decode in full; the headers of all are read")] = 200,
    backbone: Backbone = None,
    weights: BackboneWeights = None,
    as_json: AsJson = False,
    file: File = None,
    label: Label = None,
    author: Author = None,
    fold_column: FoldColumn = None,
    audio_root: AudioRoot = None,
) -> None:
    """Look before training, and after a run that did not learn.

    Of data: is it found, readable, balanced, free of leaks and copies; what will train, with which weights. Of a run:
    did it learn, over-fit or diverge, the likely cause, and the command to type next. Exit status 1 if a check failed.

    Example: `birdfast doctor data/birdclef`, and later `birdfast doctor runs/first`
    """
    from birdfast.doctor import diagnose, examine, is_run

    columns = read_columns(file, label, author, fold_column, audio_root)
    run = is_run(source)
    knobs = read_knobs({"backbone": backbone, "weights": weights}, [])
    if run and knobs:
        raise BirdfastError(f"{source} is a run, which has its own {' and '.join(knobs)}: leave them out")
    named = get_recipe(recipe, **knobs)
    report = diagnose(source) if run else examine(source, recipe=named, columns=columns, sample=sample)
    typer.echo(json.dumps(report.to_dict(), indent=2) if as_json else report.text())
    if not report.ok:
        raise typer.Exit(1)


@app.command()
def train(
    source: SourceArg,
    recipe: Annotated[str | None, typer.Option("--recipe", "-r", help=RECIPE_HELP)] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Folder of the run; runs/SOURCE-RECIPE-DATE")] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run in --out; only --epochs may change")
    ] = False,
    export: Annotated[
        str, typer.Option(help="Weights to export and score: last, or best (epoch of the highest validation ROC-AUC)")
    ] = "last",
    lr: Rate = None,
    epochs: Epochs = None,
    batch_size: Clips = None,
    backbone: Backbone = None,
    weights: BackboneWeights = None,
    fold: Annotated[int | None, typer.Option(help="The fold to validate on", rich_help_panel=KNOBS)] = None,
    seed: Annotated[int | None, typer.Option(help="Same seed, same run (on CPU)", rich_help_panel=KNOBS)] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="KNOB=VALUE", help="Any other knob", rich_help_panel=KNOBS)
    ] = None,
    pseudo: PseudoLabels = None,
    workers: Workers = None,
    cache: Cache = None,
    cache_dir: CacheDir = None,
    file: File = None,
    label: Label = None,
    author: Author = None,
    fold_column: FoldColumn = None,
    audio_root: AudioRoot = None,
) -> None:
    """Train a classifier and write the folder of the run: recipe, checkpoints, history, both exports, tables, plots.

    A run that was stopped goes on with --resume and ends with the same weights; one that has ended goes on to more
    --epochs. Small data sets want `--lr auto`. The exports and the figures are of the last epoch unless --export best;
    `--resume --export best` exports a run that has ended anew.

    Example: `birdfast train data/birdclef --lr auto --set mixup_alpha=0.2 --out runs/first`
    """
    from birdfast.commands.train import train_run

    options = {"lr": read_lr(lr), "epochs": epochs, "batch_size": batch_size, "backbone": backbone, "weights": weights}
    knobs = read_knobs(options | {"fold": fold, "seed": seed}, set_ or [])
    named = get_recipe(recipe or "improved", **({} if resume else knobs))
    folder = out or default_out(source, named)
    wanted = resumed_recipe(folder, recipe, knobs) if resume else named
    columns = read_columns(file, label, author, fold_column, audio_root)
    more = read_cache(cache, cache_dir)
    more |= {"pseudo": str(pseudo)} if pseudo else {}
    try:
        how = {"resume": resume, "export": export, "num_workers": workers}
        summary = train_run(source, wanted, folder, columns=columns, **how, **more)  # type: ignore[arg-type]
    except KeyboardInterrupt:
        chosen = more | ({"export": export} if export != "last" else {})
        typer.echo(f"\nbirdfast: stopped{how_to_resume(source, columns, folder, chosen)}", err=True)
        raise typer.Exit(INTERRUPTED) from None
    if not summary:
        return  # of several processes the first speaks
    typer.echo(score_lines(summary["metrics"]))
    typer.echo(exported_line(summary))
    typer.echo(f"{summary['seconds']:.0f} s at lr={summary['lr']:.2g}; everything is in {folder}:")
    typer.echo(listing(folder))
    typer.echo(f"next: birdfast doctor {folder}")


app.command()(folds)
app.command()(pseudo)


@app.command()
def cache(
    source: SourceArg,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the caches")] = Path("cache"),
    kind: Annotated[str, typer.Option(help="waveform, or spectrogram: faster, and an approximation")] = "waveform",
    recipe: Annotated[str, typer.Option("--recipe", "-r", help=RECIPE_HELP)] = "improved",
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="KNOB=VALUE", help="A knob of the recipe: sample_rate=16000")
    ] = None,
    workers: Workers = None,
    file: File = None,
    label: Label = None,
    author: Author = None,
    fold_column: FoldColumn = None,
    audio_root: AudioRoot = None,
) -> None:
    """Decode every recording once, for training with --cache; a run that was stopped goes on where it was.

    Waveforms are mono, 16 bits, at the recipe's rate: 230 MB an hour at 32 kHz. What changes is made anew.

    Example: `birdfast cache data/birdclef --out cache`, then `birdfast train data/birdclef --cache waveform`
    """
    from birdfast.commands.cache import make_cache

    columns = read_columns(file, label, author, fold_column, audio_root)
    named = get_recipe(recipe, **read_knobs({}, set_ or []))
    store, left_out = make_cache(source, named, out, kind=kind, columns=columns, workers=workers)
    rest = f"; {left_out} of {source} are not, training reads their files" if left_out else ""
    typer.echo(f"{len(store.index)} recordings are cached in {store.folder}{rest}")
    where = {"recipe": recipe, "cache": kind, "cache_dir": out}
    sets = "".join(f" --set {setting}" for setting in set_ or [])
    typer.echo(f"next: birdfast train {source_words(source, columns | where)}{sets}")


for command in (embed, evaluate, ladder, predict, export, budget):
    app.command()(command)


def main() -> None:
    """The entry point of the command `birdfast`."""
    app(prog_name="birdfast")
