"""Scores in a folder, a Parquet file a recording: the file's name says what it was made from, so that none is stale.

``scores/<recording>-<path>-<version>-<settings>.parquet``, the last three as short digests. A file is put in place whole,
hence its being there means that its recording is done; this needs no journal, works on object storage, and lets many
machines write into one folder.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from birdfast import __version__
from birdfast.audio.read import NOT_UTF8
from birdfast.audio.recordings import MANIFEST
from birdfast.errors import BirdfastError
from birdfast.files.places import absolute, below, file_name, is_url, list_files, open_url, remove, version_of
from birdfast.files.writing import placing
from birdfast.models.embedding import shared_embedder
from birdfast.prediction.postprocess import PostProcess
from birdfast.recipe.knobs import names_embedder
from birdfast.scoring.engines.load import KINDS

FORMAT = 1  # raised when the meaning of the files changes
RECORDINGS, ERRORS = "recordings.csv", "errors.csv"
INDEX = ["path", "start_time", "end_time"]
_DURATION = "duration"  # s, of the recording: its last window may end after it
_ROWS = 4096  # of a row group: what is held in memory of a recording while it is scored
_ABANDONED = 24 * 3600  # s after which a file half written is nobody's any more
_NAME = re.compile(r"-([0-9a-f]{16})-([0-9a-f]{12})-([0-9a-f]{12})\.parquet$")


@dataclass(frozen=True)
class Settings:
    """All that decides the scores of a recording, besides itself."""

    models: tuple[str, ...]  # SHA-256 of their files
    classes: tuple[str, ...]
    window: float  # s
    step: float  # s
    last: str
    post: PostProcess = field(default_factory=PostProcess)
    weights: tuple[float, ...] = ()  # of the models, where they are not alike

    def to_dict(self) -> dict[str, Any]:
        """As JSON holds it; what is off is left out, so that a new switch leaves older scores valid."""
        return {
            name: value
            for name, value in asdict(self).items()
            if name not in ("post", "weights") or getattr(self, name)
        }

    @cached_property
    def digest(self) -> str:
        return digest_text(json.dumps([FORMAT, self.to_dict()]), 12)


@dataclass(frozen=True)
class Recording:
    """A recording to score: its path or URL, the version of the file, and what the store holds of it that is stale."""

    path: str
    version: str
    stale: tuple[str, ...] = ()


class Store:
    """The folder of a prediction job, made with its first file.

    Parameters
    ----------
    place
        A folder, or a URL that fsspec opens.
    settings
        Of this run. Scores by others are stale: those of a recording are replaced with its new ones.
    """

    def __init__(self, place: str | Path, settings: Settings) -> None:
        self.place, self.settings = absolute(place), settings
        self._folder = below(self.place, "scores")

    def __repr__(self) -> str:
        return f"Store({self.place}, {len(self.settings.classes)} classes, {len(self.settings.models)} models)"

    def plan(self, paths: Iterable[str]) -> tuple[dict[str, str], list[Recording], dict[str, str]]:
        """Which of the recordings are done, which are to be scored, and the reason for each that is not there.

        Returns
        -------
        done
            The version of each, by path.
        """
        there = self._by_path()
        done: dict[str, str] = {}
        waiting: list[Recording] = []
        gone: dict[str, str] = {}
        for path in paths:
            try:
                version = version_of(path)
                name, found = self.name_of(path, version), there.get(digest_text(path, 16), [])
            except OSError as error:
                gone[path] = f"cannot be opened ({error.strerror or error}): check the path"
                continue
            except UnicodeEncodeError:
                gone[path] = NOT_UTF8
                continue
            if name in found:
                done[path] = version
            else:
                waiting.append(Recording(path, version, tuple(found)))
        return done, waiting, gone

    def name_of(self, path: str, version: str) -> str:
        """The file of a recording's scores."""
        stem = re.sub(r"[^\w.]+", "_", Path(file_name(path)).stem)
        stem = stem.lstrip("._")[:60]  # pandas passes over files whose names begin so
        return f"{stem}-{digest_text(path, 16)}-{digest_text(version, 12)}-{self.settings.digest}.parquet"

    @contextmanager
    def writing(self, recording: Recording) -> Iterator[Callable[[np.ndarray, np.ndarray, float], None]]:
        """Gives a function that takes start times ``(n,)`` and scores ``(n, n_classes)``, again and again, and the duration in s.

        The file is put in place at the end, or not at all if anything fails.
        """
        schema = self._schema(recording)
        with placing(below(self._folder, self.name_of(recording.path, recording.version))) as temporary:
            with pq.ParquetWriter(temporary, schema, compression="zstd", use_dictionary=["path"]) as file:
                rows = _Rows(file, schema, recording.path, self.settings.window)
                yield rows.add
                rows.flush()
                file.add_key_value_metadata({_DURATION: str(rows.duration)})
            for name in recording.stale:  # first, so that no moment sees the recording's windows twice
                remove(below(self._folder, name))

    def _schema(self, recording: Recording) -> pa.Schema:
        columns = [("path", pa.string()), ("start_time", pa.float64()), ("end_time", pa.float64())]
        made_of = {"path": recording.path, "version": recording.version, "models": self.settings.models}
        scores = [(name, pa.float32()) for name in self.settings.classes]
        return pa.schema(columns + scores, metadata={"birdfast": json.dumps(made_of)})

    def begin(self, models: Iterable[str]) -> None:
        """Write the manifest, and clear away what a killed run left half written, a day after it was touched last.

        What is younger may be what another process is writing now.
        """
        if not is_url(self.place):
            for file in Path(self._folder).glob(".*.tmp"):
                with suppress(FileNotFoundError):  # put in place meanwhile
                    if time.time() - file.stat().st_mtime > _ABANDONED:
                        file.unlink()
        manifest = {
            "format": FORMAT,
            "birdfast": __version__,
            "models": list(models),
            "sha256": self.settings.models,
            **{name: value for name, value in self.settings.to_dict().items() if name != "models"},
        }
        self._write(MANIFEST, json.dumps(manifest, indent=2) + "\n")

    def finish(self, done: dict[str, str], errors: dict[str, str], gone: Collection[str]) -> None:
        """Write the lists of what was scored and what cannot be read, and remove what is stale.

        Of recordings that are `gone`, scores stay: they may be back with the disk that they are on.
        """
        names = {path: self.name_of(path, version) for path, version in done.items()}
        listed = pd.DataFrame({"path": list(done), "version": list(done.values()), "scores": list(names.values())})
        self._write(RECORDINGS, listed.to_csv(index=False))
        broken = pd.DataFrame({"path": list(errors), "reason": list(errors.values())}, dtype=str)
        self._write(ERRORS, broken.to_csv(index=False))
        asked = {digest_text(path, 16) for path in [*done, *errors] if path not in gone}
        wanted = set(names.values())
        for key, found in self._by_path().items():
            for name in found:
                foreign = not name.endswith(f"-{self.settings.digest}.parquet")
                if foreign or (key in asked and name not in wanted):
                    remove(below(self._folder, name))

    def tables(self, done: dict[str, str]) -> Iterator[pd.DataFrame]:
        """The scores of each recording, indexed ``(path, start_time, end_time)``, a column a class."""
        for path, version in done.items():
            yield read_scores(below(self._folder, self.name_of(path, version)))

    def _by_path(self) -> dict[str, list[str]]:
        """The names of the files of scores, by the digest of their recording's path."""
        names: dict[str, list[str]] = {}
        for place in list_files(self._folder):
            if (match := _NAME.search(place)) and not file_name(place).startswith("."):
                names.setdefault(match[1], []).append(file_name(place))
        return names

    def _write(self, name: str, text: str) -> None:
        with placing(below(self.place, name)) as temporary:
            temporary.write_text(text, encoding="utf-8")


