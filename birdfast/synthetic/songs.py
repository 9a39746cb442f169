"""How a synthetic species sings: syllables, songs made of them, and individuals that vary both."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.random import Generator

# Every species sings around one of these few centres (Hz): where the energy lies says little about the species.
BANDS = (2_700.0, 3_300.0, 4_000.0)
MAX_PHRASE = 1.6  # s
MAX_KNOWN = 3  # songs of one individual
SHARED_SYLLABLES = 0.5  # how often a syllable is that of another species, a little altered


@dataclass(frozen=True)
class Syllable:
    """One unbroken sound. Pitch is in octaves around the singer's centre, times in s, rates in Hz."""

    kind: str
    duration: float
    contour: tuple[float, ...]  # octaves at evenly spaced times
    vibrato_rate: float = 0.0
    vibrato_depth: float = 0.0  # octaves
    pulse_rate: float = 0.0  # amplitude pulses, 0: none
    partials: tuple[float, ...] = (1.0, 0.12)  # amplitudes of the fundamental and its overtones


@dataclass(frozen=True)
class Phrase:
    """One syllable sung `repeats` times, `gap` s apart, each `step` octaves above the one before."""

    syllable: int
    repeats: int
    gap: float
    step: float = 0.0


@dataclass(frozen=True)
class Singer:
    """A species, or one individual of it: a voice, a stock of syllables and the songs made of them."""

    centre: float  # Hz
    syllables: tuple[Syllable, ...]
    songs: tuple[tuple[Phrase, ...], ...]
    pause: float  # s between songs, on average


@dataclass(frozen=True)
class Note:
    """A syllable placed in time; `shift` in octaves, `gain` in dB."""

    start_time: float
    syllable: Syllable
    shift: float
    gain: float


def _whistle(rng: Generator) -> Syllable:
    contour = np.full(4, rng.uniform(-0.3, 0.3)) + rng.normal(0, 0.02, 4)
    return Syllable("whistle", rng.uniform(0.2, 0.5), tuple(contour))


def _sweep(rng: Generator) -> Syllable:
    reach = rng.uniform(0.25, 0.6) * rng.choice([-1, 1])
    bend = rng.uniform(-0.5, 0.5) * reach
    return Syllable("sweep", rng.uniform(0.06, 0.22), (-reach, bend, reach))


def _arch(rng: Generator) -> Syllable:
    reach = rng.uniform(0.25, 0.6) * rng.choice([-1, 1])
    return Syllable("arch", rng.uniform(0.1, 0.3), (-reach, reach * rng.uniform(0.5, 1), reach, -reach))


def _step(rng: Generator) -> Syllable:
    low, high = rng.uniform(-0.5, -0.15), rng.uniform(0.15, 0.5)
    first, second = (low, high) if rng.random() < 0.5 else (high, low)
    return Syllable("step", rng.uniform(0.15, 0.35), (first, first, first, second, second, second))


def _warble(rng: Generator) -> Syllable:
    contour = rng.normal(0, 0.12, 4)
    return Syllable("warble", rng.uniform(0.25, 0.6), tuple(contour), rng.uniform(8, 25), rng.uniform(0.12, 0.3))


def _buzz(rng: Generator) -> Syllable:
    contour = rng.uniform(-0.3, 0.3, 2)
    roughness = rng.uniform(60, 140), rng.uniform(0.05, 0.15)
    return Syllable("buzz", rng.uniform(0.2, 0.5), tuple(contour), *roughness, pulse_rate=rng.uniform(40, 110))


def _stack(rng: Generator) -> Syllable:
    contour = rng.uniform(-2.2, -1.6) + np.array([0, rng.uniform(-0.1, 0.4), rng.uniform(-0.3, 0.1)])
    # The overtones near the centre are the loud ones: the stack shares the band of the other syllables.
    return Syllable("stack", rng.uniform(0.1, 0.35), tuple(contour), partials=(0.3, 0.6, 0.9, 1.0, 0.8, 0.5, 0.3))


