"""`birdfast cache`: a source in, its recordings decoded once on the disk."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from birdfast.audio.cache import CACHE_ROOT, CACHES, cache_waveforms
from birdfast.audio.read import read_headers
from birdfast.audio.store import Store
from birdfast.errors import BirdfastError, unknown
from birdfast.recipe.recipe import Recipe
from birdfast.sources.read import read_source
from birdfast.sources.source import check_cache_place


def make_cache(
    source: Any,
    recipe: Recipe,
    out: str | Path = CACHE_ROOT,
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
        from birdfast.training.cached import cache_spectrograms

        store = cache_spectrograms(good, recipe, out, workers=workers)
    return store, sum(path not in store.index for path in headers["path"])
