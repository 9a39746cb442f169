"""Does a split leak? What the two sides share: recordings, recordists, files of the same bytes or the same sound."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import soundfile

_SHOWN = 5  # rows of each table that a printed report shows
_PEEK = 65_536  # bytes at a file's head that are compared before the whole of it
# The same number is the same recording in any folder: Xeno-canto, iNaturalist, CSA; in ESC, Freesound's between fold and
# take (1-100032-A-0.wav).
_ID = r"(?i)^((?:XC|iNat|CSA)\d+)"
_ESC = r"^\d-(\d{3,})-[A-Z](?:-\d+)?\.\w+$"


def recording_ids(paths: pd.Series) -> pd.Series:
    """What makes two rows the same recording: the archive's number in the file name, or else the path."""
    names = paths.str.rsplit("/", n=1).str[-1]
    sources = "freesound " + names.str.extract(_ESC, expand=False)
    return names.str.extract(_ID, expand=False).fillna(sources).fillna(paths)


@dataclass(repr=False)
class LeakReport:
    """What training and validation share; printed, it reads as a person would tell it.

    Attributes
    ----------
    shared_recordings
        Recordings with rows on both sides: `recording`, `n_train`, `n_valid`.
    shared_authors
        Recordists on both sides: `author`, `n_train`, `n_valid`, `harmless` (all their training recordings are of
        classes that are not validated, so knowing their microphone cannot flatter the score).
    identical_files, same_audio
        Different files of the same bytes, of the same sound: `train`, `valid` (paths). `same_audio` is None where not
        looked for.
    n_unknown_authors
        Recordings whose recordist nobody named.
    known
        Whether anything but the file tells which recordings belong together: a recordist, or a value of the column that
        the split was grouped by.
    shared_sites
        Sites of soundscapes on both sides: `site`, `n_train`, `n_valid`. Said, but no leak: one may want it so.
    """

    shared_recordings: pd.DataFrame
    shared_authors: pd.DataFrame
    identical_files: pd.DataFrame
    same_audio: pd.DataFrame | None
    n_unknown_authors: int = 0
    known: bool = True
    shared_sites: pd.DataFrame | None = None

    @property
    def ok(self) -> bool:
        """Whether it is known that nothing is shared that could flatter the score."""
        return self.known and not self._shared()

    @property
    def _n_harmful(self) -> int:
        return int((~self.shared_authors["harmless"].astype(bool)).sum())

    def _shared(self) -> str:
        """What is on both sides, counted; empty if nothing is."""
        parts = [
            _count(len(self.shared_recordings), "recording"),
            _count(self._n_harmful, "recordist"),
            _count(len(self.identical_files), "pair", "of identical files"),
        ]
        if self.same_audio is not None:
            parts.append(_count(len(self.same_audio), "pair", "of the same sound"))
        return ", ".join(part for part in parts if part)

    def line(self) -> str:
        """The report in one line."""
        shared = self._shared()
        text = f"the split leaks: {shared} on both sides" if shared else "the split does not leak"
        if not self.known and not shared:
            text = "whether the split leaks cannot be told: no recordist is known"
        notes = []
        if harmless := len(self.shared_authors) - self._n_harmful:
            notes.append(f"{_count(harmless, 'recordist')} on both sides only by species too rare to hold out")
        if self.shared_sites is not None and len(self.shared_sites):
            notes.append(f"{_count(len(self.shared_sites), 'soundscape site')} on both sides")
        if self.n_unknown_authors and (self.known or shared):
            notes.append(f"{_count(self.n_unknown_authors, 'recording')} by unknown recordists")
        return f"{text} ({'; '.join(notes)})" if notes else text

    def __repr__(self) -> str:
        """The line, and the head of each table that holds something."""
        tables = {name: table for name, table in self._tables().items() if table is not None and len(table)}
        parts = [f"{name.replace('_', ' ')} ({len(table)}):\n{table.head(_SHOWN)}" for name, table in tables.items()]
        return "\n".join([self.line(), *parts])

    def _tables(self) -> dict[str, pd.DataFrame | None]:
        names = ("shared_recordings", "shared_authors", "identical_files", "same_audio")
        return {name: getattr(self, name) for name in names}

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON can hold it."""
        out: dict[str, Any] = {"ok": self.ok, "line": self.line(), "known": self.known}
        out["n_unknown_authors"] = self.n_unknown_authors
        tables = {**self._tables(), "shared_sites": self.shared_sites}
        return out | {name: None if table is None else table.to_dict("records") for name, table in tables.items()}


def _count(n: int, noun: str, rest: str = "") -> str:
    return "" if n == 0 else f"{n} {noun}{'' if n == 1 else 's'} {rest}".rstrip()


def leak_report(
    recordings: pd.DataFrame, is_valid: np.ndarray, *, group: str = "author", audio: bool = False
) -> LeakReport:
    """What the two sides of a split share.

    Parameters
    ----------
    recordings
        With a column `site` for those that are soundscapes, if there are any; with `audio`, the columns of
        :func:`~birdfast.audio.read.read_headers` save reading the headers again.
    is_valid
        bool (n_recordings,): True in validation.
    group
        The column that the split kept together, see :func:`~birdfast.splits.folds.assign_folds`.
    audio
        Decode files of equal length, too, and compare the sound (finds a WAV and its FLAC copy); slower.

    Notes
    -----
    Files are compared by size, then by their first bytes, then by a hash of all of them; missing ones are passed over,
    since reading the headers reports them.
    """
    is_valid = np.asarray(is_valid, bool)
    shared = _shared(recording_ids(recordings["path"]).rename("recording"), is_valid)
    train, valid = set(recordings.loc[~is_valid, "path"]), set(recordings.loc[is_valid, "path"])
    train, valid = train - valid, valid - train
    identical = _same(train, valid, [_size, _head, _whole])
    sound = None
    if audio:
        sound = _same(train, valid, [_shapes(recordings), _first_sound, _sound])
        known = set(identical.itertuples(index=False, name=None))
        sound = sound[[pair not in known for pair in sound.itertuples(index=False, name=None)]].reset_index(drop=True)
    authors = _shared_authors(recordings, is_valid)
    nobody = recordings["author"].isna() if "author" in recordings else pd.Series(True, index=recordings.index)
    told = any(recordings[name].notna().any() for name in {"author", group} & set(recordings.columns))
    sites = None
    if "site" in recordings:  # a soundscape has a site, no recordist
        nobody &= recordings["site"].isna()
        sites = _shared(recordings["site"], is_valid)
    return LeakReport(shared, authors, identical, sound, int(nobody.sum()), told, sites)


def _shared(values: pd.Series, is_valid: np.ndarray) -> pd.DataFrame:
    """Values on both sides, with the number of rows on each."""
    name = str(values.name)
    sides = {"n_train": (~is_valid).astype(int), "n_valid": is_valid.astype(int)}
    counts = pd.DataFrame({name: values.to_numpy(), **sides}).groupby(name).sum().reset_index()
    return counts[(counts["n_train"] > 0) & (counts["n_valid"] > 0)].reset_index(drop=True)


def _shared_authors(recordings: pd.DataFrame, is_valid: np.ndarray) -> pd.DataFrame:
    author = recordings["author"] if "author" in recordings else pd.Series(pd.NA, index=recordings.index, name="author")
    shared = _shared(author.rename("author"), is_valid)
    labels = recordings["primary_label"]
    validated = labels[
        is_valid & author.notna().to_numpy()
    ]  # soundscapes, which have no recordist, validate others' songs
    matters = ~is_valid & labels.isin(validated).to_numpy()
    harmful = set(author[matters].dropna())
    return shared.assign(harmless=[name not in harmful for name in shared["author"]])


def _same(train: Iterable[str], valid: Iterable[str], keys: list[Callable[[str], Hashable | None]]) -> pd.DataFrame:
    """Pairs of a training and a validation file that agree in every key; each is asked where those before agree."""
    rows = []
    pending = [(list(train), list(valid), 0)]
    while pending:
        left, right, depth = pending.pop()
        if depth == len(keys):
            rows += [(a, b) for a in left for b in right]
            continue
        of_left, of_right = _grouped(left, keys[depth]), _grouped(right, keys[depth])
        pending += [(of_left[key], of_right[key], depth + 1) for key in of_left.keys() & of_right.keys()]
    return pd.DataFrame(sorted(rows), columns=["train", "valid"])


def _grouped(paths: list[str], key: Callable[[str], Hashable | None]) -> dict[Hashable, list[str]]:
    groups: dict[Hashable, list[str]] = {}
    for path in paths:
        try:
            value = key(path)
        except (OSError, soundfile.LibsndfileError):
            continue
        if value is not None:
            groups.setdefault(value, []).append(path)
    return groups


def _size(path: str) -> int | None:
    return Path(path).stat().st_size or None


def _head(path: str) -> bytes:
    with Path(path).open("rb") as file:
        return blake2b(file.read(_PEEK), digest_size=16).digest()


def _whole(path: str) -> bytes:
    digest = blake2b(digest_size=16)
    with Path(path).open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.digest()


def _shapes(recordings: pd.DataFrame) -> Callable[[str], Hashable | None]:
    """What gives a file's shape: the table, where it has what the headers say, or else the header."""
    columns = ["path", "sample_rate", "channels", "duration"]
    if not set(columns) <= set(recordings.columns):
        return _shape
    return {path: tuple(shape) for path, *shape in recordings[columns].itertuples(index=False)}.get


def _shape(path: str) -> tuple[int, int, int]:
    info = soundfile.info(path)
    return info.samplerate, info.channels, info.frames


def _first_sound(path: str) -> bytes:
    samples, _ = soundfile.read(path, frames=8_000, dtype="int16")
    return samples.tobytes()


def _sound(path: str) -> bytes | None:
    """A hash of the samples at 16 bits; None for silence, of which there are many alike."""
    samples, _ = soundfile.read(path, dtype="int16")
    return blake2b(samples.tobytes(), digest_size=16).digest() if samples.any() else None
