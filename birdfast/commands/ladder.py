"""`birdfast ladder`: is each technique worth it, on this data?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from birdfast.commands.shared.options import (
    AudioRoot,
    Author,
    Cache,
    CacheDir,
    Epochs,
    File,
    FoldColumn,
    Label,
    Set,
    SourceArg,
    Workers,
)
from birdfast.commands.shared.places import check_source
from birdfast.commands.shared.shell import listing, stopped
from birdfast.commands.shared.typed import read_cache, read_columns, read_knobs
from birdfast.errors import BirdfastError
from birdfast.studies.rungs import MAIN, RUNGS, ablation, find_rungs

DEFAULT = ",".join(rung.name for rung in MAIN)


def _list(wanted: bool) -> None:
    if wanted:
        typer.echo("\n".join(f"{rung.name}: {rung.adds}" for rung in RUNGS.values()))
        raise typer.Exit


def command(
    source: SourceArg,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the rows, the table and the plot")],
    rungs: Annotated[
        str | None,
        typer.Option(help="Names with commas between; all: every one that birdfast knows", show_default=f'"{DEFAULT}"'),
    ] = None,
    ablate: Annotated[
        str | None,
        typer.Option(
            metavar="RECIPE", help="In place of rungs: a recipe, with the knobs set, less one technique at a time"
        ),
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Trainings of each rung: seeds 0, 1, ...")] = 3,
    score: Annotated[
        str | None, typer.Option(help="What decides: soundscape_roc_auc, roc_auc, accuracy or rare_accuracy")
    ] = None,
    list_: Annotated[
        bool, typer.Option("--list", callback=_list, is_eager=True, help="Name every rung, and what it adds")
    ] = False,
    epochs: Epochs = None,
    set_: Set = None,
    workers: Workers = None,
    cache: Cache = None,
    cache_dir: CacheDir = None,
    file: File = None,
    label: Label = None,
    author: Author = None,
    fold_column: FoldColumn = None,
    audio_root: AudioRoot = None,
) -> None:
    """Train recipes side by side, each with the same seeds and splits, and say which step pays.

    A training leaves its row in OUT/ladder.csv as it ends: stopped and typed again, the ladder goes on. With more rungs
    or seeds, it measures those that are missing.

    `--list` names the rungs; docs/remedies.md tells what each does, and what it gained.

    Example: `birdfast ladder data/birdclef --rungs "small,small + mixup" --epochs 8 --out runs/ladder`
    """
    if ablate is not None and rungs is not None:
        raise BirdfastError("--ablate makes its own rungs: leave out --rungs, or --ablate")
    knobs = read_knobs({"epochs": epochs}, set_ or [])
    chosen = find_rungs(MAIN if rungs is None else rungs) if ablate is None else ablation(ablate, **knobs)
    how: dict[str, Any] = {"score": score, "num_workers": workers, **read_cache(cache, cache_dir)}
    columns = read_columns(file, label, author, fold_column, audio_root)
    check_source(source)
    from birdfast.studies.ladder import ladder

    with stopped(lambda: "; the finished rows are kept, the same command goes on"):
        done = ladder(source, chosen, out, seeds, columns=columns, **how, **knobs)
    typer.echo(str(done))
    typer.echo(f"everything is in {done.write()}:\n{listing(out)}")
