"""All recordings in one csv."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from birdfast.files.places import below
from birdfast.files.writing import appending, replacing
from birdfast.prediction.outputs.form import Sink, Work


@dataclass(frozen=True)
class Table:
    """A csv of the events, or of the scores, of all recordings."""

    file: str
    of_events: bool

    @contextmanager
    def open(self, name: str, work: Work) -> Iterator[Sink]:
        """It appears at the end, whole, and is listed then."""
        with appending(below(work.files.folder, self.file), index=not self.of_events) as add:
            yield lambda path, scores, events: add(events if self.of_events else scores)
        work.files.add(name, "", [self.file])


def write_csv(predictions: pd.DataFrame, path: str | Path) -> Path:
    """Write a scores table of :meth:`Predictor.predict`: ``path, start_time, end_time``, then a column a class."""
    with replacing(path) as temporary:
        predictions.to_csv(temporary)
    return Path(path)
