"""What was detected, cut out to listen to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pandas as pd
import soundfile

from birdfast.audio.read import open_audio, read_clip
from birdfast.audio.recordings import SEGMENTS
from birdfast.files.places import below
from birdfast.files.writing import placing
from birdfast.prediction.outputs.form import Sink, Work
from birdfast.prediction.outputs.names import short_names

_BLOCK = 60  # s held in memory of a segment, which may last as long as the recording


@dataclass(frozen=True)
class Sounds:
    """The sound of each event, in a folder a class; its name is the kind of file."""

    of_events = True

    @contextmanager
    def open(self, name: str, work: Work) -> Iterator[Sink]:
        """Cuts out and lists what each recording has."""
        names = short_names(work.everything)

        def write(path: str, scores: pd.DataFrame, events: pd.DataFrame) -> None:
            folder = below(work.files.folder, SEGMENTS)
            cut = cut_segments(events, folder, names[path], context=work.context, form=name)
            work.files.add(name, path, [f"{SEGMENTS}/{file}" for file in cut])

        yield write


def cut_segments(
    events: pd.DataFrame, folder: str, name: str, *, context: float = 0.0, form: str = "flac"
) -> list[str]:
    """Write each event of one recording to ``<folder>/<label>/<name>_<start>-<end>_<probability>.<form>``.

    Mono, at the recording's own rate, with `context` s on either side as far as the recording reaches.

    Returns
    -------
    What was written, by its place in `folder`.

    Raises
    ------
    AudioError
        If the recording cannot be read any more.
    """
    if events.empty:
        return []
    written = []
    with open_audio(events["path"].iloc[0]) as file:
        columns = (events[column] for column in ("path", "label", "start_time", "end_time", "probability"))
        for path, label, start, end, probability in zip(*columns):
            span = f"{start:09.3f}-{end:09.3f}_{probability:.2f}"
            written.append(f"{_safe(label)}/{name}_{span}.{form}")
            _cut(file, path, start - context, end + context, below(folder, written[-1]), form)
    return written


def _cut(file: soundfile.SoundFile, path: str, start: float, end: float, place: str, form: str) -> None:
    rate = file.samplerate
    first, last = max(0, round(start * rate)), min(file.frames, round(end * rate))
    with placing(place) as temporary, soundfile.SoundFile(temporary, "w", rate, 1, format=form.upper()) as out:
        for at in range(first, last, _BLOCK * rate):
            n = min(_BLOCK * rate, last - at)
            out.write(read_clip(path, start_time=at / rate, duration=n / rate, sample_rate=rate, file=file))


def _safe(label: str) -> str:
    """A class's name as a folder's."""
    return label.replace("/", "_").replace("\\", "_").lstrip(".") or "_"
