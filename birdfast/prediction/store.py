"""Scores in a folder, a Parquet file a recording, as :mod:`birdfast.audio.per_recording` keeps them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from birdfast import __version__
from birdfast.audio.per_recording import PerRecording, Recording, digest_text
from birdfast.audio.recordings import MANIFEST
from birdfast.embedders.load import shared_embedder
from birdfast.errors import BirdfastError
from birdfast.files.places import is_url, open_url
from birdfast.files.writing import placing
from birdfast.prediction.postprocess import PostProcess
from birdfast.recipe.knobs import names_embedder
from birdfast.scoring.engines.load import KINDS

FORMAT = 1  # raised when the meaning of the files changes
INDEX = ["path", "start_time", "end_time"]
_DURATION = "duration"  # s, of the recording: its last window may end after it
_ROWS = 4096  # of a row group: what is held in memory of a recording while it is scored


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


class Store(PerRecording):
    """The folder of a prediction job, made with its first file.

    Parameters
    ----------
    place
        A folder, or a URL that fsspec opens.
    settings
        Of this run. Scores by others are stale: those of a recording are replaced with its new ones.
    """

    def __init__(self, place: str | Path, settings: Settings) -> None:
        super().__init__(place, kind="scores", digest=settings.digest)
        self.settings = settings

    def __repr__(self) -> str:
        return f"Store({self.place}, {len(self.settings.classes)} classes, {len(self.settings.models)} models)"

    @contextmanager
    def writing(self, recording: Recording) -> Iterator[Callable[[np.ndarray, np.ndarray, float], None]]:
        """Gives a function that takes start times ``(n,)`` and scores ``(n, n_classes)``, again and again, and the duration in s.

        The file is put in place at the end, or not at all if anything fails.
        """
        schema = self._schema(recording)
        with placing(self.place_of(recording.path, recording.version)) as temporary:
            with pq.ParquetWriter(temporary, schema, compression="zstd", use_dictionary=["path"]) as file:
                rows = _Rows(file, schema, recording.path, self.settings.window)
                yield rows.add
                rows.flush()
                file.add_key_value_metadata({_DURATION: str(rows.duration)})
            self.remove_stale(recording)  # first, so that no moment sees the recording's windows twice

    def _schema(self, recording: Recording) -> pa.Schema:
        columns = [("path", pa.string()), ("start_time", pa.float64()), ("end_time", pa.float64())]
        made_of = {"path": recording.path, "version": recording.version, "models": self.settings.models}
        scores = [(name, pa.float32()) for name in self.settings.classes]
        return pa.schema(columns + scores, metadata={"birdfast": json.dumps(made_of)})

    def begin(self, models: Iterable[str]) -> None:
        """Write the manifest, and clear away what a killed run left half written."""
        self.clear_abandoned()
        manifest = {
            "format": FORMAT,
            "birdfast": __version__,
            "models": list(models),
            "sha256": self.settings.models,
            **{name: value for name, value in self.settings.to_dict().items() if name != "models"},
        }
        self.write_text(MANIFEST, json.dumps(manifest, indent=2) + "\n")

    def tables(self, done: dict[str, str]) -> Iterator[pd.DataFrame]:
        """The scores of each recording, indexed ``(path, start_time, end_time)``, a column a class."""
        for path, version in done.items():
            yield read_scores(self.place_of(path, version))


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
