"""A recipe: the knobs of a training run, checked, read and written."""

from __future__ import annotations

import dataclasses
import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_type_hints

from birdfast.errors import BirdfastError, unknown
from birdfast.recipe.checks import check_type, check_values
from birdfast.recipe.knobs import Knobs

# What decides how a spectrogram looks.
SPECTROGRAM = ("sample_rate", "n_fft", "win_length", "hop_length", "n_mels", "fmin", "fmax", "power", "top_db",
               "mel_scale", "mel_norm", "normalize")  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Recipe(Knobs):
    """Every knob of a training run. Frozen; change one with :meth:`with_`.

    Each bundle carries its recipe, so inference rebuilds the very same spectrogram.
    """

    def __post_init__(self) -> None:
        hints = get_type_hints(Recipe)
        for field in dataclasses.fields(self):
            check_type(field.name, getattr(self, field.name), hints[field.name])
        check_values(self)

    def with_(self, **changes: Any) -> Recipe:
        """A copy with some knobs changed: ``RECIPES["improved"].with_(epochs=20)``."""
        return dataclasses.replace(self, **_known(changes))

    def to_dict(self) -> dict[str, Any]:
        """All knobs, as JSON and TOML can hold them."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, knobs: dict[str, Any]) -> Recipe:
        """The recipe of :meth:`to_dict`; an unknown knob is an error that names the nearest."""
        return cls(**_known(knobs))

    def save(self, path: str | Path) -> None:
        """Write to `path`: ``.json`` as JSON, anything else as TOML."""
        import tomli_w  # here, for inference reads recipes but writes none

        path = Path(path)
        as_json = path.suffix == ".json"
        path.write_text(json.dumps(self.to_dict(), indent=2) if as_json else tomli_w.dumps(self.to_dict()))

    @classmethod
    def load(cls, path: str | Path) -> Recipe:
        """Read what :meth:`save` wrote, a TOML a person wrote, or the recipe in a bundle (``.safetensors``)."""
        path = Path(path)
        try:
            if path.suffix == ".safetensors":
                return cls.from_dict(_bundled(path))
            text = path.read_text()
            return cls.from_dict(json.loads(text) if path.suffix == ".json" else tomllib.loads(text))
        except FileNotFoundError:
            raise BirdfastError(f"no recipe at {path}: give the name of a preset or a .toml file") from None
        except (tomllib.TOMLDecodeError, json.JSONDecodeError) as error:
            raise BirdfastError(f"{path} is not a recipe: {error}") from None

    def with_spectrogram_of(self, path: str | Path) -> Recipe:
        """A copy with the spectrogram of another recipe: of a bundle, or a .toml or .json with some of its knobs."""
        path = Path(path)
        try:
            text = "" if path.suffix == ".safetensors" else path.read_text()
            knobs = json.loads(text) if path.suffix == ".json" else tomllib.loads(text) if text else _bundled(path)
        except (OSError, ValueError) as error:
            raise BirdfastError(f"no spectrogram's knobs can be read from {path}: {error}") from None
        return self.with_(**{name: knobs[name] for name in SPECTROGRAM if name in _known(knobs)})


_LONGEST_HEADER = 100_000_000  # bytes, safetensors' own limit


def bundle_knobs(path: Path) -> dict[str, Any] | None:
    """The recipe's knobs in the header of a ``.safetensors``; None where it carries none, as other people's files."""
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        try:
            header = json.loads(file.read(size)) if size < _LONGEST_HEADER else {}
            return dict(json.loads(header["__metadata__"]["birdfast"])["recipe"])
        except (ValueError, KeyError, TypeError):
            return None


def _bundled(path: Path) -> dict[str, Any]:
    knobs = bundle_knobs(path)
    if knobs is None:
        raise BirdfastError(f"{path} carries no recipe: give a bundle of birdfast's, or a .toml file")
    return knobs


def _known(knobs: dict[str, Any]) -> dict[str, Any]:
    names = [field.name for field in dataclasses.fields(Recipe)]
    for name in knobs:
        if name not in names:
            raise unknown("knob of the recipe", name, names)
    return knobs


def changed_knobs(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """The first three knobs in which a recipe differs from that of a run which is to go on, in words; "" where none does.

    More epochs, and another name, change nothing.
    """
    changed = [name for name in now if name not in ("epochs", "name") and before.get(name, now[name]) != now[name]]
    return ", ".join(f"{name} ({before[name]!r} to {now[name]!r})" for name in changed[:3])
