"""Are the files there, can they be read, and is there sound in them?"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock

import numpy as np
import pandas as pd

from birdfast.audio.complaints import complaints
from birdfast.audio.read import AudioError, open_audio, read_clip
from birdfast.doctor.findings import Finding, Status, first_few
from birdfast.recipe.recipe import Recipe

SILENT = 1e-4  # peak to peak of full scale: -80 dB
CLIPPED_SAMPLE = 0.999
CLIPPED = 0.01  # share of samples at full scale, as in a tenth of BirdCLEF 2026's soundscapes
SHORT = 1.0  # s
FEW = 0.05  # share of files that may differ without a word
BLOCK = 60.0  # s decoded in one go: what a thread holds in memory, however long the recording
_ALONE = Lock()
MOST = 0.5  # share of unusable files from which training is pointless


def check_paths(headers: pd.DataFrame, recipe: Recipe) -> Finding:
    """Do the files exist? `headers` are of :func:`~birdfast.audio.read.read_headers`, one row a recording."""
    headers = headers.drop_duplicates("path")
    missing = [path for path in headers.loc[headers["error"].notna(), "path"] if not Path(path).exists()]
    if not missing:
        return Finding("paths", "ok", f"all {len(headers)} files exist")
    return Finding(
        "paths",
        _by_share(len(missing), len(headers), recipe),
        f"{len(missing)} of {len(headers)} files do not exist: {first_few(missing)}",
        "correct the paths, say where the audio lies with --audio-root, or remove these rows",
        {"missing": missing},
    )


def check_readable(headers: pd.DataFrame, recipe: Recipe) -> Finding:
    """Can every file that exists be opened?"""
    headers = headers.drop_duplicates("path")
    broken = headers[headers["error"].notna()]
    broken = broken[[Path(path).exists() for path in broken["path"]]]
    if broken.empty:
        return Finding("readable", "ok", "every header can be read")
    first = "; ".join(f"{row.path}: {row.error}" for row in broken.head(3).itertuples())
    return Finding(
        "readable",
        _by_share(len(broken), len(headers), recipe),
        f"{len(broken)} of {len(headers)} files cannot be read: {first}",
        f"mend or remove them; training leaves them out, and stops above the recipe's max_bad={recipe.max_bad:.0%}",
        {"unreadable": broken[["path", "error"]].to_dict("records")},
    )


def check_lengths(headers: pd.DataFrame) -> Finding:
    """Do the files tell how long they are? Where not, their true length was counted."""
    mended = headers[headers["mended"].notna()].drop_duplicates("path")
    if mended.empty:
        return Finding("lengths", "ok", "every file lasts as long as it says")
    first = "; ".join(f"{row.path}: {row.mended}" for row in mended.head(3).itertuples())
    return Finding(
        "lengths",
        "warn",
        f"{len(mended)} of {headers['path'].nunique()} files do not tell their length: {first}",
        "all that is there is used; where a file holds less than it says, look whether it was copied in full",
        {"mended": mended[["path", "mended"]].to_dict("records")},
    )


def _by_share(n_bad: int, n: int, recipe: Recipe) -> Status:
    return "fail" if n_bad > recipe.max_bad * n else "warn"


def check_rates(headers: pd.DataFrame, recipe: Recipe) -> Iterator[Finding]:
    """Sample rates, channels and durations, and whether the recipe's fmax looks where these files hold sound."""
    good = headers[headers["error"].isna()]
    rates, channels = good["sample_rate"].value_counts(), good["channels"].value_counts()
    mixed = ", ".join(f"{rate} Hz ({count})" for rate, count in rates.items())
    names: dict[object, str] = {1: "mono", 2: "stereo"}
    tracks = ", ".join(f"{names.get(n, f'{n} channels')} ({count})" for n, count in channels.items())
    details = {"sample_rates": rates.to_dict(), "channels": channels.to_dict()}
    low = good["sample_rate"] < 2 * recipe.fmax
    if low.mean() > FEW:
        message = f"{mixed}; {tracks}. {low.sum()} of {len(good)} files hold nothing up to fmax={recipe.fmax:.0f} Hz"
        remedy = f"--set fmax={good['sample_rate'].min() // 2}.0, or accept that their upper bands are empty"
        yield Finding("rates", "warn", message, remedy, details)
    else:
        yield Finding("rates", "ok", f"{mixed}; {tracks}; all become {recipe.sample_rate} Hz mono", details=details)
    yield _check_durations(good, recipe)


