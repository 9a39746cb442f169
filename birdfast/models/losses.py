"""Losses that take what birdfast's targets hold: class indices, soft labels, and NaN for "left out"."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from birdfast.recipe.recipe import Recipe

_NEVER = -1e9  # the logit of a class that is left out of a softmax; finite, so that a row of them gives no NaN


def soft_targets(targets: Tensor, n_classes: int) -> Tensor:
    """Class indices ``(batch,)`` or targets ``(batch, n_classes)`` as float32 ``(batch, n_classes)``; NaN stays."""
    targets = targets.as_subclass(Tensor)
    if targets.is_floating_point() or targets.ndim == 2:
        return targets.float()
    zeros = torch.zeros(len(targets), n_classes, device=targets.device)
    return zeros.scatter_(1, targets.long()[:, None], 1.0)  # F.one_hot waits for the GPU


class _Loss(nn.Module):
    """What fastai asks of a loss: `reduction`, `activation`, `decodes`, and whether its MixUp may weigh class indices."""

    def __init__(self, smoothing: float, reduction: str, activation: str, single: bool, threshold: float) -> None:
        super().__init__()
        self.smoothing, self.reduction, self._activation = smoothing, reduction, activation
        self.single, self.threshold = single, threshold
        self.y_int = single

    def activation(self, logits: Tensor) -> Tensor:
        """Logits to probabilities; fastai's get_preds asks for it."""
        return logits.sigmoid() if self._activation == "sigmoid" else logits.softmax(-1)

    def decodes(self, probabilities: Tensor) -> Tensor:
        """The most probable class, or with many labels True where one is called; fastai's show_results asks for it."""
        return probabilities.argmax(-1) if self.single else probabilities > self.threshold


class LabelSmoothingCrossEntropy(_Loss):
    """Cross-entropy with label smoothing (Szegedy et al. 2016), for class indices, soft and multi-hot targets.

    fastai's and timm's refuse soft targets, which MixUp makes. `logits` are ``(batch, n_classes)``, `targets`
    integers ``(batch,)`` or ``(batch, n_classes)``. Targets that sum to more than 1, of several species at once, are
    divided by their sum (BirdCLEF 2024 and 2026, 1st; 2025's 1st left them), so that each clip weighs the same; a clip
    without a species weighs nothing. NaN leaves a class out of the clip's softmax. With ``y_int`` fastai's own MixUp
    works too.
    """

    def __init__(
        self, smoothing: float = 0.1, *, reduction: str = "mean", activation: str = "softmax", single: bool = True,
        threshold: float = 0.5,
    ) -> None:  # fmt: skip
        super().__init__(smoothing, reduction, activation, single, threshold)

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        logits = logits.as_subclass(Tensor).float()
        if not targets.is_floating_point() and targets.ndim == 1:
            return F.cross_entropy(logits, targets.long(), label_smoothing=self.smoothing, reduction=self.reduction)
        targets = soft_targets(targets, logits.shape[-1])
        known = ~targets.isnan()
        loss = -(self._smooth(targets.nan_to_num(), known) * _log_softmax(logits, known)).sum(-1)
        return loss if self.reduction == "none" else loss.mean() if self.reduction == "mean" else loss.sum()

    def _smooth(self, targets: Tensor, known: Tensor) -> Tensor:
        total = targets.sum(-1, keepdim=True)
        even = total.clamp(max=1) * known / known.sum(-1, keepdim=True).clamp(min=1)
        return targets / total.clamp(min=1) * (1 - self.smoothing) + even * self.smoothing


def _log_softmax(logits: Tensor, known: Tensor) -> Tensor:
    """Over the known classes; 0 for the others."""
    return F.log_softmax(logits.where(known, _NEVER), -1).where(known, 0.0)


class _SigmoidLoss(_Loss):
    """A loss of each class by itself, averaged over the known ones; computed in float32, also below autocast.

    `logits` are ``(batch, n_classes)``, `targets` the same, or class indices ``(batch,)``; NaN targets are left out.
    Smoothing pulls every target towards one half: ``t * (1 - smoothing) + smoothing / 2``.
    """

    def __init__(
        self, smoothing: float = 0.0, *, reduction: str = "mean", activation: str = "sigmoid", single: bool = False,
        threshold: float = 0.5,
    ) -> None:  # fmt: skip
        super().__init__(smoothing, reduction, activation, single, threshold)

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        targets = soft_targets(targets, logits.shape[-1])
        known = ~targets.isnan()
        smooth = targets.nan_to_num() * (1 - self.smoothing) + self.smoothing / 2
        return self._reduced(logits.as_subclass(Tensor).float().where(known, 0.0), smooth, known)

    def _reduced(self, logits: Tensor, targets: Tensor, known: Tensor) -> Tensor:
        loss = self.each(logits, targets) * known
        if self.reduction == "none":
            return loss.sum(-1) / known.sum(-1).clamp(min=1)
        return loss.sum() / known.sum().clamp(min=1) if self.reduction == "mean" else loss.sum()

    def each(self, logits: Tensor, targets: Tensor) -> Tensor:
        """The loss of each item and class ``(batch, n_classes)``."""
        raise NotImplementedError


class SmoothedBCE(_SigmoidLoss):
    """Binary cross-entropy with label smoothing, the multi-label twin; NaN targets are left out.

    `logits` and `targets` are ``(batch, n_classes)``. Smoothing pulls every target towards one half:
    ``t * (1 - smoothing) + smoothing / 2``.
    """

    def each(self, logits: Tensor, targets: Tensor) -> Tensor:
        return F.binary_cross_entropy_with_logits(logits, targets, reduction="none")


