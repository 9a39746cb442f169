"""What a run's folder says of itself: its recipe, its data, and on which side each recording is."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd

from birdfast.errors import BirdfastError
from birdfast.files.writing import replacing
from birdfast.notes import note
from birdfast.recipe.recipe import Recipe
from birdfast.splits.plan import Plan
from birdfast.splits.run_files import DATA, RECIPE, SPLIT, run_sides, whole_sides


def check_sides(folder: str | Path, plan: Plan) -> None:
    """Refuse to validate on what a run has trained on; says how many of its recordings are gone."""
    sides = whole_sides(Path(folder), plan.source.root)
    if sides is None:
        return
    clips = plan.clips.drop_duplicates("recording")
    if not clips["path"].isin(sides.keys()).any():
        raise BirdfastError(
            f"none of the recordings of the run in {folder} is among these: give its own data, or another folder"
        )
    trained = clips["path"].map(sides).eq(False) & clips["is_valid"]
    if trained.any():
        raise BirdfastError(
            f"the run in {folder} trained on {trained.sum()} of the recordings that validate now, the first "
            f"{clips.loc[trained, 'path'].iloc[0]}: the data have changed, and with them the split. At the shell a run keeps "
            f"its split (birdfast train SOURCE --out {folder} --resume); or give another folder"
        )
    if gone := len(set(sides) - {*clips["path"], *plan.mixed_in()}):
        note(f"{gone} recordings of the run are not there any more, or cannot be read")


def describe_run(folder: str | Path, plan: Plan, recipe: Recipe, *, resume: bool) -> None:
    """Write what is trained on, and how, so that the run explains itself while it is going."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    recordings, mixed = plan.clips.drop_duplicates("recording"), plan.mixed_in()
    before = (run_sides(folder, plan.source.root) or {}) if resume else {}
    # What is absent may come back: it keeps its side.
    absent = pd.Series(before, dtype=bool).drop([*recordings["path"], *mixed], errors="ignore")
    rows = [
        recordings[["path", "primary_label", "author", "is_valid"]],
        pd.DataFrame({"path": mixed, "is_valid": False}),
        absent.rename_axis("path").reset_index(name="is_valid"),
    ]
    split = pd.concat(rows, ignore_index=True)
    with replacing(folder / SPLIT) as path:
        split.to_csv(path, index=False)
    with replacing(folder / DATA) as path:
        path.write_text(f"{json.dumps(_describe_data(plan, recordings), indent=2)}\n")
    with replacing(folder / RECIPE) as path:
        recipe.save(path)


def _describe_data(plan: Plan, recordings: pd.DataFrame) -> dict[str, object]:
    root = plan.source.root  # of a table the folder it was read in, which its paths need not lie in
    n_valid, valid = int(recordings["is_valid"].sum()), recordings.loc[recordings["is_valid"], "primary_label"]
    return {
        **plan.given,
        "root": None if root is None or plan.source.layout == "table" else str(root),
        "layout": plan.source.layout,
        "n_classes": len(plan.source.classes),
        "n_train": len(recordings) - n_valid,
        "n_valid": n_valid,
        "commonest": float(valid.value_counts(normalize=True).max()),
        "leaks": plan.leaks.line(),
    }
