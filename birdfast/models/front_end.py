"""What a model hears with: a spectrogram for a backbone, an embedder for a head."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from birdfast.models.embedding import EmbedWindows
from birdfast.recipe.recipe import Recipe
from birdfast.spectrogram.logmel import LogMel


def create_front_end(recipe: Recipe, extra: Mapping[str, Any] | None = None) -> nn.Module:
    """Waveform ``(..., time)`` to what the recipe's model takes: :class:`LogMel`, or :class:`EmbedWindows`.

    Parameters
    ----------
    extra
        Of a bundle: its `embedder` says by which file the head was trained, and another is refused.
    """
    if not recipe.embeds:
        return LogMel.from_recipe(recipe)
    known = (extra or {}).get("embedder", {})
    return EmbedWindows(recipe.backbone, step=recipe.embed_step, sha256=str(known.get("sha256", "")))
