"""The classes of a data set found among the species that an embedder knows."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from birdfast.embedders.embedder import Embedder

if TYPE_CHECKING:
    import pandas as pd

_SHOWN = 8  # names in a sentence


@dataclass(frozen=True)
class Match:
    """Where each class of a data set stands among an embedder's.

    Attributes
    ----------
    index
        ``(n_classes,)``: the number of the embedder's class; -1 where it knows none.
    unknown
        The names of those, as the data set has them, common names where there are any.
    by_common_name
        Name and the embedder's scientific name of each that was found by its common name alone: its genus may have moved.
    """

    embedder: str
    index: NDArray[np.int64]
    unknown: tuple[str, ...]
    by_common_name: tuple[tuple[str, str], ...]

    @property
    def known(self) -> NDArray[np.bool_]:
        """``(n_classes,)``: which classes the embedder knows."""
        return self.index >= 0

    def __str__(self) -> str:
        text = f"{self.embedder} knows {self.known.sum()} of {len(self.index)} species"
        if self.unknown:
            text += f"; not: {_listed(self.unknown)}"
        if self.by_common_name:
            pairs = [f"{name} as {scientific}" for name, scientific in self.by_common_name]
            text += f"; by common name alone, check them: {_listed(pairs)}"
        return text


def match_species(classes: Sequence[str], embedder: Embedder, taxonomy: pd.DataFrame | None = None) -> Match:
    """Find each class by scientific name, else by common name.

    Parameters
    ----------
    classes
        The data set's class list: codes that `taxonomy` explains, or scientific or common names themselves, in capitals or
        not, with underscores or spaces.
    taxonomy
        `primary_label`, and `scientific_name`, `common_name` where known, as a Source has it.
    """
    scientific, common = _places(embedder.classes), _places(embedder.common_names)
    said = _taxonomy_names(taxonomy)
    index, by_common = np.full(len(classes), -1, np.int64), []
    for k, name in enumerate(classes):
        its_scientific, its_common = said.get(name, ("", ""))
        parts = name.split("_", 1)  # "Turdus merula_Common Blackbird"
        if (found := _first(scientific, its_scientific, name, parts[0])) is not None:
            index[k] = found
        elif (found := _first(common, its_common, name, parts[-1])) is not None:
            index[k] = found
            if its_scientific:
                by_common.append((its_scientific, embedder.classes[found]))
    unknown = tuple(said.get(name, ("", ""))[1] or name for name, at in zip(classes, index) if at < 0)
    return Match(embedder.name, index, unknown, tuple(by_common))


def plain(name: str) -> str:
    """A species' name without what differs from list to list: capitals, underscores, hyphens, apostrophes, gray or grey.

    Examples
    --------
    >>> plain("Black-throated_GRAY Warbler")
    'black throated grey warbler'
    """
    words = re.sub(r"['’`]", "", name.casefold())
    return re.sub(r"\bgray\b", "grey", re.sub(r"[\W_]+", " ", words).strip())


def _places(names: Sequence[str]) -> dict[str, int]:
    """The place of each name; a name that two classes share means neither."""
    plains = [plain(name) for name in names]
    shared = {name for name, n in Counter(plains).items() if n > 1}
    return {name: k for k, name in enumerate(plains) if name and name not in shared}


def _first(places: dict[str, int], *names: str) -> int | None:
    return next((places[plain(name)] for name in names if plain(name) in places), None)


def _taxonomy_names(taxonomy: pd.DataFrame | None) -> dict[str, tuple[str, str]]:
    """Scientific and common name of each label."""
    if taxonomy is None:
        return {}
    n = len(taxonomy)
    columns = [taxonomy[name].tolist() if name in taxonomy else [""] * n for name in ("scientific_name", "common_name")]
    pairs = (tuple(value if isinstance(value, str) else "" for value in pair) for pair in zip(*columns))
    return dict(zip(taxonomy["primary_label"].astype(str), pairs))  # type: ignore[arg-type]


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_SHOWN])
    return shown if len(names) <= _SHOWN else f"{shown} and {len(names) - _SHOWN} more"