class _Rows:
    """Rows on their way into a Parquet file, in groups of a size that reads well."""

    def __init__(self, file: pq.ParquetWriter, schema: pa.Schema, path: str, window: float) -> None:
        self.file, self.schema, self.path, self.window = file, schema, path, window
        self.starts: list[np.ndarray] = []
        self.scores: list[np.ndarray] = []
        self.duration = 0.0

    def add(self, starts: np.ndarray, scores: np.ndarray, duration: float) -> None:
        self.duration = duration
        self.starts.append(starts)
        self.scores.append(scores)
        if sum(map(len, self.starts)) >= _ROWS:
            self.flush()

    def flush(self) -> None:
        if not self.starts:
            return
        starts, scores = np.concatenate(self.starts), np.concatenate(self.scores).astype(np.float32)
        columns = [pa.array([self.path] * len(starts)), starts, starts + self.window, *np.ascontiguousarray(scores.T)]
        self.file.write_table(pa.Table.from_arrays([pa.array(column) for column in columns], schema=self.schema))
        self.starts, self.scores = [], []


def read_scores(place: str) -> pd.DataFrame:
    """One file of scores, indexed ``(path, start_time, end_time)``; ``attrs["duration"]``: of the recording, in s, if known."""
    try:
        with open_url(place) if is_url(place) else Path(place).open("rb") as file:
            parquet = pq.ParquetFile(file)
            scores, said = parquet.read().to_pandas().set_index(INDEX), parquet.metadata.metadata or {}
        if duration := said.get(_DURATION.encode()):
            scores.attrs["duration"] = float(duration)
        return scores
    except pa.ArrowInvalid as error:
        raise BirdfastError(f"{place} is damaged ({error}): remove it and predict again") from error


def digest_model(path: str | Path) -> str:
    """SHA-256 of a model's file, and of what of it lies beside (OpenVINO's ``.bin``); of an embedder, of its own file."""
    path = Path(path)
    if names_embedder(str(path)):
        return shared_embedder(str(path)).sha256
    beside = [path.with_suffix(suffix) for suffix in (KINDS[path.suffix].beside if path.suffix in KINDS else ())]
    return "+".join(_digest_of(file) for file in (path, *(file for file in beside if file.is_file())))


def _digest_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest_text(text: str, length: int) -> str:
    """The first digits of the SHA-256 of a text."""
    return hashlib.sha256(text.encode()).hexdigest()[:length]
