"""From a store of scores to what people open: tables, selection tables, labels, sound."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd

from birdfast.errors import BirdfastError, unknown
from birdfast.files.places import below, file_name, is_url
from birdfast.files.writing import appending, audacity_text, raven_text
from birdfast.prediction.jobs import SEGMENTS
from birdfast.prediction.listing import Listing, digits, listing
from birdfast.prediction.outputs.events import average_overlaps, check_events, find_events
from birdfast.prediction.outputs.sounds import cut_segments
from birdfast.prediction.run import Result

TABLES = {"csv": "scores.csv", "events": "events.csv"}
SOUND = ("flac", "wav")
FORMATS = (*TABLES, "raven", "audacity", *SOUND)


@dataclass(frozen=True)
class View:
    """How scores are looked at.

    Attributes
    ----------
    classes
        Those wanted.
    thresholds
        Probability from which each of them ``(n_classes,)`` counts as heard.
    calibrate
        From probabilities ``(n, n_classes)`` and their classes to calibrated ones, which are shown.
    decide_raw
        Whether the thresholds are on the probabilities as the model gives them, rather than on those shown.
    average
        Seconds of the stretches over which overlapping windows are averaged.
    top_k, gap
        As for :func:`~birdfast.prediction.outputs.events.find_events`.
    """

    classes: list[str]
    thresholds: np.ndarray
    calibrate: Callable[[np.ndarray, list[str]], np.ndarray] | None = None
    average: float | None = None
    top_k: int | None = None
    gap: float | None = 0.0
    decide_raw: bool = False

    def __post_init__(self) -> None:
        check_events(self.top_k, self.gap)

    def scores(self, table: pd.DataFrame) -> pd.DataFrame:
        """Scores of a recording as they are shown."""
        return self._shown(self._raw(table))

    def look(self, table: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Scores of a recording as they are shown, and the events in it, which end with it."""
        raw = self._raw(table)
        shown = self._shown(raw)
        decided = raw if self.decide_raw else None
        events = find_events(shown, self.thresholds, top_k=self.top_k, gap=self.gap, decided=decided)
        end = table.attrs.get("duration", np.inf)
        events = events[events["start_time"] < end].reset_index(drop=True)
        return shown, events.assign(end_time=events["end_time"].clip(upper=end))

    def digest(self, form: str) -> str:
        """Of all that decides what is shown in one of the FORMATS, the model's scores given."""
        decides = [self.classes, self.calibrate is not None, self.average]
        if form != "csv":
            decides += [np.asarray(self.thresholds).tolist(), self.decide_raw, self.top_k, self.gap]
        return digits(json.dumps(decides))

    def _raw(self, table: pd.DataFrame) -> pd.DataFrame:
        table = table[self.classes]
        return table if self.average is None else average_overlaps(table, self.average)

    def _shown(self, raw: pd.DataFrame) -> pd.DataFrame:
        if self.calibrate is None:
            return raw
        values = self.calibrate(raw.to_numpy(), self.classes)
        return pd.DataFrame(values, index=raw.index, columns=raw.columns)


def write_outputs(
    result: Result,
    out: str,
    formats: Collection[str],
    view: View,
    *,
    fmin: float,
    fmax: float,
    context: float = 0.0,
) -> dict[str, int]:
    """Write the results of a job in other forms beside its store, one recording after the other.

    "csv" is ``scores.csv``, "events" ``events.csv``; "raven" and "audacity" are a file a recording in folders of these
    names, with sub-folders for Audacity, whose labels are told by name alone; "flac" and "wav" are the events' sound in
    ``segments/<label>/``, with `context` s around them. What is written is listed in ``outputs.csv``; what an earlier call
    wrote in these forms by other scores or another view is removed. Selections and labels that a person changed stay.

    Returns
    -------
    How many windows and events there are.
    """
    check_outputs(formats, context)
    counts = Counter(windows=0, events=0)
    settings = {form: f"{result.store.settings.digest}-{view.digest(form)}" for form in FORMATS}
    with listing(out, settings, formats, result.done) as files:
        with ExitStack() as stack:
            sinks = [_sink(form, stack, files, result.done, (fmin, fmax), context) for form in formats]
            for path, table in zip(result.done, result.tables()):
                scores, events = view.look(table)
                counts.update(windows=len(scores), events=len(events))
                for sink in sinks:
                    sink(path, scores, events)
        for form in TABLES.keys() & set(formats):  # in their place now
            files.add(form, "", [TABLES[form]])
    return dict(counts)


def check_outputs(formats: Collection[str], context: float) -> None:
    """Refuse, before hours are spent on scores, what could not be written afterwards."""
    for name in formats:
        if name not in FORMATS:
            raise unknown("format", name, FORMATS)
    if context < 0:
        raise BirdfastError(f"context is the sound kept around an event in s, 0 or more, not {context}")
    if context and not set(formats) & set(SOUND):
        raise BirdfastError(
            f"context={context:g} keeps sound around events, and {', '.join(formats)} keep none: add flac or wav"
        )


def _sink(
    form: str, stack: ExitStack, files: Listing, paths: Collection[str], band: tuple[float, float], context: float
) -> Callable[[str, pd.DataFrame, pd.DataFrame], None]:
    """Takes path, scores and events of each of the recordings `paths`, and writes one form of them."""
    if form in TABLES:
        add = stack.enter_context(appending(below(files.folder, TABLES[form]), index=form == "csv"))
        return lambda path, scores, events: add(scores if form == "csv" else events)
    places = below_common(paths)
    everything = [*paths, *files.beside(paths)]  # a name in this call may be that of a recording of an earlier one
    names = _label_names(below_common(everything)) if form == "audacity" else short_names(everything)

    def write(path: str, scores: pd.DataFrame, events: pd.DataFrame) -> None:
        if form == "raven":
            text = raven_text(events, sound=places[path], fmin=band[0], fmax=band[1])
            files.put(form, path, "raven/{}.Table.1.selections.txt", names[path], text)
        elif form == "audacity":
            files.put(form, path, "audacity/{}.txt", names[path], audacity_text(events))
        else:
            cut = cut_segments(events, below(files.folder, SEGMENTS), names[path], context=context, form=form)
            files.add(form, path, [f"{SEGMENTS}/{name}" for name in cut])

    return write


def short_names(paths: Iterable[str]) -> dict[str, str]:
    """A name for each recording's files: its own, with a few digits where several are called alike."""
    stems = {path: Path(file_name(path)).stem for path in paths}
    often = Counter(stem.lower() for stem in stems.values())
    return {path: stem if often[stem.lower()] == 1 else f"{stem}-{digits(path)}" for path, stem in stems.items()}


def below_common(paths: Iterable[str]) -> dict[str, str]:
    """The place of each recording in the deepest folder that holds them all, with slashes."""
    plain = {path: path if is_url(path) else Path(os.path.normpath(Path(path).absolute())).as_posix() for path in paths}
    parts = {path: name.split("/") for path, name in plain.items()}
    folders = [names[:-1] for names in parts.values()]
    shared = next((i for i, level in enumerate(zip(*folders)) if len(set(level)) > 1), min(map(len, folders)))
    return {path: "/".join(names[shared:]) for path, names in parts.items()}


def _label_names(places: dict[str, str]) -> dict[str, str]:
    """Names of label files by which alone they are told: a recording's, with its suffix where two differ in that only."""
    stems = {path: str(PurePosixPath(place).with_suffix("")) for path, place in places.items()}
    often = Counter(stems.values())
    return {path: stem if often[stem] == 1 else places[path] for path, stem in stems.items()}
