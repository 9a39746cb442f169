"""What `evaluate` returns, and the folder that it writes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from birdfast.commands.evaluating.figures import Figures
from birdfast.commands.evaluating.page import PLOTS, write_page
from birdfast.commands.shared.places import check_report
from birdfast.commands.shared.tables import save_plot, write_tables
from birdfast.evaluation.calibration import reliability


@dataclass(frozen=True)
class Evaluation(Figures):
    """The figures, and their report."""

    def write(self, out: str | Path) -> Path:
        """index.html, the tables and plots that it shows, and summary.json, into a folder, in place of earlier ones."""
        from birdfast.plots.judgement import plot_reliability

        check_report(out)
        folder = Path(out)
        folder.mkdir(parents=True, exist_ok=True)
        for name in (*PLOTS, "levels.csv"):  # of another model, perhaps: not all are written each time
            (folder / name).unlink(missing_ok=True)
        counts = None if self.train_counts is None else pd.Series(dict(self.train_counts))
        write_tables(folder, self.targets, self.probabilities, self.classes, counts)
        self.per_class.to_csv(folder / "per_class.csv")
        tables = {name: reliability(self.targets, scores) for name, scores in self.versions.items()}
        save_plot(plot_reliability(tables), folder / "reliability.png")
        summary = {"scored": self.what, "rows": len(self.targets), "metrics": self.summary}
        summary["calibration_error"] = self.calibration_errors
        if self.levels is not None:
            self.levels.to_csv(folder / "levels.csv")
        (folder / "summary.json").write_text(json.dumps(summary, indent=2) + "\n")
        write_page(self, folder)
        return folder
