"""Runs, bundles or pickles in; a bundle, a pickle, ONNX or OpenVINO out."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from birdfast.commands.exporting.pickles import load_pickle
from birdfast.commands.shared.models import check_models, find_bundle
from birdfast.commands.shared.places import check_files
from birdfast.errors import BirdfastError
from birdfast.notes import loading, note
from birdfast.scoring.bundle import save_bundle
from birdfast.scoring.bundle_ensemble import save_ensemble
from birdfast.scoring.engines.load import KINDS
from birdfast.splits.run_files import BUNDLE, PICKLE, SPLIT

FORMATS = {suffix: kind.what for suffix, kind in KINDS.items()} | {".pkl": "fastai's load_learner"}


def export(
    source: str | Path | Sequence[str | Path],
    out: str | Path,
    *,
    recordings: Sequence[str | Path] = (),
    weights: Sequence[float] | None = None,
) -> str:
    """Write the model of a run, a bundle or a learner's pickle to `out`, whose suffix is the format; says what it wrote.

    Parameters
    ----------
    source
        Several are written as one: an ensemble, by `weights` where given.
    recordings
        Real sound on which an ``.onnx`` or ``.xml`` must agree with PyTorch; unless given, the validation recordings
        that the folder of the run names in split.csv. Where none are found, synthetic songs, and a note says so.

    Raises
    ------
    BirdfastError
        If there is no model, it cannot be loaded, the format cannot be made of it, or the file would not agree; if
        `recordings` are given for another format.
    """
    sources, out = [Path(one) for one in ([source] if isinstance(source, (str, Path)) else source)], Path(out)
    if out.suffix not in FORMATS:
        known = ", ".join(f"{suffix} ({what})" for suffix, what in FORMATS.items())
        raise BirdfastError(f"{out} must end in one of {known}")
    if recordings and not (out.suffix in KINDS and KINDS[out.suffix].write):
        raise BirdfastError(
            f"recordings to check are of an .onnx or .xml, nothing is checked for {out}: leave them out"
        )
    check_files("--check", recordings)
    if out.suffix != ".pkl":
        check_models(one for one in sources if one.suffix != ".pkl")
    if len(sources) > 1:
        return _together(sources, out, recordings, weights)
    if weights is not None:
        raise BirdfastError(f"weights are for several models, {sources[0]} is the only one")
    if out.suffix == ".pkl":
        return str(_copy(_pickle_of(sources[0]), out))
    if out.suffix == ".safetensors" and sources[0].suffix != ".pkl":
        return str(_copy(find_bundle(sources[0]), out))
    model = _model_of(sources[0])
    if out.suffix == ".safetensors":
        return str(save_bundle(model, out))  # of a pickle
    with loading():
        from birdfast.scoring.export import export_model

    return str(export_model(model, out, recordings=list(recordings) or validation_recordings(sources)))


def _together(sources: list[Path], out: Path, recordings: Sequence[str | Path], weights: Sequence[float] | None) -> str:
    """Several models as one file."""
    if out.suffix == ".pkl":
        raise BirdfastError(f"{out} holds one learner: write several models to one .safetensors, .onnx or .xml")
    models = [_model_of(source) for source in sources]
    if out.suffix == ".safetensors":
        return str(save_ensemble(models, out, weights=weights))
    with loading():
        from birdfast.scoring.export import export_model

    known = list(recordings) or validation_recordings(sources)
    return str(export_model(models, out, recordings=known, weights=weights))


def validation_recordings(sources: Sequence[Path]) -> list[str] | None:
    """Those of the first run, if any, whose recordings are still where they were: by the split.csv beside its bundle."""
    from birdfast.scoring.export import existing

    for source in sources:
        split = (source if source.is_dir() else source.parent) / SPLIT
        if split.is_file():
            table = pd.read_csv(split, dtype={"path": str})
            if found := existing(table.loc[table["is_valid"], "path"]):
                return found
            note(f"none of the validation recordings that {split} names is there any more")
    return None


def _model_of(source: Path) -> Any:
    """The learner in a pickle, or the path of a bundle."""
    return load_pickle(source) if source.suffix == ".pkl" else find_bundle(source)


def _pickle_of(source: Path) -> Path:
    path = source / PICKLE if source.is_dir() else source
    if path.suffix != ".pkl":
        raise BirdfastError(f"{source} carries no learner: a .pkl is made from the folder of a run, which has {PICKLE}")
    if not path.is_file():
        raise BirdfastError(
            f"no pickle at {path}: a run writes {PICKLE} and {BUNDLE} at its end, a fold the bundle alone (for .onnx and .xml)"
        )
    return path


def _copy(path: Path, out: Path) -> Path:
    """A copy put in place whole; `path` is checked to be what it says first if it is a bundle."""
    from birdfast.files.writing import replacing
    from birdfast.scoring.graph import as_shippable

    if path.suffix != ".pkl":
        as_shippable(path)
    if path.resolve() == out.resolve():
        raise BirdfastError(f"{out} is the file to export itself: give another name")
    with replacing(out) as temporary:
        shutil.copyfile(path, temporary)
    return out
