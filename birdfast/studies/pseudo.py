"""Pseudo-labels: models label soundscapes that nobody has labelled, and new models train on them (noisy student).

Xie et al. 2020, as the winners of BirdCLEF 2025 and 2026 did it: soft labels, sharpened by a power, of the files drawn by
their confidence, half and half in the clips of recordings, for a few rounds.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from numbers import Real
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from birdfast.audio.listing import get_audio_files
from birdfast.errors import BirdfastError
from birdfast.notes import loading, note
from birdfast.prediction.ensemble import Ensemble
from birdfast.prediction.run import NoneReadable, predict_into
from birdfast.recipe.presets import get_recipe
from birdfast.recipe.recipe import Recipe
from birdfast.sources.read import read_source
from birdfast.sources.source import Source
from birdfast.splits.folds import ALWAYS_TRAIN, assign_folds
from birdfast.splits.run_files import SPLIT, run_sides
from birdfast.splits.sides import folds_of_soundscapes, soundscape_folds, soundscape_groups
from birdfast.studies.folds import Folds, train_folds, wanted_folds, with_all_folds
from birdfast.studies.key import begin, below, digest_paths, write_table

ROUNDS, LABELS = "rounds.json", "pseudo.parquet"
_MACHINE = ("num_workers", "cache", "cache_dir")
POWER = 1 / 0.65  # of BirdCLEF 2025's 1st place
RATIOS = {"mix": 1.0, "substitute": 0.5}  # of BirdCLEF 2025's 1st place, and of 2026's 2nd


@dataclass(frozen=True)
class Pseudo:
    """What the rounds gave.

    Attributes
    ----------
    out
        The folder: ``round0/`` are the first teachers, ``round1/`` and so on a round each, ``rounds.json`` their scores.
    rounds
        A row a round: `round`, `teacher` (the round whose models labelled), `power`, `windows`, `score` (macro ROC-AUC over
        all out-of-fold rows), `kept`.
    folds
        Of the last round that was kept.
    """

    out: Path
    rounds: pd.DataFrame
    folds: Folds

    def ensemble(self, **options: Any) -> Ensemble:
        """The folds of the last round that was kept, as one predictor."""
        return self.folds.ensemble(**options)


def pseudo_label(
    source: Any,
    recipe: str | Path | Recipe = "improved",
    out: str | Path = "runs/pseudo",
    soundscapes: str | Path | Sequence[str | Path] | None = None,
    rounds: int = 3,
    *,
    pseudo_how: Literal["mix", "substitute"] | None = None,
    pseudo_mix: float | None = None,
    pseudo_power: float | Sequence[float] | None = None,
    pseudo_label_sum: float | None = None,
    folds: Iterable[int] | None = None,
    columns: dict[str, Any] | None = None,
    device: str | None = None,
    **options: Any,
) -> Pseudo:
    """Train all folds, label soundscapes with them, train anew with those labels, round after round while it helps.

    Called again, it goes on where it was stopped. A soundscape is labelled only by models that have not trained on it: it
    is held out of one fold's training in each round. A round is kept if its score, over recordings and labelled windows
    that are never pseudo-labelled, is above the best before; the next takes the last one kept as its teacher.

    Parameters
    ----------
    source, columns, recipe
        As for :func:`~birdfast.studies.folds.train_folds`; `options` are its too, and knobs of the recipe.
    soundscapes
        A folder or files; the source's own unlabelled soundscapes, unless given.
    rounds
        How many at most; 2 to 4 are usual, winners' fifth failed.
    pseudo_how
        "mix" a window into clips half and half, or "substitute" it for them; this and the next three are the recipe's,
        unless given.
    pseudo_mix
        Probability that a clip gets a window; where the recipe has 0, 1 to mix and 0.5 to substitute.
    pseudo_power
        Exponent of the soft labels, or one for each round; where the recipe leaves it at 1, 1 / 0.65 (2025 1st place).
    pseudo_label_sum
        What the labels of a window sum to at most.

    Raises
    ------
    BirdfastError
        Before anything is trained: for knobs that a round cannot train with, if there are no soundscapes, or all are of
        one site, fewer than two folds, folds that share a recordist, or other folds than the study in `out` has.
    """
    recipe, options = _knobs_apart(recipe, options)
    given = {"pseudo_how": pseudo_how, "pseudo_mix": pseudo_mix, "pseudo_label_sum": pseudo_label_sum}
    used = _used(recipe, {name: value for name, value in given.items() if value is not None})
    powers = _powers(_power_of(recipe) if pseudo_power is None else pseudo_power, rounds)
    plan = [used | {"pseudo_power": power} for power in powers]
    students = [recipe.with_(**knobs) for knobs in plan]  # refuses knobs of a round before the rounds ahead of it
    with loading():
        from birdfast.training.dataloaders import check_request

    check_request(students[0], options.get("cache"))  # it asks for all that the teacher and the others do
    found, out = read_source(source, **(columns or {})), Path(out)
    files = find_unlabelled(found, soundscapes)
    recipe = with_all_folds(found, recipe)
    numbers = check_folds(found, recipe, folds)
    study = _Study(out, found, recipe, files, numbers, {"device": device, **options})
    study.deal(files)  # raises before anything is trained, and while another recipe may still have the folder
    begin(out, recipe, found, soundscapes=digest_paths(found.root, files), folds=numbers)
    return study.run(plan)


def _knobs_apart(recipe: Any, options: dict[str, Any]) -> tuple[Recipe, dict[str, Any]]:
    """The recipe with its knobs, and what else train_folds takes."""
    machine = {name: value for name, value in options.items() if name in _MACHINE}
    return get_recipe(recipe, **{name: value for name, value in options.items() if name not in _MACHINE}), machine


def _used(recipe: Recipe, given: dict[str, Any]) -> dict[str, Any]:
    """The knobs of the students but the power: those given, else the recipe's."""
    if given.get("pseudo_mix") == 0:
        raise BirdfastError("pseudo_mix must be above 0, not 0; train_folds trains without pseudo-labels")
    student = recipe.with_(**given)
    share = student.pseudo_mix or RATIOS[student.pseudo_how]
    return {**{name: getattr(student, name) for name in ("pseudo_how", "pseudo_label_sum")}, "pseudo_mix": share}


