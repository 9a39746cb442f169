"""`birdfast doctor SOURCE`: what one would check by hand before training."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from birdfast.audio.read import read_headers
from birdfast.doctor.classes import check_classes
from birdfast.doctor.copies import check_duplicates
from birdfast.doctor.findings import Finding, Report
from birdfast.doctor.machine import check_machine
from birdfast.doctor.sound import check_decoder, check_lengths, check_paths, check_rates, check_readable, check_sound
from birdfast.doctor.split import check_rate_of_learning, check_split
from birdfast.errors import BirdfastError
from birdfast.recipe.presets import get_recipe
from birdfast.recipe.recipe import Recipe
from birdfast.sources.no_call import with_no_call
from birdfast.sources.read import Source, read_source
from birdfast.splits.sides import inside_files


def examine(
    source: Any,
    *,
    recipe: str | Path | Recipe = "improved",
    columns: Mapping[str, Any] | None = None,
    sample: int = 200,
    workers: int = 8,
) -> Report:
    """Answer every question that can be answered before training.

    Parameters
    ----------
    source, columns
        What :func:`~birdfast.sources.read.read_source` takes.
    recipe
        The one to train with: it decides the front end, the split and the backbone.
    sample
        Recordings to decode in full; the headers of all are read.
    workers
        Threads that read.
    """
    recipe = get_recipe(recipe)
    try:
        found = read_source(source, **(columns or {}))
        found = with_no_call(found) if recipe.no_call else found
    except BirdfastError as error:
        return Report("source", _name(source), [Finding("data", "fail", str(error))])  # at once: no look at the machine
    headers = read_headers(found.recordings["path"], workers=workers, progress=True)
    findings = [_introduce(found), check_paths(headers, recipe), check_readable(headers, recipe)]
    good = headers["error"].isna().to_numpy()
    if good.any():
        findings += [check_lengths(headers)]
        findings += [*check_rates(headers, recipe), check_sound(headers, sample=sample, workers=workers)]
        findings += check_decoder(headers)
    findings += [*check_classes(found, recipe), *check_duplicates(found.recordings[good])]
    if good.any():
        shapes = headers[["sample_rate", "channels", "duration"]]
        findings += check_split(inside_files(found.recordings.assign(**shapes)[good].reset_index(drop=True)), recipe)
    findings += [check_rate_of_learning(int(good.sum()), recipe), *check_machine(recipe)]
    return Report("source", _name(source), findings)


def _name(source: Any) -> str:
    return str(source) if isinstance(source, (str, Path)) else type(source).__name__


def _introduce(source: Source) -> Finding:
    recordings = source.recordings
    authors = recordings["author"].nunique()
    text = f"{source.layout}: {len(recordings)} recordings of {len(source.classes)} classes"
    text += f" by {authors} recordists" if authors else ", recordists unknown"
    if source.soundscapes is not None:
        text += f"; {source.soundscapes['path'].nunique()} labelled soundscapes"
    details = {"recordings": len(recordings), "classes": len(source.classes), "authors": authors}
    return Finding("data", "ok", text, details=details | {"layout": source.layout})
