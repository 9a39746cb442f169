"""Embeddings in a folder, a Parquet file a recording, as :mod:`birdfast.audio.per_recording` keeps them.

Columns: path, start_time, end_time (s), embedding (a list of float32) and, where asked for, logits.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from birdfast import __version__
from birdfast.audio.per_recording import PerRecording, Recording, digest_text
from birdfast.audio.recordings import MANIFEST
from birdfast.embedders.embedder import Embedder, Floats
from birdfast.embedders.stream import Embedded
from birdfast.errors import BirdfastError
from birdfast.files.places import below, list_files, open_url
from birdfast.files.writing import placing

FORMAT = 1  # raised when the meaning of the files changes
KIND, EMBEDDING, LOGITS = "embeddings", "embedding", "logits"
Add = Callable[[Embedded], None]


@dataclass(frozen=True)
class EmbeddingSettings:
    """All that decides the embeddings of a recording, besides itself."""

    embedder: str
    sha256: str
    size: int
    window: float  # s
    step: float  # s
    last: str
    pad: str
    logits: int = 0  # values a window; 0: none kept

    @cached_property
    def digest(self) -> str:
        return digest_text(json.dumps([FORMAT, asdict(self)]), 12)


def settings_for(
    embedder: Embedder, *, step: float | None = None, last: str = "pad", pad: str = "repeat", logits: bool = False
) -> EmbeddingSettings:
    """The settings of embeddings by this embedder."""
    return EmbeddingSettings(
        embedder.name,
        embedder.sha256,
        embedder.size,
        embedder.window,
        float(step or embedder.step),
        last,
        pad,
        len(embedder.classes) if logits else 0,
    )


class EmbeddingStore(PerRecording):
    """The folder of embeddings of many recordings, made with its first file."""

    def __init__(self, place: str | Path, settings: EmbeddingSettings) -> None:
        super().__init__(place, kind=KIND, digest=settings.digest)
        self.settings = settings

    def __repr__(self) -> str:
        return f"EmbeddingStore({self.place}, {self.settings.embedder}, step {self.settings.step:g} s)"

    def begin(self, classes: tuple[str, ...]) -> None:
        """Write the manifest, with the classes of the logits, and clear away what a killed run left half written."""
        self.clear_abandoned()
        kept = {"classes": classes} if self.settings.logits else {}
        manifest = {"format": FORMAT, "birdfast": __version__, **asdict(self.settings), **kept}
        self.write_text(MANIFEST, json.dumps(manifest, indent=2) + "\n")

    @contextmanager
    def writing(self, recording: Recording) -> Iterator[Add]:
        """Gives a function that takes the recording's windows, part after part; its file is put in place at the end."""
        schema = self._schema()
        with placing(self.place_of(recording.path, recording.version)) as temporary:
            with pq.ParquetWriter(temporary, schema, compression="zstd", use_dictionary=["path"]) as file:
                yield lambda part: file.write_table(self._table(part, schema))
            self.remove_stale(recording)  # first, so that no moment sees the recording's windows twice

    def _schema(self) -> pa.Schema:
        columns = [("path", pa.string()), ("start_time", pa.float64()), ("end_time", pa.float64())]
        vectors = [(EMBEDDING, self.settings.size), (LOGITS, self.settings.logits)]
        return pa.schema(columns + [(name, pa.list_(pa.float32(), size)) for name, size in vectors if size])

    def _table(self, part: Embedded, schema: pa.Schema) -> pa.Table:
        columns = [pa.array([part.job.path] * len(part.starts)), part.starts, part.starts + self.settings.window]
        for values in (part.embeddings, part.logits):
            if values is not None:
                flat = pa.array(np.ascontiguousarray(values, np.float32).reshape(-1))
                columns.append(pa.FixedSizeListArray.from_arrays(flat, values.shape[1]))
        return pa.Table.from_arrays([pa.array(column) for column in columns], schema=schema)

    def read(self, done: dict[str, str]) -> Embeddings:
        """The embeddings of recordings, path to version, in their order."""
        return _joined([self.place_of(path, version) for path, version in done.items()])


class Embeddings(NamedTuple):
    """Windows of recordings: `paths`, `starts` and `ends` (s), `values` ``(n, size)``, `logits` ``(n, n_classes)`` or None."""

    paths: list[str]
    starts: np.ndarray
    ends: np.ndarray
    values: Floats
    logits: Floats | None


def read_embeddings(place: str | Path) -> Embeddings:
    """All embeddings in a Parquet file or a folder of them, as ``birdfast embed --out FOLDER`` writes into FOLDER/embeddings.

    Raises
    ------
    BirdfastError
        If there are none, or a file is damaged or of another kind.
    """
    files = [str(place)] if str(place).endswith(".parquet") else list_files(str(place))
    files = [file for file in files if file.endswith(".parquet")]
    if not files:
        inner = below(str(place), KIND)
        raise BirdfastError(f"no embeddings in {place}: give the folder that birdfast embed wrote into, {inner}")
    return _joined(files)


def _joined(files: list[str]) -> Embeddings:
    parts = [_read(file) for file in files]
    kept = all(part.logits is not None for part in parts)
    return Embeddings(
        [path for part in parts for path in part.paths],
        np.concatenate([part.starts for part in parts]),
        np.concatenate([part.ends for part in parts]),
        np.concatenate([part.values for part in parts]),
        np.concatenate([part.logits for part in parts if part.logits is not None]) if kept else None,
    )


def _read(place: str) -> Embeddings:
    try:
        with open_url(place) if "://" in place else Path(place).open("rb") as file:
            table = pq.read_table(file)
        values, logits = _matrix(table, EMBEDDING), _matrix(table, LOGITS) if LOGITS in table.column_names else None
        starts, ends = (table[name].to_numpy() for name in ("start_time", "end_time"))
        return Embeddings(table["path"].to_pylist(), starts, ends, values, logits)
    except (pa.ArrowInvalid, KeyError) as error:
        raise BirdfastError(
            f"{place} is damaged or holds no embeddings ({error}): remove it and embed again"
        ) from error


def _matrix(table: pa.Table, name: str) -> Floats:
    column = table[name].combine_chunks()
    return column.flatten().to_numpy().reshape(len(table), -1)
