"""Clips without a call as a class of their own in training, which inference drops (BirdCLEF 2024, 1st place)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from birdfast.errors import BirdfastError
from birdfast.recordings.source import Source

NO_CALL = "nocall"  # as the labels of BirdCLEF 2021 call it


def with_no_call(source: Source) -> Source:
    """`source` with the windows of its soundscapes in which nothing calls as recordings, and "nocall" as its last class.

    Recordings whose primary label is "nocall" count as well.

    Raises
    ------
    BirdfastError
        There is neither such a window nor such a recording.
    """
    recordings = pd.concat([source.recordings, _silent_windows(source)], ignore_index=True)
    if not (recordings["primary_label"] == NO_CALL).any():
        raise BirdfastError(
            f"no_call=True needs clips without a call, and {source.layout} has none: label some {NO_CALL!r}, in the table "
            "of recordings or of soundscapes, or set no_call=False"
        )
    classes = [name for name in source.classes if name != NO_CALL]
    return replace(source, recordings=recordings, classes=[*classes, NO_CALL])


def _silent_windows(source: Source) -> pd.DataFrame:
    """The soundscapes' windows marked as without a call, as rows of the recordings table."""
    recordings, soundscapes = source.recordings, source.soundscapes
    if soundscapes is None:
        return recordings[:0]
    silent = soundscapes["no_call"] if "no_call" in soundscapes else soundscapes["labels"].map(len) == 0
    rows = soundscapes.loc[silent, ["path", "start_time", "end_time"]].reset_index(drop=True)
    nothing = pd.Series([()] * len(rows), dtype=object)
    rows = rows.assign(primary_label=NO_CALL, secondary_labels=nothing)
    if recordings["fold"].notna().all():  # the folds are given: deal the soundscapes out to them
        folds = np.sort(recordings["fold"].unique())
        rows["fold"] = folds[pd.factorize(rows["path"])[0] % len(folds)]
    return rows
