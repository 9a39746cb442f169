"""`birdfast export`: runs, bundles or pickles in; a bundle, a pickle, ONNX or OpenVINO out."""

from __future__ import annotations

import pickle
import shutil
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from birdfast import __version__
from birdfast.commands.models import find_bundle
from birdfast.errors import BirdfastError
from birdfast.notes import note
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
    if len(sources) > 1:
        return _together(sources, out, recordings, weights)
    if weights is not None:
        raise BirdfastError(f"weights are for several models, {sources[0]} is the only one")
    if out.suffix == ".pkl":
        return str(_copy(_pickle_of(sources[0]), out))
    if out.suffix == ".safetensors" and sources[0].suffix != ".pkl":
        return str(_copy(find_bundle(sources[0]), out))
    from birdfast.scoring.bundle import save_bundle

    model = _model_of(sources[0])
    if out.suffix == ".safetensors":
        return str(save_bundle(model, out))
    from birdfast.scoring.export import export_model

    return str(export_model(model, out, recordings=list(recordings) or validation_recordings(sources)))


def _together(sources: list[Path], out: Path, recordings: Sequence[str | Path], weights: Sequence[float] | None) -> str:
    """Several models as one file."""
    if out.suffix == ".pkl":
        raise BirdfastError(f"{out} holds one learner: write several models to one .safetensors, .onnx or .xml")
    models = [_model_of(source) for source in sources]
    if out.suffix == ".safetensors":
        from birdfast.scoring.bundle_ensemble import save_ensemble

        return str(save_ensemble(models, out, weights=weights))
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


def load_pickle(path: Path) -> Any:
    """The learner in a pickle, on the CPU.

    Raises
    ------
    BirdfastError
        If there is none, it was pickled by another birdfast, or what it was made with is not installed.
    """
    from birdfast.models.quiet import no_script_warnings

    with no_script_warnings():
        from fastai.learner import load_learner

    if not path.is_file():
        raise BirdfastError(f"no pickle at {path}: give what birdfast train or learn.export wrote")
    note(f"loading {path} runs code that it holds: do so only if you trust it, and keep models as .safetensors")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="load_learner", category=UserWarning)
        try:
            return load_learner(path)
        except UnboundLocalError as error:  # fastai swallows the ImportError and stumbles over what it did not load
            needs = _missing_module(path)
            if "birdfast" in needs:
                raise _of_another(path) from error
            raise BirdfastError(
                f"{path} cannot be loaded, it needs {needs}: install it, or export elsewhere"
            ) from error
        except (pickle.UnpicklingError, EOFError, AttributeError, RuntimeError, ImportError, KeyError) as error:
            if isinstance(error, AttributeError) and "birdfast" in str(error):
                raise _of_another(path) from error
            raise BirdfastError(
                f"{path} cannot be loaded ({error}): it is damaged, or made by other versions"
            ) from error


def _of_another(path: Path) -> BirdfastError:
    """A pickle names the modules of the birdfast that wrote it, and holds their objects: no other can stand in."""
    bundle = path.with_name(BUNDLE)
    beside = f"take the bundle beside it, {bundle}" if bundle.is_file() else "take the bundle of its run"
    return BirdfastError(
        f"{path} was pickled by birdfast 0.1, or by one newer than this {__version__}, whose modules have other names: "
        f"{beside}, or where that birdfast is installed make one, birdfast export {path} {path.with_suffix('.safetensors')}"
    )


def _missing_module(path: Path) -> str:
    import torch

    try:
        torch.load(path, map_location="cpu", weights_only=False)
    except ImportError as error:
        return f"the module {error.name!r}" if error.name else str(error)
    return "a module that is not here"
