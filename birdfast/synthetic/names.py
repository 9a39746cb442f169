"""Made-up species: codes, names and taxa of the classes of a synthetic BirdCLEF."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd
from numpy.random import Generator

ADJECTIVES = {
    "Rusty": "rubigineus", "Grey": "cinereus", "Pale": "pallidus", "Dusky": "fuscus", "Golden": "aureus",
    "Spotted": "maculatus", "Barred": "fasciatus", "Crested": "cristatus", "Masked": "personatus",
    "Little": "minutus", "Great": "magnus", "Scarlet": "coccineus", "Azure": "azureus", "Olive": "olivaceus",
    "Streaked": "striatus", "Collared": "torquatus", "Hooded": "cucullatus", "Marsh": "palustris",
    "Highland": "montanus", "Island": "insularis", "Slender": "gracilis", "Noisy": "clamosus", "Modest": "modestus",
    "Painted": "pictus", "Violet": "violaceus", "Northern": "borealis", "Southern": "australis", "White": "albus",
    "Sooty": "niger", "Emerald": "smaragdinus", "Broad": "latus", "Solitary": "solitarius",
}  # fmt: skip
BIRDS = {
    "Thrush": "Melodocichla", "Wren": "Parvisonus", "Warbler": "Silvicantor", "Finch": "Granivox",
    "Flycatcher": "Muscivigil", "Tanager": "Fructicola", "Antbird": "Umbravox", "Sparrow": "Campivox",
    "Kingfisher": "Aquivigil", "Woodcreeper": "Corticola", "Oriole": "Citrinavis", "Jay": "Garrulavis",
    "Lark": "Agricantor", "Pipit": "Humicantor", "Bunting": "Seminivora", "Robin": "Hortivox", "Vireo": "Frondivox",
    "Chat": "Rupivox", "Babbler": "Loquavis", "Cisticola": "Herbicantor", "Sunbird": "Nectavis",
    "Honeyeater": "Mellivora", "Shrike": "Spinavis", "Tit": "Pumilavis",
}  # fmt: skip
FROGS = {"Treefrog": "Arboranura", "Toad": "Terranura", "Marsh Frog": "Paludanura"}
INSECTS = {"Cricket": "Stridulus", "Katydid": "Foliisonus", "Cicada": "Clamoptera"}
TREES = (
    "Alder", "Ash", "Aspen", "Beech", "Birch", "Cedar", "Elder", "Elm", "Fir", "Hazel", "Holly", "Juniper", "Larch",
    "Linden", "Maple", "Oak", "Olive", "Pine", "Poplar", "Rowan", "Spruce", "Willow", "Yew",
)  # fmt: skip
MAX_CLASSES = len(ADJECTIVES) * len(BIRDS)
NUMERIC_SHARE = 0.1  # classes known by an iNaturalist id only, as in 2025 and 2026
REAL_NUMERIC = ("1491113", "25073", "517063")  # ids that the 2026 class list really has
SONOTYPE = "47158son"


def draw_classes(rng: Generator, *, n_classes: int, n_unrecorded: int, year: int) -> pd.DataFrame:
    """The class list, sorted by label as the organisers do (so iNaturalist ids come first).

    Returns
    -------
    DataFrame : primary_label, inat_taxon_id, scientific_name, common_name, class_name, recorded (bool). From 2025 on
        some labels are digits only; classes without recordings are insect sonotypes in 2026.
    """
    n_numeric = max(1, round(NUMERIC_SHARE * n_classes)) if year >= 2025 and n_classes > 2 else 0
    n_numeric = min(n_numeric, n_classes - n_unrecorded)
    ids = _inat_ids(rng)
    rows = [
        *_others(rng, n_numeric, ids),
        *_unrecorded(n_unrecorded, ids, sonotypes=year >= 2026),
        *_birds(rng, n_classes - n_numeric - n_unrecorded, ids),
    ]
    columns = ["primary_label", "inat_taxon_id", "scientific_name", "common_name", "class_name", "recorded"]
    return pd.DataFrame(rows, columns=columns).sort_values("primary_label", ignore_index=True)


def _inat_ids(rng: Generator) -> Iterator[str]:
    numbers = 10_000 + rng.permutation(90_000)
    yield from REAL_NUMERIC
    yield from (str(number) for number in numbers if str(number) not in REAL_NUMERIC)


def _others(rng: Generator, n: int, ids: Iterator[str]) -> list[tuple]:
    """Frogs and insects, labelled by their iNaturalist id."""
    kinds = {"Amphibia": FROGS, "Insecta": INSECTS}
    rows = []
    for i in range(n):
        class_name = "Insecta" if i % 3 == 2 else "Amphibia"
        noun = str(rng.choice(list(kinds[class_name])))
        adjective = str(rng.choice(list(ADJECTIVES)))
        label = next(ids)
        scientific = f"{kinds[class_name][noun]} {ADJECTIVES[adjective]}"
        rows.append((label, label, scientific, f"{adjective} {noun}", class_name, True))
    return rows


def _unrecorded(n: int, ids: Iterator[str], *, sonotypes: bool) -> list[tuple]:
    """Insects nobody recorded in the hand: heard in soundscapes only."""
    labels = [f"{SONOTYPE}{i + 1:02d}" if sonotypes else next(ids) for i in range(n)]
    return [(label, "47158", "Insecta", f"Insect sonotype {i + 1}", "Insecta", False) for i, label in enumerate(labels)]


def _birds(rng: Generator, n: int, ids: Iterator[str]) -> list[tuple]:
    pairs = [(adjective, noun) for adjective in ADJECTIVES for noun in BIRDS]
    taken: set[str] = set()
    rows = []
    for pick in rng.permutation(len(pairs))[:n]:
        adjective, noun = pairs[int(pick)]
        scientific = f"{BIRDS[noun]} {ADJECTIVES[adjective]}"
        rows.append((_code(adjective, noun, taken), next(ids), scientific, f"{adjective} {noun}", "Aves", True))
    return rows


def _code(adjective: str, noun: str, taken: set[str]) -> str:
    """Like eBird's codes: three letters of each word, with a digit where that is taken."""
    stem = (adjective[:3] + noun[:3]).lower()
    code = next(code for code in (stem, *(f"{stem}{i}" for i in range(1, 100))) if code not in taken)
    taken.add(code)
    return code


def draw_authors(rng: Generator, n: int) -> list[str]:
    """`n` different names of recordists."""
    pairs = [f"{first}. {tree}" for tree in TREES for first in "ABCDEFGHIJKLMNOPRSTVW"]
    names = [pairs[int(i)] for i in rng.permutation(len(pairs))]
    return [names[i % len(names)] + (f" {i // len(names) + 1}" if i >= len(names) else "") for i in range(n)]
