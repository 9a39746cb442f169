"""`birdfast cache`: a source in, its recordings decoded once on the disk."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from birdfast.commands.shared.options import (
    RECIPE_HELP,
    AudioRoot,
    Author,
    File,
    FoldColumn,
    Label,
    SourceArg,
    Workers,
)
from birdfast.commands.shared.typed import read_columns, read_knobs
from birdfast.errors import BirdfastError, unknown
from birdfast.notes import loading
from birdfast.recipe.presets import get_recipe
from birdfast.recipe.recipe import Recipe
from birdfast.sources.words import source_words

if TYPE_CHECKING:
    from birdfast.audio.store import Store


def command(
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
    columns = read_columns(file, label, author, fold_column, audio_root)
    named = get_recipe(recipe, **read_knobs({}, set_ or []))
    store, left_out = make_cache(source, named, out, kind=kind, columns=columns, workers=workers)
    rest = f"; {left_out} of {source} are not, training reads their files" if left_out else ""
    typer.echo(f"{len(store.index)} recordings are cached in {store.folder}{rest}")
    where = {"recipe": recipe, "cache": kind, "cache_dir": out}
    sets = "".join(f" --set {setting}" for setting in set_ or [])
    typer.echo(f"next: birdfast train {source_words(source, columns | where)}{sets}")


def make_cache(
    source: Any,
    recipe: Recipe,
    out: str | Path,
    *,
    kind: str = "waveform",
    columns: Mapping[str, Any] | None = None,
    workers: int | None = None,
) -> tuple[Store, int]:
    """Cache what `source` holds, as `recipe` wants it; returns the store, and how many recordings are not in it.

    Parameters
    ----------
    source, columns
        What :func:`~birdfast.sources.read.read_source` takes.
    kind
        "waveform": training gives the same as from the files; "spectrogram": faster still, and an approximation.

    Raises
    ------
    BirdfastError
        No recording can be read, or the disk has not room enough.
    """
    from birdfast.audio.cache import CACHES, cache_waveforms
    from birdfast.audio.read import read_headers
    from birdfast.sources.read import read_source
    from birdfast.sources.source import check_cache_place

    if kind not in CACHES:
        raise unknown("kind of cache", kind, CACHES)
    found = read_source(source, **(columns or {}))
    check_cache_place(out, found)
    headers = read_headers(found.recordings["path"].unique(), progress=True)
    good = headers[headers["error"].isna()]
    if good.empty:
        raise BirdfastError(f"none of the {len(headers)} recordings can be read: run `birdfast doctor` on the data")
    if kind == "waveform":
        store = cache_waveforms(good, out, sample_rate=recipe.sample_rate, workers=workers)
    else:
        with loading():
            from birdfast.training.cached import cache_spectrograms

        store = cache_spectrograms(good, recipe, out, workers=workers)
    return store, sum(path not in store.index for path in headers["path"])
