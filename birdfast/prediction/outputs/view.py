"""How scores are looked at: which classes, calibrated or averaged, and from which threshold on they are events."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from birdfast.prediction.listing import digits
from birdfast.prediction.outputs.events import average_overlaps, check_events, find_events


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

    def digest(self, *, of_events: bool) -> str:
        """Of all that decides what is shown of events, or of scores alone, the model's scores given."""
        decides = [self.classes, self.calibrate is not None, self.average]
        if of_events:
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
