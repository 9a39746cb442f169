"""The folder of a ladder: a row a training, found by recipe, data and seed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd

from birdfast import __version__
from birdfast.errors import BirdfastError
from birdfast.evaluation.gains import SCORES
from birdfast.files.text import read_csv
from birdfast.files.writing import replacing
from birdfast.notes import note
from birdfast.recipe.recipe import Recipe
from birdfast.studies.key import digest
from birdfast.studies.rungs import Rung

ROWS, RECIPES_FILE = "ladder.csv", "recipes.json"
TEACHERS = "teachers"  # folder of the models that label soundscapes
_KEYS = ["recipe", "source", "seed"]
_NUMBERS = ["seed", "seconds_per_epoch", *SCORES]
_FREE = ("name", "seed")  # knobs that are no part of what a recipe is
_REMEDY = "mend it, move it away, or give another folder"


class Book:
    """The rows of a folder, of these data (`source`) and others; `command` is what reproduces those that are added.

    `unlabelled` tells the soundscapes that pseudo-labels are of; a row older than this column is taken to be of them.
    Its methods raise BirdfastError where ``ladder.csv`` or ``recipes.json`` is damaged or none of a ladder's.
    """

    def __init__(self, out: Path, source: str, command: str, unlabelled: str = "") -> None:
        self.out, self.source, self.command, self.unlabelled = out, source, command, unlabelled

    def _read(self) -> pd.DataFrame:
        file = self.out / ROWS
        return _read_rows(file) if file.is_file() else pd.DataFrame(columns=_KEYS)

    def _recipes(self) -> dict[str, dict[str, Any]]:
        file = self.out / RECIPES_FILE
        return _read_recipes(file) if file.is_file() else {}

    def key(self, recipe: Recipe) -> str:
        """The short name of a recipe in the rows. A knob that is younger than a row had its default there."""
        wanted, defaults = _essence(recipe), _essence(Recipe())
        same = (key for key, knobs in self._recipes().items() if {**defaults, **knobs} == wanted)
        return next(same, digest(json.dumps(wanted, sort_keys=True)))

    def row(self, recipe: Recipe) -> pd.Series | None:
        """The row of a recipe and its seed; None where there is none."""
        rows = self._read()
        same = (rows["recipe"] == self.key(recipe)) & (rows["source"] == self.source) & (rows["seed"] == recipe.seed)
        if recipe.pseudo_mix and "unlabelled" in rows:
            same &= rows["unlabelled"].eq(self.unlabelled) | rows["unlabelled"].isna()
        return rows[same].iloc[-1] if same.any() else None

    def bundle(self, recipe: Recipe) -> Path:
        """Where the model of a recipe and its seed is kept, if it labels soundscapes."""
        folder = self.out / TEACHERS
        folder.mkdir(exist_ok=True)
        return folder / f"{self.key(recipe)}-{self.source}-{recipe.seed}.safetensors"

    def append(self, rung: Rung, recipe: Recipe, row: Mapping[str, Any]) -> None:
        """Write a row, and the recipe that it is of."""
        key = self.key(recipe)
        recipes = self._recipes() | {key: _essence(recipe)}
        with replacing(self.out / RECIPES_FILE) as file:
            file.write_text(json.dumps(recipes, indent=1) + "\n")
        whole = {"rung": rung.name, "seed": recipe.seed, **row, **_words(rung), "recipe": key, "source": self.source}
        if recipe.pseudo_mix:
            whole["unlabelled"] = self.unlabelled
        rows = self._read()
        new = pd.DataFrame([whole | _versions() | {"command": self.command}])
        with replacing(self.out / ROWS) as file:
            (pd.concat([rows, new], ignore_index=True) if len(rows) else new).to_csv(file, index=False)

    def rows(self, rungs: list[Rung], recipes: Mapping[str, Recipe], seeds: list[int]) -> pd.DataFrame:
        """The rows of the rungs, named as these are."""
        found: list[dict[str, Any]] = []
        for rung in rungs:
            for seed in seeds:
                row = self.row(recipes[rung.name].with_(seed=seed))
                assert row is not None
                found.append({str(name): value for name, value in row.items()} | _words(rung))
        if others := len(self._read()) - len({(row["recipe"], row["seed"]) for row in found}):
            note(f"{others} rows of {self.out / ROWS} are of other recipes, seeds or data: not in this table")
        return pd.DataFrame(found)


def _read_rows(file: Path) -> pd.DataFrame:
    rows = read_csv(file, remedy=_REMEDY, dtype=dict.fromkeys(("recipe", "source", "unlabelled"), str))
    try:
        cut = not file.read_bytes().decode("utf-8").endswith("\n")
    except UnicodeDecodeError as error:
        raise BirdfastError(f"{file} cannot be read as csv ({error}): {_REMEDY}") from None
    if not isinstance(rows.index, pd.RangeIndex):
        raise BirdfastError(f"{file} has more fields in a line than names of columns: {_REMEDY}")
    missing = [name for name in (*_KEYS, "rung", "seconds_per_epoch") if name not in rows]
    if missing:
        raise BirdfastError(f"{file} is no table of a ladder's trainings, it has no column {missing[0]!r}: {_REMEDY}")
    if cut or rows[_KEYS].isna().any(axis=None):
        raise BirdfastError(f"{file} has a line that is cut short: delete that line, its training is done again")
    for name in [name for name in _NUMBERS if name in rows]:
        given = rows[name].dropna()
        words = given[pd.to_numeric(given, errors="coerce").isna()]
        if len(words):
            raise BirdfastError(f"{file} has {words.iloc[0]!r} in place of a number as {name}: {_REMEDY}")
    return rows


def _read_recipes(file: Path) -> dict[str, dict[str, Any]]:
    try:
        return {key: dict(knobs) for key, knobs in dict(json.loads(file.read_text())).items()}
    except (ValueError, TypeError) as error:
        raise BirdfastError(f"{file} is damaged ({error}): {_REMEDY}") from None


def _words(rung: Rung) -> dict[str, Any]:
    return {"rung": rung.name, "adds": rung.adds, "over": rung.over or "", "removes": rung.removes}


def _essence(recipe: Recipe) -> dict[str, Any]:
    return {name: value for name, value in recipe.to_dict().items() if name not in _FREE}


def _versions() -> dict[str, str]:
    return {"birdfast": __version__, **{name: version(name) for name in ("torch", "fastai", "timm")}}
