"""Are the labels what they ought to be, and the classes large enough and alike?"""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from birdfast.doctor.findings import Finding, first_few
from birdfast.errors import BirdfastError
from birdfast.recipe.recipe import Recipe
from birdfast.sources.labels import REMEDY, check_labels
from birdfast.sources.source import Source

UNEQUAL = 20  # largest class over the median from which weighted sampling is advised


def check_classes(source: Source, recipe: Recipe) -> Iterator[Finding]:
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
