"""What is typed at the shell, as knobs and folders."""

from __future__ import annotations

import shlex
import tomllib
from collections.abc import Iterable, Mapping
from datetime import date
from pathlib import Path
from typing import Any

from birdfast.commands.shared.places import check_source
from birdfast.errors import BirdfastError, unknown
from birdfast.recipe.auto import AUTO
from birdfast.recipe.presets import get_recipe
from birdfast.recipe.recipe import Recipe, changed_knobs
from birdfast.sources.words import source_words
from birdfast.splits.run_files import RECIPE


def read_knobs(options: Mapping[str, Any], settings: Iterable[str]) -> dict[str, Any]:
    """The knobs that were given: `options` that are not None, and ``knob=value`` of --set with values as in TOML."""
    knobs = {name: value for name, value in options.items() if value is not None}
    for setting in settings:
        name, equals, text = setting.partition("=")
        if not equals or not name.strip():
            raise BirdfastError(f"--set takes knob=value, as in --set mixup_alpha=0.2, not {setting!r}")
        knobs[name.strip()] = _value(text.strip())
    return knobs


def _value(text: str) -> Any:
    """A TOML value; what is none is a string that needs no quotes here."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def read_lr(text: str | None) -> float | str | None:
    """A learning rate as it was typed."""
    if text in (None, "auto", "backbone"):
        return text
    try:
        return float(text)
    except ValueError:
        raise BirdfastError(f"--lr takes a number, auto or backbone, not {text!r}") from None


def read_columns(
    file: str | None, label: str | None, author: str | None, fold: str | None, audio_root: str | None
) -> dict[str, str]:
    """What :func:`~birdfast.sources.read.read_source` is told about a csv: only what was given."""
    options = {"file": file, "label": label, "author": author, "fold": fold, "audio_root": audio_root}
    return {name: value for name, value in options.items() if value is not None}


def read_cache(cache: str | None, cache_dir: Path | None) -> dict[str, str]:
    """The cache to train from, as options; nothing without one."""
    if cache is None and cache_dir is not None:
        raise BirdfastError(f"--cache-dir {cache_dir} is the folder of a cache: add --cache waveform, or leave it out")
    if cache is None:
        return {}
    from birdfast.audio.cache import CACHE_ROOT, CACHES

    if cache not in CACHES:
        raise unknown("cache", cache, CACHES)
    return {"cache": cache, "cache_dir": str(cache_dir or CACHE_ROOT)}


def default_out(source: str, recipe: Recipe) -> Path:
    """``runs/<source>-<recipe>-<date>``."""
    return Path("runs") / f"{Path(source).stem or 'data'}-{recipe.name}-{date.today().isoformat()}"


def resumed_recipe(out: Path, recipe: str | None, knobs: Mapping[str, Any]) -> Recipe:
    """The recipe of the run in `out`, with the epochs asked for.

    Raises
    ------
    BirdfastError
        If there is no run, or another knob than `epochs` was given a value that is not the run's.
    """
    if not (out / RECIPE).is_file():
        raise BirdfastError(f"there is no run to resume in {out}: give its folder with --out, or leave out --resume")
    stored = Recipe.load(out / RECIPE)
    wanted = stored.with_(**knobs) if recipe is None else get_recipe(recipe, **knobs)
    if changed := changed_knobs(stored.to_dict(), wanted.to_dict()):
        raise BirdfastError(f"a run goes on with its own recipe, only --epochs may change; you changed {changed}")
    return stored.with_(epochs=knobs.get("epochs", stored.epochs))


def how_to_resume(source: str, columns: Mapping[str, Any], out: Path, more: Mapping[str, Any] | None = None) -> str:
    """What to type to go on with the run in `out`, with `more` of its options; empty if it has not begun."""
    if not (out / RECIPE).is_file():
        return ""
    words = f"{source_words(source, {**columns, **(more or {})})} --out {shlex.quote(str(out))}"
    return f"; the epochs that ended are kept, go on with: birdfast train {words} --resume"


def read_folds(text: str | None) -> list[int] | None:
    """The numbers of ``0,1``; None where nothing was given."""
    try:
        return None if text is None else [int(part) for part in text.split(",")]
    except ValueError:
        raise BirdfastError(f"--folds takes numbers with commas, as in --folds 0,1, not {text!r}") from None


def read_weights(text: str | None) -> list[float] | None:
    """What each of several models counts, as typed with commas."""
    if text is None:
        return None
    try:
        return [float(weight) for weight in text.split(",")]
    except ValueError:
        raise BirdfastError(f"--weights takes a number for each model, with commas, as 0.8,0.2, not {text!r}") from None


def named_recipe(recipe: str, source: str, columns: dict[str, Any], knobs: dict[str, Any]) -> Recipe:
    """The recipe that a person typed; for "auto" the source is read, to see what suits it."""
    if recipe != AUTO:
        return get_recipe(recipe, **knobs)
    check_source(source)
    from birdfast.sources.read import read_source
    from birdfast.splits.auto import recipe_for

    return recipe_for(AUTO, read_source(source, **columns), **knobs)
