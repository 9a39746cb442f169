"""Write README's table of results from the csv files in benchmarks/results.

python benchmarks/table.py
"""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
RECIPES = ["baseline", "improved", "improved, lr=auto", "small"]
SYNTH = {
    "accuracy": "accuracy",
    "roc_auc": "macro ROC-AUC",
    "rare_accuracy": "accuracy on the rare third",
    "soundscape_roc_auc": "macro ROC-AUC on soundscapes",
}
# csv, column, heading
ROWS = [
    ("esc10", "accuracy", "ESC-10 (real), accuracy, {n} official folds"),
    ("mini_birdclef", "roc_auc", "mini BirdCLEF (real), macro ROC-AUC, {n} seeds"),
    *(("synth206", column, f"206 synthetic species, {what}") for column, what in SYNTH.items()),
]


def cell(values: pd.Series, percent: bool, wanted: int) -> str:
    """Mean and spread, and how many runs they are of where that is fewer than `wanted`."""
    scale, digits = (100, 1) if percent else (1, 3)
    spread = f" ± {values.std() * scale:.{digits}f}" if len(values) > 1 else ""
    fewer = f" ({len(values)} of {wanted})" if len(values) < wanted else ""
    return f"{values.mean() * scale:.{digits}f}{' %' if percent else ''}{spread}{fewer}"


def table() -> str:
    """The markdown table: a row a measure, a column a recipe."""
    lines = ["| | " + " | ".join(f"`{name}`" for name in RECIPES) + " |", "|---" * (len(RECIPES) + 1) + "|"]
    for name, column, heading in ROWS:
        path = RESULTS / f"{name}.csv"
        rows = pd.read_csv(path) if path.exists() else pd.DataFrame(columns=["variant", column])
        found = dict(list(rows.groupby("variant")[column]))
        n = max(map(len, found.values()), default=0)
        cells = [cell(found[name], "accuracy" in column, n) if name in found else "not run" for name in RECIPES]
        lines.append("| " + " | ".join([heading.format(n=n), *cells]) + " |")
    return "\n".join(lines)


def main() -> None:
    """Put the table between README's markers."""
    readme = ROOT / "README.md"
    text = re.sub(
        r"<!-- results -->.*?<!-- end of results -->",
        f"<!-- results -->\n{table()}\n<!-- end of results -->",
        readme.read_text(),
        flags=re.S,
    )
    readme.write_text(text)


if __name__ == "__main__":
    main()