def _tick(rng: Generator) -> Syllable:
    return Syllable("tick", rng.uniform(0.02, 0.05), (rng.uniform(0.3, 0.9), rng.uniform(-0.9, -0.3)))


SYLLABLES: dict[str, Callable[[Generator], Syllable]] = {
    "whistle": _whistle,
    "sweep": _sweep,
    "arch": _arch,
    "step": _step,
    "warble": _warble,
    "buzz": _buzz,
    "stack": _stack,
    "tick": _tick,
}


def draw_species(rng: Generator, *, class_name: str = "Aves", others: Sequence[Singer] = ()) -> Singer:
    """A new species: four to six syllables, four to seven songs, a rhythm of its own.

    Insects and frogs repeat buzzes, ticks and harmonic stacks; birds use every kind. About half of the syllables are
    those of `others`, a little altered: species differ in how they put syllables together more than in the syllables.
    """
    kinds = list(SYLLABLES) if class_name == "Aves" else ["buzz", "stack", "tick", "warble"]
    syllables = tuple(_draw_syllable(kinds, others, rng) for _ in range(int(rng.integers(4, 7))))
    centre = float(rng.choice(BANDS) * 2 ** rng.normal(0, 0.05))
    rhythm = float(rng.uniform(0.6, 1.6))  # one tempo for the whole species
    songs = tuple(_draw_song(syllables, rhythm, rng) for _ in range(int(rng.integers(4, 8))))
    return Singer(centre, syllables, songs, pause=float(rng.uniform(0.7, 2.5)))


def _draw_syllable(kinds: list[str], others: Sequence[Singer], rng: Generator) -> Syllable:
    if others and rng.random() < SHARED_SYLLABLES:
        theirs = others[int(rng.integers(len(others)))].syllables
        return _vary(theirs[int(rng.integers(len(theirs)))], 1.0, 1.0, rng)
    return SYLLABLES[str(rng.choice(kinds))](rng)


def _draw_song(syllables: tuple[Syllable, ...], rhythm: float, rng: Generator) -> tuple[Phrase, ...]:
    order = rng.permutation(len(syllables))[: int(rng.integers(1, 4))]
    return tuple(_draw_phrase(int(index), syllables[index], rhythm, rng) for index in order)


def _draw_phrase(index: int, syllable: Syllable, rhythm: float, rng: Generator) -> Phrase:
    """A trill of short syllables, or a few slower ones."""
    trill = syllable.duration < 0.15 and rng.random() < 0.7
    gap = float(rhythm * (rng.uniform(0.02, 0.07) if trill else rng.uniform(0.06, 0.22)))
    most = max(1, int(MAX_PHRASE / (syllable.duration + gap)))
    repeats = int(rng.integers(6, 16) if trill else rng.integers(1, 5))
    step = float(rng.choice([-0.04, 0, 0, 0.04])) if repeats > 2 else 0.0
    return Phrase(index, min(repeats, most), gap, step)


def draw_individual(species: Singer, rng: Generator, *, variation: float = 1.0) -> Singer:
    """One bird of the species: its own pitch, tempo and shapes, and only a part of the songs.

    Parameters
    ----------
    variation : spread between individuals; 0 makes them all alike (but for the songs they know).
    """
    tempo = float(np.exp(rng.normal(0, 0.12 * variation)))
    n_songs = int(rng.integers(1, min(MAX_KNOWN, len(species.songs)) + 1))
    known = rng.choice(len(species.songs), size=n_songs, replace=False)
    return Singer(
        centre=float(species.centre * 2 ** rng.normal(0, 0.13 * variation)),
        syllables=tuple(_vary(syllable, tempo, variation, rng) for syllable in species.syllables),
        songs=tuple(tuple(replace(p, gap=p.gap * tempo) for p in species.songs[i]) for i in known),
        pause=float(species.pause * np.exp(rng.normal(0, 0.2))),
    )


