"""One Raven selection table of many recordings, opened as one sequence of files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import pandas as pd

from birdfast.audio.recordings import read_durations
from birdfast.files.places import file_name
from birdfast.prediction.outputs.form import Sink, Work
from birdfast.prediction.outputs.names import below_common
from birdfast.prediction.outputs.selections import raven_columns


@dataclass(frozen=True)
class Combined:
    """All events in one table; the recordings follow each other in the order of their names, as Raven opens a folder."""

    file: str
    of_events = True

    @contextmanager
    def open(self, name: str, work: Work) -> Iterator[Sink]:
        """It is written at the end, and a table that a person changed stays."""
        parts: list[pd.DataFrame] = []
        yield lambda path, scores, events: parts.append(events.assign(path=path))
        if parts:
            durations = read_durations(sorted(work.paths), workers=2)[0]
            text = raven_combined_text(pd.concat(parts), durations, (work.fmin, work.fmax), below_common(work.paths))
            work.files.put(name, "", "{}", self.file, text)


def raven_combined_text(
    events: pd.DataFrame,
    durations: Mapping[str, float],
    band: tuple[float, float],
    names: Mapping[str, str] | None = None,
) -> str:
    """The table of events `path, start_time, end_time` (s in their file), `label`, `probability`.

    Parameters
    ----------
    durations
        Of each recording by its path, in s and in order, also of those without events: times go on from file to file.
    band
        What the model hears, in Hz.
    names
        What stands as `Begin Path` in place of a path.
    """
    begins = dict(zip(durations, np.cumsum([0.0, *durations.values()]), strict=False))
    order = {path: k for k, path in enumerate(durations)}
    events = events.sort_values("path", key=lambda paths: paths.map(order), kind="stable")
    begin = events["path"].map(begins).astype(float)
    columns = raven_columns(events, begin + events["start_time"], begin + events["end_time"], band)
    shown = events["path"].map(lambda path: (names or {}).get(path, path))
    files = {"Begin Path": shown.to_numpy(), "Begin File": events["path"].map(file_name).to_numpy()}
    table = columns.assign(**files, **{"File Offset (s)": events["start_time"].to_numpy()})
    return table.to_csv(sep="\t", index=False, float_format="%.10g")
