"""`birdfast doctor SOURCE`: what one would check by hand before training."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from birdfast.audio.read import read_headers
from birdfast.doctor.findings import Finding, Report, first_few
from birdfast.doctor.machine import check_machine
from birdfast.doctor.sound import check_decoder, check_lengths, check_paths, check_rates, check_readable, check_sound
from birdfast.errors import BirdfastError
from birdfast.recipe.advice import epoch_steps, lr_too_low
from birdfast.recipe.presets import get_recipe
from birdfast.recipe.recipe import Recipe
from birdfast.sources.labels import REMEDY, check_labels
from birdfast.sources.no_call import with_no_call
from birdfast.sources.read import Source, read_source
from birdfast.splits.folds import LeakReport, leak_report, official_folds
from birdfast.splits.sides import inside_files, of_soundscapes, split_both

UNEQUAL = 20  # largest class over the median from which weighted sampling is advised


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
        findings = [Finding("data", "fail", str(error)), *check_machine(recipe)]
        return Report("source", _name(source), findings)
    headers = read_headers(found.recordings["path"], workers=workers, progress=True)
    findings = [_introduce(found), check_paths(headers, recipe), check_readable(headers, recipe)]
    good = headers["error"].isna().to_numpy()
    if good.any():
        findings += [check_lengths(headers)]
        findings += [*check_rates(headers, recipe), check_sound(headers, sample=sample, workers=workers)]
        findings += check_decoder(headers)
    findings += [*_check_classes(found, recipe), *_check_duplicates(found.recordings[good])]
    if good.any():
        shapes = headers[["sample_rate", "channels", "duration"]]
        findings += _check_split(inside_files(found.recordings.assign(**shapes)[good].reset_index(drop=True)), recipe)
    findings += [_check_rate_of_learning(int(good.sum()), recipe), *check_machine(recipe)]
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


def _check_classes(source: Source, recipe: Recipe) -> Iterator[Finding]:
    """The labels themselves, how unequal the classes are, which are too rare to be learned or judged."""
    yield _check_labels(source)
    counts = source.recordings["primary_label"].value_counts().reindex(source.classes, fill_value=0)
    some = counts[counts > 0]
    if some.empty:
        return
    yield _check_balance(some, recipe)
    yield _check_rare(counts)


def _check_labels(source: Source) -> Finding:
    foreign = list(source.foreign)
    try:
        check_labels(source.recordings, source.classes)
    except BirdfastError as error:
        return Finding("labels", "fail", str(error))
    if foreign:
        message = (
            f"{len(foreign)} labels of soundscapes are outside the class list, and are dropped: {first_few(foreign)}"
        )
        return Finding("labels", "warn", message, REMEDY, {"foreign": foreign})
    return Finding("labels", "ok", f"every label is one of the {len(source.classes)} classes")


def _check_balance(counts: pd.Series, recipe: Recipe) -> Finding:
    text = (
        f"the largest class has {counts.max()} recordings, the median {counts.median():g}, the smallest {counts.min()}"
    )
    details = {"counts": counts.to_dict()}
    if recipe.sampling_power:
        text += f"; rare ones are drawn more often (sampling_power={recipe.sampling_power:g})"
    elif counts.max() > UNEQUAL * counts.median():
        remedy = "--set sampling_power=0.5 draws rare classes more often"
        return Finding("balance", "warn", text, remedy, details)
    return Finding("balance", "ok", text, details=details)


def _check_rare(counts: pd.Series) -> Finding:
    none, single = counts.index[counts == 0].tolist(), counts.index[counts == 1].tolist()
    if not none and not single:
        return Finding("rare", "ok", "every class has two recordings or more")
    parts = [f"{len(none)} classes without any recording: {first_few(none)}"] if none else []
    parts += [f"{len(single)} with one only, which trains and is never judged: {first_few(single)}"] if single else []
    remedy = "add recordings (xeno-canto, labelled soundscapes), or know that these cannot be scored"
    return Finding("rare", "warn", "; ".join(parts), remedy, {"none": none, "single": single})


def _check_duplicates(recordings: pd.DataFrame) -> Iterator[Finding]:
    """Files of the same bytes, and whether they agree on who sings."""
    labels = {str(path): sorted(set(names)) for path, names in recordings.groupby("path")["primary_label"]}
    groups = _identical(list(labels))
    if not groups:
        yield Finding("duplicates", "ok", "no two files are the same")
        return
    extra = sum(len(group) - 1 for group in groups)
    example = " = ".join(groups[0][:2])
    remedy = "keep one of each: `details` of --json lists them"
    yield Finding("duplicates", "warn", f"{extra} files are copies of others: {example}", remedy, {"groups": groups})
    odd = [group for group in groups if len({tuple(labels[path]) for path in group}) > 1]
    if odd:
        first = "; ".join(f"{path}: {', '.join(labels[path])}" for path in odd[0][:2])
        message = f"{len(odd)} recordings appear under different labels: {first}"
        remedy = "decide which label is right, and remove the other copy"
        yield Finding("contradictions", "warn", message, remedy, {"groups": odd})


def _identical(paths: list[str]) -> list[list[str]]:
    """Groups of files with the same content; only those of equal size are read."""
    by_size = pd.Series(paths, index=[Path(path).stat().st_size for path in paths])
    groups: dict[bytes, list[str]] = {}
    for path in by_size[by_size.index.duplicated(keep=False)]:
        with Path(path).open("rb") as file:
            digest = blake2b(digest_size=16)
            while block := file.read(1 << 20):
                digest.update(block)
        groups.setdefault(digest.digest(), []).append(path)
    return [group for group in groups.values() if len(group) > 1]


def _check_split(recordings: pd.DataFrame, recipe: Recipe) -> Iterator[Finding]:
    """What training and validation share, and whether there is enough of both."""
    try:
        is_valid = split_both(recordings, recipe)
    except BirdfastError as error:
        yield Finding("split", "fail", str(error))
        return
    leaks = leak_report(recordings, is_valid, group=recipe.group, audio=True)
    n_train, n_valid = int(np.sum(~is_valid)), int(np.sum(is_valid))
    text = f"{n_train} to train, {n_valid} to validate (fold {recipe.fold} of {recipe.n_folds}); {leaks.line()}"
    found = leaks.to_dict()
    remedy = _against_leaks(leaks, official=official_folds(recordings[~of_soundscapes(recordings)]) is not None)
    yield Finding("split", "ok" if leaks.ok else "warn", text + _examples(found), "" if leaks.ok else remedy, found)
    yield _check_batch(n_train, recipe)


def _check_batch(n_train: int, recipe: Recipe) -> Finding:
    """Whether an epoch has steps enough to learn from."""
    steps, smaller = epoch_steps(n_train, recipe.batch_size)
    message, remedy = f"{steps} (batch_size={recipe.batch_size})", f"--batch-size {smaller}, or more recordings"
    if n_train < recipe.batch_size:
        message = f"{n_train} training recordings are fewer than batch_size={recipe.batch_size}"
        return Finding("batch", "fail", message, remedy)
    if smaller:
        return Finding("batch", "warn", f"{message}: few to learn from", remedy)
    return Finding("batch", "ok", message)


def _against_leaks(leaks: LeakReport, *, official: bool) -> str:
    """What to do about a split that leaks, or of which nobody can tell."""
    if not leaks.known:
        return (
            "name the column of recordists (--author), or train with --set group=COLUMN, whose equal values then stay on "
            "one side; a folder needs a csv for either. Without, the validation figures may be too good"
        )
    if official and len(leaks.shared_authors):
        return (
            "the official folds (the column fold) part recordings of one recordist: --fold-column none leaves them and "
            "keeps recordists together; or accept figures that are too good, comparable to others' on these folds"
        )
    return "the validation figures will be too good: remove the copies, or name the column of recordists (--author)"


def _examples(leaks: dict[str, Any]) -> str:
    """The first of each kind of leak, by name."""
    shown = []
    for kind in ("shared_recordings", "shared_authors", "identical_files", "same_audio"):
        rows = [row for row in leaks[kind] or [] if not row.get("harmless")]
        shown += [f"{kind.replace('_', ' ')}: " + first_few(" = ".join(_names(row)) for row in rows)] if rows else []
    return "".join(f"; {text}" for text in shown)


def _names(row: Mapping[str, Any]) -> list[str]:
    return [str(value) for key, value in row.items() if key in ("recording", "author", "train", "valid")]


def _check_rate_of_learning(n: int, recipe: Recipe) -> Finding:
    if recipe.lr == "auto":
        return Finding("lr", "ok", "lr_find will choose the learning rate")
    if recipe.lr == "backbone":
        return Finding("lr", "ok", f"the learning rate is the default of {recipe.backbone}")
    if lr_too_low(recipe.lr, n):
        message = f"lr={recipe.lr:g} suits tens of thousands of recordings, these are {n}"
        return Finding("lr", "warn", message, "train with --lr auto, or --recipe small")
    return Finding("lr", "ok", f"lr={recipe.lr:g} for {n} recordings")
