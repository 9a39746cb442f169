"""What a run keeps in its folder: its recipe, its source, and on which side each recording is."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

RECIPE, DATA, SPLIT = "recipe.toml", "data.json", "split.csv"


def run_sides(run: Path, root: Path | None) -> dict[str, bool] | None:
    """Whether each file of a run validates, by its path, where the data lie now in `root`; None where it does not say.

    A file with rows on both sides was heard: it does not validate.
    """
    if not (run / SPLIT).is_file():
        return None
    split = _read_split(run)
    before = json.loads((run / DATA).read_text()).get("root") if (run / DATA).is_file() else None
    if before and root:
        split["path"] = split["path"].str.replace(rf"^{re.escape(before)}/", lambda found: f"{root}/", regex=True)
    return dict(split.groupby("path", sort=False)["is_valid"].all())


def split_by_file(run: Path) -> bool:
    """Whether all rows of a file are on one side of a run; not where a fold column deals its rows out."""
    return not (run / SPLIT).is_file() or bool((_read_split(run).groupby("path")["is_valid"].nunique() == 1).all())


def _read_split(run: Path) -> pd.DataFrame:
    from birdfast.recordings.columns import read_csv  # here, for the shell's help wants the names alone

    return read_csv(run / SPLIT, dtype={"path": str}, remedy="the run is damaged, train it anew")