def _check_durations(good: pd.DataFrame, recipe: Recipe) -> Finding:
    seconds = good["duration"]
    text = f"{seconds.min():.2f} to {seconds.max():.1f} s, median {seconds.median():.1f} s"
    text += f", {seconds.sum() / 3600:.2f} h in all"
    short = good.loc[seconds < SHORT, "path"].tolist()
    if not short:
        return Finding("durations", "ok", text)
    text += f"; {len(short)} last less than {SHORT:g} s: {first_few(short)}"
    remedy = f"they are filled up (pad={recipe.pad!r}): look whether they hold a call at all"
    return Finding("durations", "warn", text, remedy, {"short": short})


def check_sound(headers: pd.DataFrame, *, sample: int = 200, workers: int = 8) -> Finding:
    """Decode up to `sample` files in full, spread evenly: NaN, truncation, silence, clipping."""
    good = headers[headers["error"].isna()].drop_duplicates("path")
    if len(good) > sample:
        good = good.iloc[np.linspace(0, len(good) - 1, sample).round().astype(int)]
    rows = list(good[["path", "sample_rate"]].itertuples(index=False, name=None))
    with ThreadPoolExecutor(workers) as pool:
        faults = [fault for fault in pool.map(lambda row: _listen(*row), rows) if fault]
    of = f"{len(rows)} of {len(headers)} files decoded in full"
    if not faults:
        return Finding("sound", "ok", f"{of}: no NaN, silence, truncation or clipping")
    kinds = pd.Series([kind for _, kind, _ in faults]).value_counts()
    listed = ", ".join(f"{count} {kind}" for kind, count in kinds.items())
    worst = "; ".join(f"{path}: {reason}" for path, _, reason in faults[:3])
    n_unusable = len(faults) - int(kinds.get("clipped", 0))
    return Finding(
        "sound",
        "fail" if n_unusable > MOST * len(rows) else "warn",
        f"{of}: {listed}. {worst}",
        "listen to them; mend or remove the damaged and the silent ones" if n_unusable else "",
        {"faults": [{"path": path, "kind": kind, "reason": reason} for path, kind, reason in faults]},
    )


def check_decoder(headers: pd.DataFrame) -> Iterator[Finding]:
    """What decoders had to say of the files that :func:`check_sound` decoded; nothing where they were content."""
    said = [(path, complaints.of(path)) for path in headers["path"].unique()]
    said = [(path, lines) for path, lines in said if lines]
    if not said:
        return
    shown = [f"{path}: {lines.total()} times, as {lines.most_common(1)[0][0]!r}" for path, lines in said[:3]]
    yield Finding(
        "decoder",
        "warn",
        f"{len(said)} files hold frames that cannot be decoded as they should: {'; '.join(shown)}",
        "a few broken frames do no harm; download them again, or listen to those with many",
        {"complaints": {path: dict(lines) for path, lines in said}},
    )


def _listen(path: str, sample_rate: int) -> tuple[str, str, str] | None:
    """What is wrong with one recording: path, kind, reason."""
    if not path.lower().endswith(".mp3"):
        return _hear(path, sample_rate)
    with _ALONE:  # so that what the decoder says is said of this file
        complaints.forget(path)
        return _hear(path, sample_rate)


def _hear(path: str, sample_rate: int) -> tuple[str, str, str] | None:
    low, high, n, n_full = np.inf, -np.inf, 0, 0
    try:
        for waveform in _blocks(path, int(sample_rate)):
            low, high = waveform.min(initial=low), waveform.max(initial=high)
            n += len(waveform)
            n_full += int((np.abs(waveform) >= CLIPPED_SAMPLE).sum())
    except AudioError as error:
        return path, "damaged", error.reason
    if high - low < SILENT:
        return path, "silent", "it holds no sound at all"
    if n_full > CLIPPED * n:
        return path, "clipped", f"{n_full / n:.0%} of its samples are at full scale"
    return None


def _blocks(path: str, sample_rate: int) -> Iterator[np.ndarray]:
    """The waveform ``(time,)`` in blocks; the last is longer by the rest, which alone may be what a header promises too much."""
    with open_audio(path) as file:
        n = max(1, int(file.frames / file.samplerate / BLOCK))
        for k in range(n):
            length = None if k == n - 1 else BLOCK
            yield read_clip(path, start_time=k * BLOCK, duration=length, sample_rate=sample_rate, file=file)
