"""Spectrograms that someone saved as .npy, in place of sound."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from birdfast.audio.read import AudioError
from birdfast.errors import BirdfastError
from birdfast.notes import note
from birdfast.recipe.checks import STRIDE
from birdfast.recipe.recipe import Recipe


def is_npy(paths: pd.Series) -> np.ndarray:
    """Which recordings are spectrograms saved by someone, bool (n,)."""
    return paths.astype(str).str.lower().str.endswith(".npy").to_numpy(bool)


def npy_headers(paths: pd.Series, recipe: Recipe) -> pd.DataFrame:
    """As read_headers, of .npy files `(n_mels, frames)` in dB, made with the recipe's rate and hop."""
    rows: list[tuple[object, ...]] = []
    for path in paths:
        try:
            shape = load_npy(path).shape
        except AudioError as error:
            rows.append((path, None, None, float("nan"), error.reason))
            continue
        if len(shape) != 2 or shape[0] != recipe.n_mels:
            raise BirdfastError(
                f"{path} has the shape {shape}, the recipe wants (n_mels={recipe.n_mels}, frames): save them so, or give "
                "bird_dls the n_mels, hop_length and sample_rate they were made with"
            )
        _check_moments(path, shape[1], recipe)
        rows.append((path, recipe.sample_rate, 1, shape[1] * recipe.hop_length / recipe.sample_rate, None))
    note(f"{len(rows)} saved spectrograms: taken as dB at {recipe.sample_rate} Hz, hop_length={recipe.hop_length}")
    return pd.DataFrame(rows, columns=["path", "sample_rate", "channels", "duration", "error"])


def _check_moments(path: str, n_frames: int, recipe: Recipe) -> None:
    """Repeated to the length of a clip, a single moment gives attention over time nothing to weigh."""
    if recipe.pooling == "sed" and n_frames <= STRIDE:
        raise BirdfastError(
            f"pooling='sed' weighs moments of a recording against each other: the {n_frames} frames of {path} are a single "
            f"one to a backbone; save more than {STRIDE}, leave such files out, or set pooling='avg'"
        )


def load_npy(path: str | Path) -> np.ndarray:
    """The array in a file, mapped; raises AudioError where it cannot be read."""
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise AudioError(path, f"cannot be read as a .npy array ({error}): save it anew or remove it") from None
