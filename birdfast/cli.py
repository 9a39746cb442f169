"""The command line. Heavy packages are imported inside the commands: `birdfast --help` answers at once."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated

import typer

from birdfast import __version__
from birdfast.commands.folds import folds, pseudo
from birdfast.commands.ladder import ladder
from birdfast.commands.options import (
    default_out,
    how_to_resume,
    read_columns,
    read_knobs,
    read_lr,
    resumed_recipe,
    source_words,
)
from birdfast.commands.shell import INTERRUPTED, Commands, exported_line, listing, score_lines
from birdfast.errors import BirdfastError
from birdfast.recipe import RECIPES, get_recipe

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

RECIPE_HELP = f"{', '.join(RECIPES)}, or a .toml or .json file"
COLUMNS, KNOBS, MACHINE = "Columns of a csv", "Knobs of the recipe", "Machine"
WINDOWS, EVENTS, SPECIES = "Windows", "Events", "Species"

SourceArg = Annotated[
    str,
    typer.Argument(
        metavar="SOURCE",
        help="BirdCLEF folder (or its name on Kaggle), folder per class, csv, Raven or Audacity labels",
    ),
]
ModelArg = Annotated[Path, typer.Argument(metavar="MODEL", help="A bundle (.safetensors), or the folder of a run")]
File = Annotated[str | None, typer.Option("--file", help="Column of file names", rich_help_panel=COLUMNS)]
Label = Annotated[str | None, typer.Option("--label", help="Column of labels", rich_help_panel=COLUMNS)]
Author = Annotated[str | None, typer.Option("--author", help="Column of recordists", rich_help_panel=COLUMNS)]
FoldColumn = Annotated[
    str | None,
    typer.Option("--fold-column", help="Column of official folds; none: split anew", rich_help_panel=COLUMNS),
]
AudioRoot = Annotated[
    str | None,
    typer.Option("--audio-root", help="Folder that the file names are relative to", rich_help_panel=COLUMNS),
]
Backbone = Annotated[str | None, typer.Option("--backbone", help="Any timm name", rich_help_panel=KNOBS)]
Weights = Annotated[str | None, typer.Option("--weights", help="pretrained, random or a file", rich_help_panel=KNOBS)]
BatchSize = Annotated[int, typer.Option(min=1, help="Windows a pass of the model", rich_help_panel=MACHINE)]
Workers = Annotated[
    int | None, typer.Option("--workers", min=0, help="Processes (train) or threads that read", rich_help_panel=MACHINE)
]
Cache = Annotated[
    str | None,
    typer.Option("--cache", help="waveform: decode each recording once, or spectrogram", rich_help_panel=MACHINE),
]
CacheDir = Annotated[Path, typer.Option("--cache-dir", help="Folder of the caches", rich_help_panel=MACHINE)]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON on standard output, and nothing else there")]


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
    from birdfast.recordings.synth import synth as make

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
    weights: Weights = None,
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
    lr: Annotated[str | None, typer.Option(help="Peak learning rate, or auto", rich_help_panel=KNOBS)] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the data", rich_help_panel=KNOBS)] = None,
    batch_size: Annotated[int | None, typer.Option(help="Clips a step", rich_help_panel=KNOBS)] = None,
    backbone: Backbone = None,
    weights: Weights = None,
    fold: Annotated[int | None, typer.Option(help="The fold to validate on", rich_help_panel=KNOBS)] = None,
    seed: Annotated[int | None, typer.Option(help="Same seed, same run (on CPU)", rich_help_panel=KNOBS)] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="KNOB=VALUE", help="Any other knob", rich_help_panel=KNOBS)
    ] = None,
    workers: Workers = None,
    cache: Cache = None,
    cache_dir: CacheDir = Path("cache"),
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
    cached = {"cache": cache, "cache_dir": str(cache_dir)} if cache else {}
    try:
        how = {"resume": resume, "export": export, "num_workers": workers}
        summary = train_run(source, wanted, folder, columns=columns, **how, **cached)  # type: ignore[arg-type]
    except KeyboardInterrupt:
        chosen = cached | ({"export": export} if export != "last" else {})
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


@app.command()
def evaluate(
    model: Annotated[
        Path, typer.Argument(metavar="MODEL", help="A bundle, the folder of a run, or a csv of scores or a submission")
    ],
    source: Annotated[
        str,
        typer.Argument(metavar="SOURCE", help="Where the truth is: BirdCLEF folder, solution.csv, labelled recordings"),
    ],
    truth: Annotated[
        Path | None, typer.Option(help="Solution or soundscape labels for the soundscapes in SOURCE")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Folder for index.html, tables and plots")] = None,
    fold: Annotated[int | None, typer.Option(help="Score the recordings of one fold of SOURCE only")] = None,
    batch_size: BatchSize = 16,
    workers: Workers = None,
    file: File = None,
    label: Label = None,
    author: Author = None,
    fold_column: FoldColumn = None,
    audio_root: AudioRoot = None,
) -> None:
    """Score a model, or a csv that it wrote, against what is known.

    A BirdCLEF folder is scored by the truth of its test soundscapes (solution.csv) if it has one, else by its labelled
    soundscapes; any other source by its recordings, windows averaged. What was scored is the first line of the answer.

    Example: `birdfast evaluate runs/first data/birdclef --out report`
    """
    from birdfast.commands.evaluate import evaluate as judge

    columns = read_columns(file, label, author, fold_column, audio_root)
    options = {"truth": truth, "fold": fold, "columns": columns, "batch_size": batch_size, "workers": workers}
    result = judge(model, source, **options)  # type: ignore[arg-type]
    scorable = int(result.per_class["auc"].notna().sum())
    typer.echo(f"scored {result.what}")
    typer.echo(f"{len(result.targets)} rows, {scorable} of {len(result.classes)} classes can be ranked")
    typer.echo(score_lines(result.summary))
    errors = ", ".join(f"{value:.4f} {name}" for name, value in result.calibration_errors.items())
    typer.echo(f"  calibration error {errors}")
    if out:
        typer.echo(f"everything is in {result.write(out)}:\n{listing(out)}")


app.command()(ladder)


@app.command()
def predict(
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="MODEL... PATHS...", help="Bundles or runs (several: their mean), then recordings, folders"
        ),
    ],
    out: Annotated[
        str, typer.Option("--out", "-o", help="A folder or its URL; a .csv for scores alone")
    ] = "predictions.csv",
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
    as_: Annotated[
        list[str] | None,
        typer.Option(
            "--as", help="csv, events (unless given), raven, audacity, flac, wav; repeat", rich_help_panel=EVENTS
        ),
    ] = None,
    threshold: Annotated[
        str | None,
        typer.Option(help="A number (0.5), f1 or precision as fitted in training, or a csv", rich_help_panel=EVENTS),
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
    engine: Annotated[str, typer.Option(help="local, or ray for a cluster", rich_help_panel=MACHINE)] = "local",
    batch_size: BatchSize = 4,  # less memory, and as fast on a CPU
    workers: Workers = None,
) -> None:
    """Score recordings of any length, window by window, into a folder: Parquet, events, selection tables, sound.

    Killed and typed again it goes on where it was; what changed is scored anew. Recordings that cannot be read are
    listed in errors.csv. With --submission it writes what Kaggle takes.

    Example: `birdfast predict runs/first soundscapes/ --out results --as raven --threshold f1`
    """
    from birdfast.commands.predict import PredictOptions, ViewOptions, split_words
    from birdfast.commands.predict import predict as score

    how = PredictOptions(step, last, engine, batch_size, workers)
    view = ViewOptions(keep, drop, strict, threshold, top_k, gap, merge, calibrate, average)
    try:
        models, paths = split_words(words)
        said = score(models, paths, out, submission=submission, formats=as_ or (), context=context, how=how, view=view)
    except KeyboardInterrupt:
        kept = "" if out.endswith(".csv") else "; what is done is kept, the same command goes on"
        typer.echo(f"\nbirdfast: stopped{kept}", err=True)
        raise typer.Exit(INTERRUPTED) from None
    if said:
        typer.echo(said)


@app.command()
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


@app.command()
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


def main() -> None:
    """The entry point of the command `birdfast`."""
    app(prog_name="birdfast")
