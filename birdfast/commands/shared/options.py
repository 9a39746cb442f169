"""Arguments and options that several commands share, as typer shows them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from birdfast.recipe.presets import RECIPES

RECIPE_HELP = f"auto (what suits the data), {', '.join(RECIPES)}, a .toml or .json file, or a bundle"
COLUMNS, KNOBS, MACHINE = "Columns of a csv", "Knobs of the recipe", "Machine"
WINDOWS, POST, EVENTS, SPECIES = "Windows", "Post-processing", "Events", "Species"
ENSEMBLE = "Several models"

SourceArg = Annotated[
    str,
    typer.Argument(
        metavar="SOURCE",
        help="BirdCLEF folder (or its name on Kaggle), folder per class, csv, Raven or Audacity labels",
    ),
]
File = Annotated[str | None, typer.Option("--file", help="Column of file names", rich_help_panel=COLUMNS)]
Label = Annotated[str | None, typer.Option("--label", help="Column of labels", rich_help_panel=COLUMNS)]
Author = Annotated[str | None, typer.Option("--author", help="Column of recordists", rich_help_panel=COLUMNS)]
FoldColumn = Annotated[
    str | None,
    typer.Option("--fold-column", help="Column of official folds; none: split anew", rich_help_panel=COLUMNS),
]
Backbone = Annotated[
    str | None, typer.Option("--backbone", help="Any convolutional backbone of timm", rich_help_panel=KNOBS)
]
BackboneWeights = Annotated[
    str | None, typer.Option("--weights", help="pretrained, random or a file", rich_help_panel=KNOBS)
]
Rate = Annotated[str | None, typer.Option("--lr", help="Peak learning rate, auto or backbone", rich_help_panel=KNOBS)]
Epochs = Annotated[int | None, typer.Option("--epochs", help="Passes over the data", rich_help_panel=KNOBS)]
Clips = Annotated[int | None, typer.Option("--batch-size", help="Clips a step", rich_help_panel=KNOBS)]
AudioRoot = Annotated[
    str | None,
    typer.Option("--audio-root", help="Folder that the file names are relative to", rich_help_panel=COLUMNS),
]
BatchSize = Annotated[int, typer.Option(min=1, help="Windows a pass of the model", rich_help_panel=MACHINE)]
Workers = Annotated[
    int | None, typer.Option("--workers", min=0, help="Processes (train) or threads that read", rich_help_panel=MACHINE)
]
Threads = Annotated[int | None, typer.Option("--workers", min=1, help="Threads that decode", rich_help_panel=MACHINE)]
Cache = Annotated[
    str | None,
    typer.Option("--cache", help="waveform: decode each recording once, or spectrogram", rich_help_panel=MACHINE),
]
CacheDir = Annotated[
    Path | None, typer.Option("--cache-dir", help="Folder of the caches; cache unless given", rich_help_panel=MACHINE)
]
Out = Annotated[Path, typer.Option("--out", "-o", help="Folder of the study; it goes on where it was stopped")]
RecipeName = Annotated[str, typer.Option("--recipe", "-r", help=RECIPE_HELP)]
FoldList = Annotated[str | None, typer.Option("--folds", help="Those to train, as 0,1; all unless given")]
Set = Annotated[
    list[str] | None, typer.Option("--set", metavar="KNOB=VALUE", help="Any other knob", rich_help_panel=KNOBS)
]
PseudoLabels = Annotated[
    Path | None,
    typer.Option("--pseudo", help="Parquet of pseudo-labels, as birdfast pseudo writes; the recipe needs pseudo_mix"),
]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON on standard output, and nothing else there")]
Shift = Annotated[
    float,
    typer.Option(
        "--shift", help="Average in the windows this many s earlier and later, as 2.5; 0: off", rich_help_panel=POST
    ),
]
Smooth = Annotated[
    str | None,
    typer.Option(
        "--smooth", help="Weights of a window and its neighbours: 0.2,0.6,0.2, or default", rich_help_panel=POST
    ),
]
SmoothGroup = Annotated[
    list[str] | None,
    typer.Option(
        "--smooth-group", metavar="GROUP=WEIGHTS", help="Those of a group of --taxonomy; repeat", rich_help_panel=POST
    ),
]
Taxonomy = Annotated[
    Path | None,
    typer.Option("--taxonomy", help="csv: primary_label, class_name (Aves, Amphibia, ...)", rich_help_panel=POST),
]
FileTop = Annotated[
    int,
    typer.Option(
        "--file-top",
        min=0,
        help="Multiply by the mean of a class's N best windows of the recording; 1: by its maximum",
        rich_help_panel=POST,
    ),
]
Blend = Annotated[
    str,
    typer.Option(
        "--blend", help="mean of probabilities, or rank: of the order of all windows", rich_help_panel=ENSEMBLE
    ),
]
Weights = Annotated[
    str | None,
    typer.Option("--weights", help="What each model counts, with commas: 0.8,0.2", rich_help_panel=ENSEMBLE),
]
