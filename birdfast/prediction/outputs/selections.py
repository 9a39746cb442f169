"""A text a recording with its events: selection tables of Raven, labels of Audacity."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pandas as pd

from birdfast.prediction.outputs.form import Sink, Work
from birdfast.prediction.outputs.names import below_common, short_names


@dataclass(frozen=True)
class Texts:
    """A text file a recording, named by `pattern`; one that a person changed stays.

    Attributes
    ----------
    text
        From events, the recording's place among the others, and what the model hears, ``fmin, fmax`` in Hz.
    names
        From the places of recordings, by path, to the names of their files.
    """

    pattern: str
    text: Callable[[pd.DataFrame, str, tuple[float, float]], str]
    names: Callable[[dict[str, str]], dict[str, str]] = short_names
    of_events = True

    @contextmanager
    def open(self, name: str, work: Work) -> Iterator[Sink]:
        """Writes and lists each as it comes."""
        places, names = below_common(work.paths), self.names(below_common(work.everything))

        def write(path: str, scores: pd.DataFrame, events: pd.DataFrame) -> None:
            text = self.text(events, places[path], (work.fmin, work.fmax))
            work.files.put(name, path, self.pattern, names[path], text)

        yield write


def raven_columns(events: pd.DataFrame, start: pd.Series, end: pd.Series, band: tuple[float, float]) -> pd.DataFrame:
    """What every selection table of Raven holds of events that lie from `start` to `end` (s); `band` in Hz."""
    return pd.DataFrame(
        {
            "Selection": range(1, len(events) + 1),
            "View": "Spectrogram 1",
            "Channel": 1,
            "Begin Time (s)": start.to_numpy(),
            "End Time (s)": end.to_numpy(),
            "Low Freq (Hz)": band[0],
            "High Freq (Hz)": band[1],
            "Species": events["label"].to_numpy(),
            "Score": events["probability"].to_numpy(dtype=float).round(4),
        }
    )


def raven_text(events: pd.DataFrame, sound: str, band: tuple[float, float]) -> str:
    """A Raven selection table of one recording's events, the file `sound`; `band` in Hz: what the model hears."""
    table = raven_columns(events, events["start_time"], events["end_time"], band)
    table.insert(7, "Begin File", sound)
    return table.to_csv(sep="\t", index=False, float_format="%.10g")


def audacity_text(events: pd.DataFrame, *_: object) -> str:
    """An Audacity label file of one recording's events: start, end, label. It has no place for more."""
    rows = zip(events["start_time"], events["end_time"], events["label"])
    return "".join(f"{start:.6f}\t{end:.6f}\t{label}\n" for start, end, label in rows)  # quotes are part of the label