def _vary(syllable: Syllable, tempo: float, variation: float, rng: Generator) -> Syllable:
    shift = rng.normal(0, 0.06 * variation) + rng.normal(0, 0.05 * variation, len(syllable.contour))
    return replace(
        syllable,
        duration=float(syllable.duration * tempo * np.exp(rng.normal(0, 0.08 * variation))),
        contour=tuple(float(x) for x in np.array(syllable.contour) + shift),
        vibrato_rate=syllable.vibrato_rate / tempo,
    )


def compose(singer: Singer, duration: float, rng: Generator) -> list[Note]:
    """Songs with pauses between them, from a random moment on; the last one ends before `duration` (s) if it can."""
    notes: list[Note] = []
    time = float(rng.uniform(0, min(singer.pause, 0.3 * duration)))
    while not notes or time < duration:
        song = singer.songs[int(rng.integers(len(singer.songs)))]
        fresh, end = _sing(singer, song, time, rng)
        if notes and end > duration:
            break
        notes += [note for note in fresh if not notes or note.start_time + note.syllable.duration <= duration]
        time = end + float(rng.gamma(2.0, singer.pause / 2))
    return notes


def _sing(singer: Singer, song: tuple[Phrase, ...], time: float, rng: Generator) -> tuple[list[Note], float]:
    notes = []
    for phrase in song:
        syllable = singer.syllables[phrase.syllable]
        for i in range(phrase.repeats):
            notes.append(Note(time, syllable, phrase.step * i + rng.normal(0, 0.01), rng.normal(0, 1.5)))
            time += syllable.duration + phrase.gap * float(rng.uniform(0.9, 1.1))
    return notes, time


def sing(notes: list[Note], centre: float, *, n_samples: int, sample_rate: int) -> np.ndarray:
    """The sound of `notes`, dry and without noise: float32 (n_samples,). What lies beyond the end is cut off."""
    waveform = np.zeros(n_samples, np.float32)
    for note in notes:
        start = round(note.start_time * sample_rate)
        sound = _sound(note.syllable, centre * 2**note.shift, sample_rate)[: max(0, n_samples - start)]
        waveform[start : start + len(sound)] += np.float32(10 ** (note.gain / 20)) * sound
    return waveform


def _sound(syllable: Syllable, centre: float, sample_rate: int) -> np.ndarray:
    """One syllable: partials that follow the contour, in an envelope with soft edges."""
    n = max(8, round(syllable.duration * sample_rate))
    position = np.linspace(0, 1, n)
    octaves = np.interp(position, np.linspace(0, 1, len(syllable.contour)), syllable.contour)
    if syllable.vibrato_rate:
        octaves += syllable.vibrato_depth * np.sin(2 * np.pi * syllable.vibrato_rate * syllable.duration * position)
    pitch = centre * np.exp2(octaves)
    phase = (2 * np.pi / sample_rate * np.cumsum(pitch) % (2 * np.pi)).astype(np.float32)
    below_nyquist = 0.48 * sample_rate / pitch.max()
    tones = [a * np.sin(k * phase) for k, a in enumerate(syllable.partials, 1) if k <= below_nyquist]
    return np.sum(tones, axis=0, dtype=np.float32) * _envelope(syllable, position) if tones else np.zeros(n, np.float32)


def _envelope(syllable: Syllable, position: np.ndarray) -> np.ndarray:
    edge = min(0.4, 0.012 / syllable.duration)  # 12 ms: short enough for crisp onsets, no click
    envelope = np.clip(np.minimum(position, 1 - position) / edge, 0, 1)
    if syllable.pulse_rate:
        envelope *= 0.55 + 0.45 * np.cos(2 * np.pi * syllable.pulse_rate * syllable.duration * position)
    return np.sin(0.5 * np.pi * envelope).astype(np.float32)
