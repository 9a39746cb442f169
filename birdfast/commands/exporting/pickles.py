"""fastai's pickles of learners, loaded with care."""

from __future__ import annotations

import pickle
import warnings
from pathlib import Path
from typing import Any

from birdfast import __version__
from birdfast.errors import BirdfastError
from birdfast.notes import loading, note
from birdfast.splits.run_files import BUNDLE


def load_pickle(path: Path) -> Any:
    """The learner in a pickle, on the CPU.

    Raises
    ------
    BirdfastError
        If there is none, it was pickled by another birdfast, or what it was made with is not installed.
    """
    if not path.is_file():
        raise BirdfastError(f"no pickle at {path}: give what birdfast train or learn.export wrote")
    with loading():
        from birdfast.models.quiet import no_script_warnings

        with no_script_warnings():
            from fastai.learner import load_learner

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
