"""A classifier as a file for another runtime, put in place only if it agrees with PyTorch."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from birdfast.audio.listing import is_audio
from birdfast.audio.recordings import Paths
from birdfast.errors import BirdfastError, unknown
from birdfast.files.places import is_url
from birdfast.files.writing import replacing
from birdfast.notes import note
from birdfast.scoring.engines.load import KINDS, load_engine
from birdfast.scoring.graph import as_shippable
from birdfast.scoring.parity import MOST, Difference, check_windows, compare

SYNTHETIC, RECORDED = "synthetic songs", "real recordings"
TOLERANCE = 1e-4  # in probability, of an fp32 file


@dataclass(frozen=True)
class Export:
    """What was written, and how far its probabilities lie from PyTorch's."""

    path: Path
    n_bytes: int
    n_windows: int  # compared
    worst: Difference
    sound: str = SYNTHETIC  # what they are of

    def __str__(self) -> str:
        return (
            f"{self.path} ({self.n_bytes / 1e6:.1f} MB): on {self.n_windows} windows of {self.sound} its probabilities "
            f"differ from PyTorch's by {self.worst.size:.1e} at most"
        )


def export_model(
    model: Any, out: str | Path, *, recordings: Paths | None = None, weights: Sequence[float] | None = None
) -> Export:
    """Write a bundle, a learner or an ensemble to `out`: ``.onnx``, or ``.xml`` for OpenVINO with a ``.bin`` beside it.

    The graph takes waveforms ``(n, time)`` at the recipe's rate, of any number and length, and gives probabilities
    ``(n, n_classes)``. Classes, recipe and what else the bundle carries are in its metadata.

    Parameters
    ----------
    model
        What :func:`~birdfast.scoring.bundle.as_bundle` takes; a list of such, with `weights` where given, or an
        :class:`~birdfast.prediction.ensemble.Ensemble`: one graph that averages them. Models with the same spectrogram
        share it.
    recordings
        Real sound on which the file is compared with PyTorch before it is put in place; unless given, a learner's
        validation recordings. Where none are known, synthetic songs, and a note says so.

    Raises
    ------
    BirdfastError
        If a probability differs by more than 1e-4 (nothing is written), what writes the format is not installed, or an
        Ensemble blends by rank, which no graph can.
    """
    out = Path(out)
    write = KINDS[out.suffix].write if out.suffix in KINDS else None
    if write is None:
        raise unknown("format to export to", out.suffix, [suffix for suffix, kind in KINDS.items() if kind.write])
    bundle = as_shippable(model, weights=weights)
    known = recordings if recordings is not None else validation_recordings(model)
    if known is None:
        note(
            "no recordings of this model are known: its file is compared with PyTorch on synthetic songs; name real ones"
        )
    windows = check_windows(bundle.recipe, known)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=".birdfast-") as folder:
        made = write(bundle, Path(folder) / f"model{out.suffix}")
        worst = compare(load_engine(bundle, device="cpu"), load_engine(made), windows)
        if worst.size > TOLERANCE:
            raise BirdfastError(
                f"{out} was not written: its probabilities differ from PyTorch's by more than {TOLERANCE:g}. {worst}"
            )
        return Export(out, put_in_place(made, out), len(windows), worst, SYNTHETIC if known is None else RECORDED)


def validation_recordings(model: Any) -> list[str] | None:
    """Those of a learner that are still where they were; None for a model that knows of none."""
    clips = getattr(getattr(model, "dls", None), "clips", None)
    if clips is None:
        return None
    return existing(clips.loc[clips["is_valid"].astype(bool), "path"])


def existing(paths: Iterable[str]) -> list[str] | None:
    """Those of the recordings that are there, each once and as many as are compared; None if none is."""
    local = (path for path in dict.fromkeys(map(str, paths)) if is_audio(path) and not is_url(path))
    there = (path for path in local if Path(path).is_file())
    return list(islice(there, MOST)) or None


def put_in_place(made: Path, out: Path) -> int:
    """Move what was written to where it belongs, each file whole or not at all; returns the bytes."""
    n_bytes = 0
    for suffix in (*KINDS[out.suffix].beside, out.suffix):
        source = made.with_suffix(suffix)
        n_bytes += source.stat().st_size
        with replacing(out.with_suffix(suffix)) as temporary:
            source.replace(temporary)
    return n_bytes