def _power_of(recipe: Recipe) -> float:
    """The recipe's exponent of soft labels, or the one to begin with where it leaves them as they are."""
    return POWER if recipe.pseudo_power == Recipe().pseudo_power else recipe.pseudo_power


def _powers(power: float | Sequence[float], rounds: int) -> list[float]:
    if not isinstance(rounds, int) or rounds < 1:
        raise BirdfastError(
            f"rounds must be a whole number, 1 or more, not {rounds!r}; train_folds trains without pseudo-labels"
        )
    given = [power] * rounds if isinstance(power, Real) else list(power)  # type: ignore[arg-type]
    if not all(isinstance(value, Real) for value in given):
        raise BirdfastError(f"pseudo_power must be a number, or one for each round, not {power!r}")
    values = [float(value) for value in given]
    if len(values) < rounds:
        raise BirdfastError(f"{len(values)} powers are too few for {rounds} rounds: give one number, or one a round")
    return values[:rounds]


def find_unlabelled(source: Source, soundscapes: str | Path | Sequence[str | Path] | None) -> list[str]:
    """The soundscapes to label: those that are neither a recording of the source nor have labels.

    Raises
    ------
    BirdfastError
        If there are none.
    """
    given = source.unlabelled if soundscapes is None else soundscapes
    if given is None:
        raise BirdfastError(
            f"pseudo-labels without soundscapes: {source.layout} has no unlabelled ones, give soundscapes='folder' (on the "
            "command line --soundscapes), or train with train_folds"
        )
    places = [given] if isinstance(given, (str, Path)) else list(given)
    if missing := [place for place in places if not Path(place).exists()]:
        raise BirdfastError(f"pseudo-labels without soundscapes: there is nothing at {missing[0]}")
    files = {str(file.absolute()) for place in places for file in _audio(Path(place))}
    labelled = set() if source.soundscapes is None else set(source.soundscapes["path"])
    left = files - labelled - set(source.recordings["path"])
    if not left:
        why = "all of them have labels" if files else "there is no sound file"
        raise BirdfastError(f"pseudo-labels without soundscapes: {why} in {', '.join(map(str, places[:3]))}")
    if len(left) < len(files) and soundscapes is not None:
        note(f"{len(files) - len(left)} of {len(files)} soundscapes have labels, they are not labelled anew")
    return sorted(left)


def _audio(place: Path) -> Iterable[Path]:
    return (Path(file) for file in get_audio_files(place)) if place.is_dir() else [place]


def check_folds(source: Source, recipe: Recipe, folds: Iterable[int] | None) -> list[int]:
    """The folds to train; BirdfastError if they are fewer than two, or know each other's recordists."""
    numbers = wanted_folds(source, recipe, folds)
    if len(numbers) < 2:
        raise BirdfastError(
            f"pseudo-labels need two folds or more, not {len(numbers)}: a soundscape that one model trains on is labelled "
            "by another"
        )
    assigned = assign_folds(source.recordings, n_folds=recipe.n_folds, group=recipe.group, seed=recipe.seed)
    rows = source.recordings[["author"]].assign(fold=assigned)[assigned != ALWAYS_TRAIN]
    counts = rows.dropna().groupby("author")["fold"].nunique()
    if len(shared := counts.index[counts > 1]):
        raise BirdfastError(
            f"the folds share {len(shared)} recordists ({', '.join(map(str, shared[:3]))}), which flatters the score that "
            "decides about each round: set group='author', and leave out a fold column that splits them"
        )
    return numbers