class SummedBCE(SmoothedBCE):
    """Binary cross-entropy summed over the classes of a clip, averaged over clips: each class is its own logistic regression.

    A learning rate suits it whatever the number of classes.
    """

    def _reduced(self, logits: Tensor, targets: Tensor, known: Tensor) -> Tensor:
        loss = (self.each(logits, targets) * known).sum(-1)
        return loss if self.reduction == "none" else loss.mean() if self.reduction == "mean" else loss.sum()


class FocalBCE(_SigmoidLoss):
    """Binary cross-entropy that counts what is already right for little (focal loss, Lin et al. 2017).

    ``alpha_t * (1 - p_t) ** gamma * bce``, with `p_t` the probability of the target; soft targets lie between.
    """

    alpha, gamma = 0.25, 2.0

    def each(self, logits: Tensor, targets: Tensor) -> Tensor:
        p = logits.sigmoid()
        wrong = p * (1 - targets) + (1 - p) * targets
        weight = self.alpha * targets + (1 - self.alpha) * (1 - targets)
        return weight * wrong**self.gamma * F.binary_cross_entropy_with_logits(logits, targets, reduction="none")


class BCEFocal(FocalBCE):
    """Binary cross-entropy plus its focal twin (BirdCLEF 2023, 1st; 2025, 2nd)."""

    def each(self, logits: Tensor, targets: Tensor) -> Tensor:
        return super().each(logits, targets) + F.binary_cross_entropy_with_logits(logits, targets, reduction="none")


class AsymmetricLoss(_SigmoidLoss):
    """Focal BCE that is stricter with what is absent, and forgets what is surely absent (Ridnik et al. 2021).

    ``t * (1 - p) ** 1 * -log(p) + (1 - t) * q ** 4 * -log(1 - q)`` with ``q = max(p - 0.05, 0)``: the defaults
    of its authors' code. timm's gives the same on hard targets, but sums over masked ones and weighs soft ones otherwise.
    """

    gamma_present, gamma_absent, margin = 1.0, 4.0, 0.05

    def each(self, logits: Tensor, targets: Tensor) -> Tensor:
        p = logits.sigmoid()
        q = (p - self.margin).clamp(min=0)
        present = (1 - p) ** self.gamma_present * F.logsigmoid(logits)
        return -(targets * present + (1 - targets) * q**self.gamma_absent * torch.log1p(-q))


class SoftAUC(_SigmoidLoss):
    """One minus the ROC-AUC of the batch, made smooth, for soft labels (BirdCLEF 2025, 4th).

    Of each two clips the one more likely to hold the species should score higher: ``softplus(s_j - s_i)``, weighed by
    ``t_i * (1 - t_j)``, the chance that i holds it and j does not. Averaged over a class's pairs, then over the classes
    with pairs, as the macro ROC-AUC is; `bce` adds that share of binary cross-entropy. Needs large batches: a batch has
    something to say of the species in it only.
    """

    bce = 0.0

    def _reduced(self, logits: Tensor, targets: Tensor, known: Tensor) -> Tensor:
        loss = _pairs_loss(logits, targets, known)
        if self.bce:
            each = F.binary_cross_entropy_with_logits(logits, targets, reduction="none") * known
            loss = loss + self.bce * each.sum() / known.sum().clamp(min=1)
        # A pair belongs to no item: each is given the loss of its batch.
        return (
            loss
            if self.reduction == "mean"
            else loss.expand(len(logits))
            if self.reduction == "none"
            else loss * len(logits)
        )


class SoftAUCBCE(SoftAUC):
    """Soft AUC plus a quarter of binary cross-entropy, which holds the level of the scores (BirdCLEF 2026, 2nd)."""

    bce = 0.25


def _pairs_loss(logits: Tensor, targets: Tensor, known: Tensor) -> Tensor:
    """The mean over classes of the weighed mean of ``softplus(s_j - s_i)`` over the pairs of two different items."""
    present, absent = targets * known, (1 - targets) * known
    weight = (
        present[:, None] * absent[None] * ~torch.eye(len(logits), dtype=torch.bool, device=logits.device)[..., None]
    )
    loss = F.softplus(logits[None] - logits[:, None])  # [i, j]: how far j lies above i
    total = weight.sum((0, 1))
    each = (loss * weight).sum((0, 1)) / total.clamp(min=1e-6)
    return each.sum() / (total > 0).sum().clamp(min=1)


_LOSSES: dict[str, type[_Loss]] = {
    "ce": LabelSmoothingCrossEntropy, "bce": SmoothedBCE, "bce_sum": SummedBCE, "focal": FocalBCE, "bce_focal": BCEFocal,
    "asymmetric": AsymmetricLoss, "soft_auc": SoftAUC, "soft_auc_bce": SoftAUCBCE,
}  # fmt: skip


def create_loss(recipe: Recipe) -> nn.Module:
    """The loss that `recipe` describes; "auto" is cross-entropy for one species a clip, BCE for many."""
    single = recipe.task == "single"
    name = ("ce" if single else "bce") if recipe.loss == "auto" else recipe.loss
    return _LOSSES[name](recipe.label_smoothing, activation=recipe.activation, single=single)  # type: ignore[call-arg]


def probabilities(logits: Tensor, *, activation: str, no_call: bool = False) -> Tensor:
    """Logits to probabilities by the recipe's `activation`, float32; with the recipe's `no_call` without the last."""
    values = torch.softmax(logits.float(), -1) if activation == "softmax" else torch.sigmoid(logits.float())
    return values[..., :-1] if no_call else values
