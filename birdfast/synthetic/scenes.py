"""Where and with what a synthetic recording is made: background noise, distance, echo and the microphone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from scipy import fft

VOICE_BAND = (500.0, 10_000.0)  # Hz, where background and song are compared for the signal-to-noise ratio
FULL_SCALE = 0.98
SILENT = -60.0  # dB


@dataclass(frozen=True)
class Setting:
    """The habit of a recordist, or a soundscape site: noise and equipment. Levels in dB, frequencies in Hz."""

    slope: float  # background power falls as 1 / f ** slope
    stream: tuple[float, float, float]  # running water: centre, width in octaves, level
    insects: tuple[float, float, float]  # a chirring band: centre, pulses a second, level
    wind: float  # gusts below 400 Hz, level
    hum: tuple[float, float]  # mains frequency, level
    low_cut: float  # the microphone's and recorder's pass band
    high_cut: float
    peaks: tuple[tuple[float, float], ...]  # resonances of the equipment: centre, dB
    gain: float  # peak of the file, dB below full scale
    reverb: float  # s, decay of the echo by 60 dB


def draw_setting(rng: Generator, *, site: bool = False) -> Setting:
    """A recordist, or with `site` an autonomous recorder: duller, noisier, with insects and water more often."""
    often = 0.75 if site else 0.45
    return Setting(
        slope=float(rng.uniform(0.4, 1.6)),
        stream=(float(rng.uniform(800, 5_000)), float(rng.uniform(0.4, 1.2)), _maybe(rng, often, -4, 8)),
        insects=(float(rng.uniform(3_500, 9_000)), float(rng.uniform(3, 30)), _maybe(rng, often, -8, 4)),
        wind=_maybe(rng, 0.5, -5, 15),
        hum=(float(rng.choice([50.0, 60.0])), _maybe(rng, 0.3, -15, 0)),
        low_cut=float(rng.choice([40.0, 100.0, 200.0, 400.0, 800.0])),
        high_cut=float(rng.uniform(6_000, 10_000) if site else rng.uniform(7_000, 15_000)),
        peaks=tuple((float(2 ** rng.uniform(10, 13.3)), float(rng.normal(0, 6))) for _ in range(4)),
        gain=float(rng.uniform(-24, -8) if site else rng.uniform(-20, -1)),
        reverb=float(rng.uniform(0.4, 1.2) if site else rng.uniform(0.15, 0.7)),
    )


def _maybe(rng: Generator, share: float, low: float, high: float) -> float:
    """A level in dB, or one too low to hear."""
    return float(rng.uniform(low, high) if rng.random() < share else SILENT)


def passing_noise(setting: Setting, *, n_samples: int, sample_rate: int, rng: Generator) -> np.ndarray:
    """The noise of a place that comes and goes: wind, insects, and the mains; float32 (n_samples,)."""
    noise = _hum(setting, n_samples, sample_rate)
    if setting.wind > SILENT:
        noise += _gusts(setting, n_samples, sample_rate, rng)
    if setting.insects[2] > SILENT:
        noise += _chirring(setting, n_samples, sample_rate, rng)
    return noise


def _gusts(setting: Setting, n_samples: int, sample_rate: int, rng: Generator) -> np.ndarray:
    rate = 2_000  # Hz, enough for a rumble below 400
    n_few = max(64, round(n_samples / sample_rate * rate))
    freqs = _frequencies(n_few, rate)
    rumble = _noise(np.where(freqs < 400, np.sqrt(400 / freqs), 0), n_few, rng) * _slow(n_few, rate, 0.5, rng)
    places = np.linspace(0, n_few - 1, n_samples, dtype=np.float32)
    return _gain(setting.wind - 15) * np.interp(places, np.arange(n_few), rumble).astype(np.float32)


def _noise(amplitude: np.ndarray, n_fft: int, rng: Generator) -> np.ndarray:
    """Gaussian noise with this amplitude spectrum; amplitude 1 in every bin gives power 1."""
    return fft.irfft(_noise_spectrum(amplitude, n_fft, rng), n_fft)


def _noise_spectrum(amplitude: np.ndarray, n_fft: int, rng: Generator) -> np.ndarray:
    used = np.flatnonzero(amplitude > 1e-4)
    bins = slice(used[0], used[-1] + 1)  # a narrow band needs few random numbers
    spectrum = np.zeros(len(amplitude), np.complex64)
    for part in (spectrum.real, spectrum.imag):
        part[bins] = rng.standard_normal(used[-1] + 1 - used[0], dtype=np.float32)
    spectrum[bins] *= (amplitude[bins] * np.sqrt(n_fft / 2)).astype(np.float32)
    return spectrum


def _chirring(setting: Setting, n_samples: int, sample_rate: int, rng: Generator) -> np.ndarray:
    centre, rate, level = setting.insects
    n_fft = fft.next_fast_len(n_samples, real=True)
    freqs = _frequencies(n_fft, sample_rate)
    band = _noise(np.exp(-0.5 * (np.log2(freqs / centre) / 0.05) ** 2), n_fft, rng)[:n_samples]
    time = np.arange(n_samples, dtype=np.float32) / sample_rate
    pulses = np.clip(np.sin(2 * np.pi * rate * time) + 0.3, 0, 1)
    return _gain(level) * band * pulses * _slow(n_samples, sample_rate, 0.3, rng)


def _hum(setting: Setting, n_samples: int, sample_rate: int) -> np.ndarray:
    base, level = setting.hum
    if level <= SILENT:
        return np.zeros(n_samples, np.float32)
    period = sample_rate // 10  # 0.1 s holds whole turns of 50 and of 60 Hz
    time = np.arange(period) / period / 10
    tones = [np.sin(2 * np.pi * base * k * time) / k for k in (1, 2, 3, 5)]
    return np.resize((_gain(level) * np.sum(tones, axis=0)).astype(np.float32), n_samples)


def _slow(n_samples: int, sample_rate: int, rate: float, rng: Generator) -> np.ndarray:
    """A level that wanders between 0 and 1, `rate` turns a second."""
    knots = rng.uniform(0, 1, max(3, round(n_samples / sample_rate * rate) + 2))
    return np.interp(np.linspace(0, len(knots) - 1, n_samples), np.arange(len(knots)), knots).astype(np.float32)


def carry(
    song: np.ndarray, *, distance: float, reverb: float, snr: float, sample_rate: int, rng: Generator
) -> np.ndarray:
    """The song as it arrives from `distance` m, with echo, `snr` dB against a background of power 1.

    Parameters
    ----------
    song : float32 (time,)

    Returns
    -------
    float32 (time + tail,) : the tail is the echo, `reverb` s long.
    """
    active = np.abs(song) > 1e-3
    if not active.any():
        return song
    power = float(np.mean(np.square(song[active])))
    tail = round(reverb * sample_rate)
    n_fft = fft.next_fast_len(len(song) + tail, real=True)
    freqs = _frequencies(n_fft, sample_rate)
    # Air and leaves take the treble first: 0.012 dB for each m and kHz, more than dry air and less than dense forest.
    path = np.exp(freqs * np.float32(-np.log(10) / 20 * 0.012 * distance / 1_000))
    echo = fft.rfft(_echo(tail, reverb, distance, sample_rate, rng), n_fft)
    arrived = fft.irfft(fft.rfft(song, n_fft) * (path * echo), n_fft)
    return np.float32(_gain(snr) / np.sqrt(power)) * arrived[: len(song) + tail]


def _echo(tail: int, reverb: float, distance: float, sample_rate: int, rng: Generator) -> np.ndarray:
    """The answer of the place to a click: the direct sound and a decaying tail, louder with distance."""
    decay = np.exp(-6.9 * np.arange(tail) / (reverb * sample_rate))
    wet = min(0.8, 0.006 * distance)
    response = rng.standard_normal(tail) * decay
    response *= wet / np.sqrt(np.sum(np.square(response)))
    response[0] = 1 - 0.5 * wet
    return response.astype(np.float32)


def record(sound: np.ndarray, setting: Setting, *, sample_rate: int, rng: Generator) -> np.ndarray:
    """What the equipment makes of `sound` and the steady noise of the place.

    Parameters
    ----------
    sound : float32 (time,), against steady noise whose power density in the voice band is 1

    Returns
    -------
    float32 (time,) : coloured by the equipment, levelled, clipped at full scale
    """
    n_fft = fft.next_fast_len(len(sound), real=True)
    few = np.geomspace(20, sample_rate / 2, 400)  # smooth curves need no more points
    freqs = _frequencies(n_fft, sample_rate)
    steady, response = (np.interp(freqs, few, curve(setting, few)) for curve in (_steady, _response))
    spectrum = (fft.rfft(sound, n_fft) + _noise_spectrum(steady, n_fft, rng)) * response.astype(np.float32)
    coloured = fft.irfft(spectrum, n_fft)[: len(sound)]
    # Levelled by a high quantile: the loudest note of some files clips, as in the field.
    loudest = float(np.quantile(np.abs(coloured[::7]), 0.9995)) or 1.0
    return np.clip(_gain(setting.gain) / loudest * coloured, -FULL_SCALE, FULL_SCALE)


def _steady(setting: Setting, freqs: np.ndarray) -> np.ndarray:
    """Amplitude of the steady noise: falling with frequency, with running water in it."""
    centre, width, level = setting.stream
    voice = np.linspace(*VOICE_BAND, 200)
    power = freqs**-setting.slope / np.mean(voice**-setting.slope)
    power += 10 ** (level / 10) * np.exp(-0.5 * (np.log2(freqs / centre) / width) ** 2)
    mean = 1 + 10 ** (level / 10) * np.mean(np.exp(-0.5 * (np.log2(voice / centre) / width) ** 2))
    return np.sqrt(power / mean)


def _response(setting: Setting, freqs: np.ndarray) -> np.ndarray:
    low = 1 / np.sqrt(1 + (setting.low_cut / freqs) ** 4)
    high = 1 / np.sqrt(1 + (freqs / setting.high_cut) ** 8)
    peaks = sum(level * np.exp(-0.5 * (np.log2(freqs / centre) / 0.3) ** 2) for centre, level in setting.peaks)
    return low * high * 10 ** (np.asarray(peaks) / 20)


def _frequencies(n_fft: int, sample_rate: int) -> np.ndarray:
    """Hz of each bin of a real transform; the first is moved off 0, where logarithms end."""
    freqs = fft.rfftfreq(n_fft, 1 / sample_rate)
    freqs[0] = freqs[1]
    return np.maximum(freqs, 20.0).astype(np.float32)


def _gain(decibels: float) -> np.float32:
    return np.float32(10 ** (decibels / 20))