@dataclass(frozen=True)
class _Study:
    """The rounds of one study, in its folder."""

    out: Path
    source: Source
    recipe: Recipe
    files: list[str]
    numbers: list[int]
    options: dict[str, Any]

    def run(self, plan: list[dict[str, Any]]) -> Pseudo:
        """The teachers, then a round for each of the `plan`'s knobs, until one that could only repeat the one before."""
        best = self._train(0, self.recipe.with_(pseudo_mix=0.0))
        rows: list[dict[str, Any]] = [
            {"round": 0, "teacher": None, "power": None, "windows": 0, "score": best.scores["roc_auc"], "kept": True}
        ]
        self._say(rows)
        for number, knobs in enumerate(plan, start=1):
            if not rows[-1]["kept"] and rows[-1]["power"] == knobs["pseudo_power"]:
                note(f"round {number} would repeat round {number - 1}, which was not kept: stopped")
                break
            teacher = max(row["round"] for row in rows if row["kept"])
            table = self._labels(number, best)
            student = self._train(number, self.recipe.with_(**knobs), pseudo=self._folder(number) / LABELS)
            score = student.scores["roc_auc"]
            kept = score > best.scores["roc_auc"]
            rows.append({"round": number, "teacher": teacher, "power": knobs["pseudo_power"], "windows": len(table),
                         "score": score, "kept": kept})  # fmt: skip
            best = student if kept else best
            self._say(rows)
        return Pseudo(self.out, pd.DataFrame(rows), best)

    def _folder(self, number: int) -> Path:
        return self.out / f"round{number}"

    def _train(self, number: int, recipe: Recipe, **pseudo: Any) -> Folds:
        return train_folds(self.source, recipe, self._folder(number), self.numbers, **pseudo, **self.options)

    def _labels(self, number: int, teacher: Folds) -> pd.DataFrame:
        """The soft labels of a round, made once."""
        place = self._folder(number) / LABELS
        if place.is_file():
            return pd.read_parquet(place)
        options = {"root": self.source.root, "device": self.options["device"]}
        table = soft_labels(teacher, self.files, self._folder(number) / "labels", **options)
        place.parent.mkdir(parents=True, exist_ok=True)
        table.insert(3, "fold", self.deal(table["path"]))
        table["path"] = below(self.source.root, table["path"])  # the study goes on where the data have moved to
        write_table(table, place)
        return table

    def deal(self, paths: Iterable[str]) -> np.ndarray:
        """The fold that holds out each soundscape: that which validates its site, where labelled windows are of one."""
        recipe, known = self.recipe, {}
        labelled = self.source.soundscapes
        if labelled is not None and len(labelled) and recipe.hears_soundscapes:
            folds = folds_of_soundscapes(labelled["path"], recipe)
            known = dict(zip(soundscape_groups(labelled["path"], recipe.soundscape_group), folds.tolist()))
        return soundscape_folds(paths, folds=self.numbers, group=recipe.soundscape_group, seed=recipe.seed, known=known)

    def _say(self, rows: list[dict[str, Any]]) -> None:
        (self.out / ROUNDS).write_text(json.dumps(rows, indent=2) + "\n")
        row = rows[-1]
        verdict = "the teachers" if row["round"] == 0 else "kept" if row["kept"] else "not kept: no better than before"
        note(f"round {row['round']}: macro ROC-AUC {row['score']:.4f}, {verdict}")


def soft_labels(
    teacher: Folds, files: Sequence[str], place: Path, *, root: Path | None, device: str | None = None
) -> pd.DataFrame:
    """Mean probabilities, for each window of `files`, of the teacher's models that have not trained on the file.

    Scores are kept in the folder `place` as they are made. Files that every model has heard, or that cannot be read, are
    left out, with a note; the source's folder `root` may have moved since.

    Returns
    -------
    Columns `path, start_time, end_time` (s), then a column a class (float32), a row a full window.

    Raises
    ------
    BirdfastError
        If no file is left.
    """
    sides = [_sides(bundle.parent, root) for bundle in teacher.bundles]
    fresh = {file: tuple(i for i, validates in enumerate(sides) if validates.get(file, True)) for file in files}
    tables = []
    for models in sorted(set(fresh.values()) - {()}):
        mine = [file for file in files if fresh[file] == models]
        folder = place / "-".join(f"fold{teacher.folds[i]}" for i in models)
        try:
            tables.append(label_windows(folder, [teacher.bundles[i] for i in models], mine, teacher.classes, device))
        except NoneReadable as error:
            note(f"left out: {error}")
    if n := sum(not models for models in fresh.values()):
        note(f"{n} of {len(files)} soundscapes are left out: every model of the teacher has trained on them")
    if not tables:
        raise BirdfastError(
            f"no soundscape of {len(files)} can be labelled: every model of {teacher.out} trained on those that can be read"
        )
    return pd.concat(tables, ignore_index=True)


def _sides(fold: Path, root: Path | None) -> dict[str, bool]:
    sides = run_sides(fold, root)
    if sides is None:
        raise BirdfastError(
            f"{fold} lacks its {SPLIT}, by which it is known what its model has heard: train the study anew"
        )
    return sides


def label_windows(
    folder: Path, bundles: Sequence[Path], files: Sequence[str], classes: Sequence[str], device: str | None = None
) -> pd.DataFrame:
    """Mean probabilities of the full windows of `files`: `path, start_time, end_time` (s), a column a class (float32)."""
    result = predict_into(folder, bundles, files, last="drop", device=device)
    return pd.concat(list(result.tables())).reset_index()[["path", "start_time", "end_time", *classes]]
