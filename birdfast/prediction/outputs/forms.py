"""From a store of scores to what people open: every form, and how they are written together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from contextlib import ExitStack

from birdfast.errors import BirdfastError, unknown
from birdfast.prediction.listing import listing
from birdfast.prediction.outputs.combined import Combined
from birdfast.prediction.outputs.form import Form, Work
from birdfast.prediction.outputs.names import label_names
from birdfast.prediction.outputs.selections import Texts, audacity_text, raven_text
from birdfast.prediction.outputs.sounds import Sounds
from birdfast.prediction.outputs.tables import Table
from birdfast.prediction.outputs.view import View
from birdfast.prediction.run import Result

# A row a form; people type its name after --as.
FORMS: dict[str, Form] = {
    "csv": Table("scores.csv", of_events=False),
    "events": Table("events.csv", of_events=True),
    "raven": Texts("raven/{}.Table.1.selections.txt", raven_text),
    "raven-combined": Combined("raven-combined.Table.1.selections.txt"),
    "audacity": Texts("audacity/{}.txt", audacity_text, label_names),
    "flac": Sounds(),
    "wav": Sounds(),
}


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

    "csv" is ``scores.csv``, "events" ``events.csv``; "raven-combined" one table of
    all recordings as a sequence of files; "raven" and "audacity" are a file a recording in folders of these
    names, with sub-folders for Audacity, whose labels are told by name alone; "flac" and "wav" are the events' sound in
    ``segments/<label>/``, with `context` s around them. What is written is listed in ``outputs.csv``; what an earlier call
    wrote in these forms by other scores or another view is removed. Selections and labels that a person changed stay.

    Returns
    -------
    How many windows and events there are.
    """
    check_outputs(formats, context)
    counts = Counter(windows=0, events=0)
    model = result.store.settings.digest
    settings = {name: f"{model}-{view.digest(of_events=form.of_events)}" for name, form in FORMS.items()}
    with listing(out, settings, formats, result.done) as files:
        work = Work(files, result.done, fmin, fmax, context)
        with ExitStack() as stack:
            sinks = [stack.enter_context(FORMS[name].open(name, work)) for name in formats]
            for path, table in zip(result.done, result.tables()):
                scores, events = view.look(table)
                counts.update(windows=len(scores), events=len(events))
                for sink in sinks:
                    sink(path, scores, events)
    return dict(counts)


def check_outputs(formats: Collection[str], context: float) -> None:
    """Refuse, before hours are spent on scores, what could not be written afterwards."""
    for name in formats:
        if name not in FORMS:
            raise unknown("format", name, FORMS)
    if context < 0:
        raise BirdfastError(f"context is the sound kept around an event in s, 0 or more, not {context}")
    if context and not any(isinstance(FORMS[name], Sounds) for name in formats):
        raise BirdfastError(
            f"context={context:g} keeps sound around events, and {', '.join(formats)} keep none: add flac or wav"
        )
