"""The sound of a planned synthetic BirdCLEF: each recording from its own stream of random numbers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile as sf
from numpy.random import Generator, default_rng

from birdfast.synthetic.layouts import WINDOW
from birdfast.synthetic.plan import FOCAL, INDIVIDUALS, SOUNDSCAPES, Soundscape, World
from birdfast.synthetic.scenes import Setting, carry, passing_noise, record
from birdfast.synthetic.songs import Note, Singer, compose, draw_individual, sing

BLOCK = 65_536  # frames a write: libsndfile's Vorbis encoder overflows its stack on very long ones
SOUNDSCAPE_BIRD = 1_000_000  # individuals of the soundscapes are none of the recordists'


def focal(world: World, row: Any) -> np.ndarray:
    """One row of the recordings' plan as a waveform: float32 (time,)."""
    o = world.options
    rng = default_rng([o.seed, FOCAL, int(row.Index)])
    setting = world.recordists[row.recordist]
    n_samples = round(row.duration * o.sample_rate)
    sound = passing_noise(setting, n_samples=n_samples, sample_rate=o.sample_rate, rng=rng)
    birds = [(row.species, row.distance, row.snr, row.bird)]
    birds += [(other, 3 * row.distance, row.snr - rng.uniform(4, 12), 2) for other in row.background]
    for species, distance, snr, bird in birds:
        individual = _individual(world, species, row.recordist, bird)
        song, _ = _perform(individual, row.duration, setting, world, distance=distance, snr=snr, rng=rng)
        _add(sound, song, 0)
    return record(sound, setting, sample_rate=o.sample_rate, rng=rng)


def soundscape(world: World, plan: Soundscape) -> tuple[np.ndarray, np.ndarray]:
    """One planned soundscape.

    Returns
    -------
    waveform : float32 (time,)
    presence : bool (n_windows, n_classes), True where the middle of a syllable lies in the window
    """
    o = world.options
    rng = default_rng([o.seed, SOUNDSCAPES, *plan.path.encode()])
    site, n_samples = world.sites[plan.site], round(o.soundscape_duration * o.sample_rate)
    sound = passing_noise(site, n_samples=n_samples, sample_rate=o.sample_rate, rng=rng)
    presence = np.zeros((int(o.soundscape_duration // WINDOW), len(world.classes)), bool)
    for species in plan.singing:
        individual = _individual(world, species, SOUNDSCAPE_BIRD + plan.site, int(rng.integers(3)))
        length = min(float(rng.uniform(6, 25)), o.soundscape_duration)
        start = float(rng.uniform(0, o.soundscape_duration - length))
        distance, snr = float(rng.uniform(20, 110)), float(max(-10, rng.normal(10 - 16 * o.difficulty, 4)))
        song, notes = _perform(individual, length, site, world, distance=distance, snr=snr, rng=rng)
        _add(sound, song, round(start * o.sample_rate))
        presence[_windows(notes, start, len(presence)), species] = True
    return record(sound, site, sample_rate=o.sample_rate, rng=rng), presence


def _individual(world: World, species: int, owner: int, bird: int) -> Singer:
    """The same bird, whoever asks: a recordist who meets it twice records the same voice."""
    rng = default_rng([world.options.seed, INDIVIDUALS, species, owner, bird])
    return draw_individual(world.species[species], rng, variation=world.options.difficulty)


def _perform(
    singer: Singer, duration: float, setting: Setting, world: World, *, distance: float, snr: float, rng: Generator
) -> tuple[np.ndarray, list[Note]]:
    rate = world.options.sample_rate
    notes = compose(singer, duration, rng)
    dry = sing(notes, singer.centre, n_samples=round(duration * rate), sample_rate=rate)
    return carry(dry, distance=distance, reverb=setting.reverb, snr=snr, sample_rate=rate, rng=rng), notes


def _add(sound: np.ndarray, song: np.ndarray, start: int) -> None:
    song = song[: len(sound) - start]
    sound[start : start + len(song)] += song


def _windows(notes: Sequence[Note], start: float, n_windows: int) -> np.ndarray:
    middles = np.array([start + note.start_time + note.syllable.duration / 2 for note in notes])
    windows = np.unique(middles // WINDOW).astype(int)
    return windows[windows < n_windows]


def write_ogg(path: Path, waveform: np.ndarray, *, sample_rate: int) -> None:
    """Write Ogg Vorbis, a block at a time."""
    with sf.SoundFile(path, "w", sample_rate, 1, format="OGG", subtype="VORBIS") as file:
        for start in range(0, len(waveform), BLOCK):
            file.write(waveform[start : start + BLOCK])
