"""What a run keeps in its folder: its recipe, its source, and on which side each recording is."""

from __future__ import annotations

import json
import re
from pathlib import Path

RECIPE, DATA, SPLIT = "recipe.toml", "data.json", "split.csv"


def run_sides(run: Path, root: Path | None) -> dict[str, bool] | None:
    """Whether each file of a run validates, by its path, where the data lie now in `root`; None where it does not say."""
    if not (run / SPLIT).is_file():
        return None
    import pandas as pd  # here, for the shell's help wants the names alone

    split = pd.read_csv(run / SPLIT, dtype={"path": str})
    before = json.loads((run / DATA).read_text()).get("root") if (run / DATA).is_file() else None
    paths = split["path"]
    if before and root:
        paths = paths.str.replace(rf"^{re.escape(before)}/", lambda found: f"{root}/", regex=True)
    return dict(zip(paths, split["is_valid"], strict=True))
