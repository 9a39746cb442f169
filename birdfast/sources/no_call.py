"""Clips without a call as a class of their own in training, which inference drops (BirdCLEF 2024, 1st place)."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd

from birdfast.errors import BirdfastError
from birdfast.sources.soundscapes import site_of
from birdfast.sources.source import SILENCE, Source

NO_CALL = "nocall"  # as the labels of BirdCLEF 2021 call it


def with_no_call(source: Source) -> Source:
    """`source` with the windows of its soundscapes in which nothing calls as recordings, and "nocall" as its last class.

    They have a `site`, and are no longer among its soundscapes. Recordings whose primary label is "nocall" count as well.

    Raises
    ------
    BirdfastError
        There is neither such a window nor such a recording.
    """
    soundscapes, recordings = source.soundscapes, source.recordings
    if soundscapes is not None:
        silent = soundscapes["no_call"] if "no_call" in soundscapes else soundscapes["labels"].map(len) == 0
        recordings = pd.concat([recordings, _as_recordings(soundscapes[silent])], ignore_index=True)
        soundscapes = soundscapes[~silent].reset_index(drop=True)
    recordings = _silent_rows_named(recordings)
    if not (recordings["primary_label"] == NO_CALL).any():
        raise BirdfastError(
            f"no_call=True needs clips without a call, and {source.layout} has none: label some {NO_CALL!r}, in the table "
            "of recordings or of soundscapes, or set no_call=False"
        )
    classes = [name for name in source.classes if name != NO_CALL]
    return replace(source, recordings=recordings, soundscapes=soundscapes, classes=[*classes, NO_CALL])


def _silent_rows_named(recordings: pd.DataFrame) -> pd.DataFrame:
    """Rows of a table that say of every class that it does not call, with "nocall" as their label."""
    if "present" not in recordings:
        return recordings
    nothing_unknown = recordings["unknown"].map(len).eq(0) if "unknown" in recordings else True
    silent = recordings["present"].map(lambda labels: isinstance(labels, tuple) and not labels) & nothing_unknown
    named = pd.Series([(NO_CALL,)] * len(recordings), index=recordings.index, dtype=object)
    return recordings.assign(
        primary_label=recordings["primary_label"].mask(silent, NO_CALL),
        present=recordings["present"].mask(silent, named),
    )


def _as_recordings(silent: pd.DataFrame) -> pd.DataFrame:
    """Windows without a call as rows of the recordings table."""
    rows = silent[["path", "start_time", "end_time"]].reset_index(drop=True)
    nothing = pd.Series([()] * len(rows), dtype=object)
    sites = [site_of(path) for path in rows["path"]]
    return rows.assign(primary_label=NO_CALL, secondary_labels=nothing, site=sites, kind=SILENCE)
