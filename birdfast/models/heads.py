"""Features to logits. A head maps ``(batch, n_features, h, w)`` to ``(batch, n_classes)``; h is frequency, w time."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from birdfast.errors import unknown
from birdfast.models.quiet import SelectAdaptivePool2d

POOLINGS = ("avg", "max", "avgmax", "gem", "sed")


def create_head(
    pooling: str, n_features: int, n_classes: int, *, dropout: float = 0.0, sed_frequency: str = "mean"
) -> nn.Module:
    """Pool features over frequency and time, then one linear layer; "sed" pools time by attention."""
    if pooling not in POOLINGS:
        raise unknown("pooling", pooling, POOLINGS)
    if pooling == "sed":
        return SedHead(n_features, n_classes, dropout=dropout, frequency=sed_frequency)
    pool = (
        nn.Sequential(GeM(), nn.Flatten())
        if pooling == "gem"
        else SelectAdaptivePool2d(pool_type=pooling, flatten=True)
    )
    return nn.Sequential(pool, nn.Dropout(dropout), nn.Linear(n_features, n_classes))


class GeM(nn.Module):
    """Generalised mean over `dim`, kept as 1: ``mean(x ** p) ** (1 / p)`` (Radenovic et al. 2018).

    p is learned, from 3: 1 is the mean, a large one the maximum. What lies below `eps` counts as `eps`. In float32
    whatever the autocast around it: half precision cannot hold the powers.
    """

    def __init__(self, *, dim: int | tuple[int, ...] = (-2, -1), p: float = 3.0, eps: float = 1e-6) -> None:
        super().__init__()
        self.dim, self.eps = dim, eps
        self.p = nn.Parameter(torch.tensor([p]))

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            return x.float().clamp(min=self.eps).pow(self.p).mean(self.dim, keepdim=True).pow(1 / self.p)


class Mean(nn.Module):
    """Mean over `dim`, kept as 1."""

    def __init__(self, *, dim: int) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, x: Tensor) -> Tensor:
        return x.mean(self.dim, keepdim=True)


class SedHead(nn.Module):
    """Attention over time, as in sound event detection: PANNs (Kong et al. 2020), BirdCLEF 2023, 2025 and 2026.

    Frequency is pooled by `frequency`, "mean" or "gem"; a hidden layer; then each frame has logits and a weight for each
    class, the weights of a class summing to 1 over time. The clip's logits are the weighted sum of the frames' *logits*.
    PANNs sums probabilities, which fits binary cross-entropy alone; logits go into softmax and sigmoid alike.
    """

    def __init__(self, n_features: int, n_classes: int, *, dropout: float = 0.0, frequency: str = "mean") -> None:
        super().__init__()
        if frequency not in ("mean", "gem"):
            raise unknown("sed_frequency", frequency, ["mean", "gem"])
        self.frequency = GeM(dim=-2) if frequency == "gem" else Mean(dim=-2)
        self.hidden = nn.Sequential(
            nn.Dropout(dropout), nn.Linear(n_features, n_features), nn.ReLU(), nn.Dropout(dropout)
        )
        self.logits, self.attention = nn.Linear(n_features, n_classes), nn.Linear(n_features, n_classes)

    def forward(self, features: Tensor) -> Tensor:
        hidden = self._hidden(features)
        weights = torch.tanh(self.attention(hidden)).softmax(1)
        return (weights * self.logits(hidden)).sum(1)

    def frames(self, features: Tensor) -> Tensor:
        """Logits of each frame, ``(batch, n_classes, w)``."""
        return self.logits(self._hidden(features)).transpose(1, 2)

    def _hidden(self, features: Tensor) -> Tensor:
        """``(batch, w, n_features)``."""
        return self.hidden(self.frequency(features).squeeze(-2).transpose(1, 2))
