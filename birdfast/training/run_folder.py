"""What a run's folder says of itself: its recipe, its data, and on which side each recording is."""

import json
from pathlib import Path

import pandas as pd

from birdfast.errors import BirdfastError
from birdfast.notes import note
from birdfast.splits.run_files import DATA, RECIPE, SPLIT, run_sides, whole_sides
from birdfast.training.checkpoint import replace


def check_sides(folder, dls):
    "Refuse to validate on what a run has trained on; says how many of its recordings are gone"
    sides = whole_sides(Path(folder), dls.source.root)
    if sides is None:
        return
    clips = dls.clips.drop_duplicates("recording")
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
    if gone := len(set(sides) - {*clips["path"], *_mixed_in(dls)}):
        note(f"{gone} recordings of the run are not there any more, or cannot be read")


def as_given(source, columns=None, pseudo=None):
    "What to note of a source: where it is, and the options it was read with"
    return {
        "source": str(source),
        "columns": {name: str(value) for name, value in (columns or {}).items()},
        "pseudo": str(pseudo) if isinstance(pseudo, (str, Path)) else None,
    }


def describe_run(folder, dls, recipe, *, resume):
    "Write what is trained on, and how, so that the run explains itself while it is going"
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    recordings, mixed = dls.clips.drop_duplicates("recording"), _mixed_in(dls)
    before = (run_sides(folder, dls.source.root) or {}) if resume else {}
    # What is absent may come back: it keeps its side.
    absent = pd.Series(before, dtype=bool).drop([*recordings["path"], *mixed], errors="ignore")
    rows = [
        recordings[["path", "primary_label", "author", "is_valid"]],
        pd.DataFrame({"path": mixed, "is_valid": False}),
        absent.rename_axis("path").reset_index(name="is_valid"),
    ]
    split = pd.concat(rows, ignore_index=True)
    replace(folder / SPLIT, lambda path: split.to_csv(path, index=False))
    data = json.dumps(_describe_data(dls, recordings), indent=2)
    replace(folder / DATA, lambda path: path.write_text(f"{data}\n"))
    replace(folder / RECIPE, recipe.save)


def _describe_data(dls, recordings):
    root = dls.source.root  # of a table the folder it was read in, which its paths need not lie in
    n_valid, valid = int(recordings["is_valid"].sum()), recordings.loc[recordings["is_valid"], "primary_label"]
    return {
        **dls.given,
        "root": None if root is None or dls.source.layout == "table" else str(root),
        "layout": dls.source.layout,
        "n_classes": len(dls.vocab),
        "n_train": len(recordings) - n_valid,
        "n_valid": n_valid,
        "commonest": float(valid.value_counts(normalize=True).max()),
        "leaks": dls.leaks.line(),
    }


def _mixed_in(dls):
    "The files of windows that are only mixed into others' clips"
    return sorted({str(path) for pool in dls.pools for path in pool.windows[0]} - set(dls.clips["path"]))
