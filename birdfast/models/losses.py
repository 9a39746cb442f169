"""Losses that take what birdfast's targets hold: class indices, soft labels, and NaN for "left out"."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from birdfast.recipe import Recipe


class LabelSmoothingCrossEntropy(nn.Module):
    """Cross-entropy with label smoothing (Szegedy et al. 2016), for class indices and for soft targets.

    fastai's and timm's refuse soft targets, which MixUp makes. `logits` are ``(batch, n_classes)``, `targets`
    integers ``(batch,)`` or probabilities ``(batch, n_classes)``. With ``y_int`` fastai's own MixUp works too.
    """

    y_int = True

    def __init__(self, smoothing: float = 0.1, *, reduction: str = "mean", activation: str = "softmax") -> None:
        super().__init__()
        self.smoothing, self.reduction, self._activation = smoothing, reduction, activation

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        targets = targets if targets.is_floating_point() else targets.long()
        return F.cross_entropy(logits, targets, label_smoothing=self.smoothing, reduction=self.reduction)

    def activation(self, logits: Tensor) -> Tensor:
        """Logits to probabilities; fastai's get_preds asks for it."""
        return logits.sigmoid() if self._activation == "sigmoid" else logits.softmax(-1)

    def decodes(self, probabilities: Tensor) -> Tensor:
        """The most probable class; fastai's show_results asks for it."""
        return probabilities.argmax(-1)


class SmoothedBCE(nn.Module):
    """Binary cross-entropy with label smoothing, the multi-label twin; NaN targets are left out.

    `logits` and `targets` are ``(batch, n_classes)``. Smoothing pulls every target towards one half:
    ``t * (1 - smoothing) + smoothing / 2``.
    """

    y_int = False

    def __init__(self, smoothing: float = 0.0, *, reduction: str = "mean", threshold: float = 0.5) -> None:
        super().__init__()
        self.smoothing, self.reduction, self.threshold = smoothing, reduction, threshold

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        known = ~targets.isnan()
        smooth = targets.nan_to_num() * (1 - self.smoothing) + self.smoothing / 2
        loss = F.binary_cross_entropy_with_logits(logits, smooth.to(logits.dtype), reduction="none") * known
        if self.reduction == "none":
            return loss.sum(-1) / known.sum(-1).clamp(min=1)
        return loss.sum() / known.sum().clamp(min=1) if self.reduction == "mean" else loss.sum()

    def activation(self, logits: Tensor) -> Tensor:
        """Logits to probabilities; fastai's get_preds asks for it."""
        return logits.sigmoid()

    def decodes(self, probabilities: Tensor) -> Tensor:
        """True where a class is called; fastai's show_results asks for it."""
        return probabilities > self.threshold


def create_loss(recipe: Recipe) -> nn.Module:
    """The loss that `recipe` describes."""
    if recipe.task == "multi":
        return SmoothedBCE(recipe.label_smoothing)
    return LabelSmoothingCrossEntropy(recipe.label_smoothing, activation=recipe.activation)


def probabilities(logits: Tensor, *, activation: str) -> Tensor:
    """Logits to probabilities by the recipe's `activation`, float32."""
    return torch.softmax(logits.float(), -1) if activation == "softmax" else torch.sigmoid(logits.float())
