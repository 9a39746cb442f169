"""What a run keeps in its folder: its recipe, its source, and on which side each recording is."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

RECIPE, DATA, SPLIT = "recipe.toml", "data.json", "split.csv"
BUNDLE, PICKLE = "birds.safetensors", "birds.pkl"
NOISE = "noise.csv"  # what the model calls where no bird sings
EXPORTS = ("last", "best")  # epochs whose weights a run keeps


def run_sides(run: Path, root: Path | None) -> dict[str, bool] | None:
    """Whether each file of a run validates, by its path, where the data lie now in `root`; None where it does not say.

    A file with rows on both sides was heard: it does not validate.
    """
    split = _read_split(run, root)
    return None if split is None else dict(split.groupby("path", sort=False)["is_valid"].all())


def whole_sides(run: Path, root: Path | None) -> dict[str, bool] | None:
    """As :func:`run_sides`; None also where a file has rows on both sides, for then paths do not tell the split."""
    split = _read_split(run, root)
    if split is None or (split.groupby("path")["is_valid"].nunique() > 1).any():
        return None
    return dict(zip(split["path"], split["is_valid"], strict=True))


def _read_split(run: Path, root: Path | None) -> pd.DataFrame | None:
    if not (run / SPLIT).is_file():
        return None
    from birdfast.files.text import read_csv  # here, for the shell's help wants the names alone

    split = read_csv(run / SPLIT, dtype={"path": str}, remedy="the run is damaged, train it anew")
    before = json.loads((run / DATA).read_text()).get("root") if (run / DATA).is_file() else None
    if before and root:
        split["path"] = split["path"].str.replace(rf"^{re.escape(before)}/", lambda found: f"{root}/", regex=True)
    return split
