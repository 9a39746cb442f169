"""Odd inputs and what must happen, one line each: a new one is a line of TABLES or of SOUNDS."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from birdfast.audio.read import read_clip, read_headers
from birdfast.errors import BirdfastError
from birdfast.sources.read import read_source
from birdfast.splits.sides import inside_files

RATE = 8000
RAVEN = "Selection\tView\tBegin Time (s)\tEnd Time (s)\tSpecies\n"


def raven(*rows: str) -> Callable[[Path], Path]:
    """A Raven table of a.wav, of rows of begin, end, species."""

    def make(folder: Path) -> Path:
        lines = [f"{k}\tSpectrogram 1\t{row}\n" for k, row in enumerate(rows, start=1)]
        (folder / "a.txt").write_text(RAVEN + "".join(lines))
        return folder / "a.txt"

    return make


def csv(*rows: str, head: str = "file,start_time,end_time,label", sep: str = ",") -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        (folder / "a.csv").write_text("\n".join([head.replace(",", sep), *rows]) + "\n")
        return folder / "a.csv"

    return make


# name: (what makes the table; the rows that come out: start, end, label; or what the error says)
TABLES: dict[str, tuple[Callable[[Path], Path], list[tuple[object, ...]] | str]] = {
    "Raven": (raven("0.5\t1.5\twren", "1\t2\trobin"), [(0.5, 1.5, "wren"), (1, 2, "robin")]),
    "Raven, decimal commas": (raven("0,5\t1,5\twren", "1\t2\trobin"), [(0.5, 1.5, "wren"), (1, 2, "robin")]),
    "Raven, begin and end swapped": (raven("1.5\t0.5\twren", "1\t2\trobin", "1\t2\twren"), [(1, 2, "robin"), (1, 2, "wren")]),
    "Raven, negative times": (raven("-2\t1\twren", "1\t2\trobin"), "goes from -2 to 1 s: mend it"),
    "Raven, beyond the end": (raven("1\t2\twren", "1\t2\trobin", "70\t71\twren"), [(1, 2, "wren"), (1, 2, "robin")]),
    "Raven, no label": (raven("1\t2\twren", "1\t2\t", "1\t2\trobin"), [(1, 2, "wren"), (1, 2, "robin")]),
    "Raven, doubled rows": (raven("1\t2\twren", "1\t2\twren", "1\t2\trobin"), [(1, 2, "wren"), (1, 2, "robin")]),
    "Raven, a time that is a word": (raven("1\tlater\twren"), "must be a number of seconds, not 'later'"),
    "csv": (csv("a.wav,0,1,wren", "b.wav,1,2,robin"), [(0, 1, "wren"), (1, 2, "robin")]),
    "csv, semicolons": (csv("a.wav;0;1;wren", "b.wav;1;2;robin", sep=";"), [(0, 1, "wren"), (1, 2, "robin")]),
    "csv, clock": (csv("a.wav,0:00:00,0:00:01,wren", "b.wav,1,2,robin"), [(0, 1, "wren"), (1, 2, "robin")]),
    "csv, decimal commas": (csv('a.wav,"0,5","1,5",wren', "b.wav,1,2,robin"), [(0.5, 1.5, "wren"), (1, 2, "robin")]),
    "csv, commas and semicolons": (csv("a.wav;0,5;2;wren", "b.wav;1;2;robin", sep=";"), [(0.5, 2, "wren"), (1, 2, "robin")]),
    "csv, begin and end swapped": (csv("a.wav,1.5,0.5,wren", "b.wav,1,2,robin"), "goes from 1.5 to 0.5 s: mend it"),
    "csv, negative times": (csv("a.wav,-1,1,wren", "b.wav,1,2,robin"), "goes from -1 to 1 s: mend it"),
    "csv, beyond the end": (csv("a.wav,0,1,wren", "b.wav,1,2,robin", "a.wav,90,95,wren"), [(0, 1, "wren"), (1, 2, "robin")]),
    "csv, no label": (csv("a.wav,0,1,wren", "b.wav,1,2,"), "1 rows have no label"),
    "csv, NaN as label": (csv("a.wav,0,1,NaN", "b.wav,1,2,robin"), [(0, 1, "NaN"), (1, 2, "robin")]),  # a name like NA
    "csv, doubled rows": (csv("a.wav,0,1,wren", "a.wav,0,1,wren", "b.wav,1,2,robin"), [(0, 1, "wren")] * 2 + [(1, 2, "robin")]),
    "csv, no file": (csv(",0,1,wren", "b.wav,1,2,robin"), "rows without a file"),
    "csv, a time that is a word": (csv("a.wav,0,later,wren"), "'later' is not a time"),
    "csv, no rows": (csv(), "has no rows"),
}  # fmt: skip


@pytest.mark.parametrize("name", TABLES)
def test_tables(tmp_path, name):
    make, wanted = TABLES[name]
    for file in ("a.wav", "b.wav"):
        soundfile.write(tmp_path / file, np.zeros(60 * RATE), RATE)
    if isinstance(wanted, str):
        with pytest.raises(BirdfastError, match=wanted):
            read_source(make(tmp_path))
        return
    recordings = read_source(make(tmp_path)).recordings
    recordings = inside_files(recordings.assign(duration=read_headers(recordings["path"])["duration"].to_numpy()))
    rows = recordings[["start_time", "end_time", "primary_label"]]
    assert list(rows.itertuples(index=False, name=None)) == wanted


def sound(form: str, subtype: str | None = None, *, rate: int = RATE, channels: int = 1, seconds: float = 3.0):
    """A tone of 440 Hz at half of full scale."""

    def make(path: Path) -> None:
        tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(round(rate * seconds)) / rate)
        soundfile.write(path, np.stack([tone] * channels, axis=1), rate, format=form, subtype=subtype)

    return make


# name: (what makes the file, its suffix, rate in Hz, channels)
SOUNDS = {
    "RF64": (sound("RF64"), "wav", RATE, 1),
    "W64": (sound("W64"), "w64", RATE, 1),
    "six channels": (sound("WAV", channels=6), "wav", RATE, 6),
    "six channels in FLAC": (sound("FLAC", channels=6), "flac", RATE, 6),
    "384 kHz, of bats": (sound("WAV", rate=384_000), "wav", 384_000, 1),
    "8 bits": (sound("WAV", "PCM_U8"), "wav", RATE, 1),
    "24 bits": (sound("WAV", "PCM_24"), "wav", RATE, 1),
    "64 bits": (sound("WAV", "DOUBLE"), "wav", RATE, 1),
    "mu-law": (sound("WAV", "ULAW"), "wav", RATE, 1),
    "ADPCM": (sound("WAV", "IMA_ADPCM"), "wav", RATE, 1),
    "Opus in .opus": (sound("OGG", "OPUS", rate=48_000), "opus", 48_000, 1),
    "mp3 of 8 kHz": (sound("MP3"), "mp3", RATE, 1),
    "wav, named .flac": (sound("WAV"), "flac", RATE, 1),
    "suffix in capitals": (sound("WAV"), "WAV", RATE, 1),
}


@pytest.mark.parametrize("name", SOUNDS)
def test_sounds(tmp_path, name):
    make, suffix, rate, channels = SOUNDS[name]
    make(tmp_path / f"a.{suffix}")
    (row,) = read_headers([tmp_path / f"a.{suffix}"]).to_dict("records")
    assert (row["sample_rate"], row["channels"], row["error"], row["mended"]) == (rate, channels, None, None)
    assert row["duration"] == pytest.approx(3.0, abs=0.3 if suffix == "mp3" else 0.2)
    clip = read_clip(tmp_path / f"a.{suffix}", start_time=1, duration=1)
    assert clip.shape == (32_000,) and 0.33 < np.sqrt((clip**2).mean()) < 0.37  # of a sine of 0.5
    assert np.abs(np.fft.rfft(clip)).argmax() == 440
