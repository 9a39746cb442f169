"""Features to logits. A head is one registered builder: ``(n_features, n_classes, dropout) -> nn.Module``."""

from __future__ import annotations

from torch import nn

from birdfast.errors import unknown
from birdfast.models.quiet import SelectAdaptivePool2d

POOLINGS = ("avg", "max", "avgmax")


def create_head(pooling: str, n_features: int, n_classes: int, *, dropout: float = 0.0) -> nn.Sequential:
    """Pool features ``(batch, n_features, h, w)`` over frequency and time, then one linear layer to ``(batch, n_classes)``."""
    if pooling not in POOLINGS:
        raise unknown("pooling", pooling, POOLINGS)
    return nn.Sequential(
        SelectAdaptivePool2d(pool_type=pooling, flatten=True), nn.Dropout(dropout), nn.Linear(n_features, n_classes)
    )
