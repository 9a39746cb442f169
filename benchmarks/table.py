"""Write README's table of results from the csv files in benchmarks/results.

python benchmarks/table.py
"""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
# csv, column, heading
COLUMNS = [
    ("esc10", "accuracy", "ESC-10, accuracy, {n} official folds"),
    ("mini_birdclef", "roc_auc", "mini BirdCLEF (real), macro ROC-AUC, {n} seeds"),
    ("synth206", "accuracy", "206 synthetic species, accuracy, seeds: {n}"),
    ("synth206", "roc_auc", "the same, macro ROC-AUC"),
    ("synth206", "rare_accuracy", "the same, accuracy on the rare third"),
]


def cell(values: pd.Series, percent: bool) -> str:
    """Mean and spread."""
    scale, digits = (100, 1) if percent else (1, 3)
    spread = f" ± {values.std() * scale:.{digits}f}" if len(values) > 1 else ""
    return f"{values.mean() * scale:.{digits}f}{' %' if percent else ''}{spread}"


def table() -> str:
    """The markdown table, a row a recipe."""
    columns = {}
    for name, column, heading in COLUMNS:
        path = RESULTS / f"{name}.csv"
        if path.exists():
            groups = pd.read_csv(path).groupby("variant", sort=False)[column]
            columns[heading.format(n=groups.size().max())] = groups.apply(cell, percent="accuracy" in column)
    frame = pd.DataFrame(columns).reindex(["baseline", "improved", "improved, lr=auto"]).fillna("not run")
    lines = ["| recipe | " + " | ".join(frame) + " |", "|---" * (len(frame.columns) + 1) + "|"]
    return "\n".join(
        lines
        + [f"| `{name}` | " + " | ".join(row) + " |" for name, row in zip(frame.index, frame.to_numpy(), strict=True)]
    )


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
