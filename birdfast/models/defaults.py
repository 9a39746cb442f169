"""What is known of families of backbones: a learning rate to begin with, and the precision they bear."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from birdfast.errors import BirdfastError
from birdfast.models.backbone import check_backbone

Precision = Literal["bf16", "fp16", "fp32"]


@dataclass(frozen=True)
class Defaults:
    """Of a family: peak learning rate, whether its activations stay within fp16, and who trained so."""

    lr: float
    fp16: bool
    source: str


# By the beginning of timm's name; the longest that fits counts.
FAMILIES = {
    "tf_efficientnet_": Defaults(5e-4, True, "BirdCLEF 2025 1st, AdamW, 15 epochs"),
    "tf_efficientnetv2": Defaults(5e-4, True, "BirdCLEF 2026 2nd, AdamW, 20 epochs"),
    "eca_nfnet": Defaults(1e-3, False, "BirdCLEF 2025 2nd, without AMP, for fp16 gives NaN"),
    "nfnet": Defaults(1e-3, False, "as eca_nfnet"),
    "dm_nfnet": Defaults(1e-3, False, "as eca_nfnet"),
}


def defaults_of(backbone: str) -> Defaults | None:
    """What is known of a backbone's family; None for others."""
    fitting = [name for name in FAMILIES if backbone.startswith(name)]
    return FAMILIES[max(fitting, key=len)] if fitting else None


def backbone_lr(backbone: str) -> float:
    """The learning rate of the family, for ``lr="backbone"``.

    Raises
    ------
    BirdfastError
        If none is known.
    """
    check_backbone(backbone)
    found = defaults_of(backbone)
    if found is None:
        raise BirdfastError(
            f"no default learning rate is known for {backbone}, only for {', '.join(FAMILIES)}: give lr a number, or "
            "'auto' to have lr_find suggest one"
        )
    return found.lr


def precision(backbone: str, *, has_bf16: bool) -> Precision:
    """The mixed precision to train in on a GPU: bf16 where the GPU has it, else fp16, else fp32 where fp16 overflows."""
    if has_bf16:
        return "bf16"
    found = defaults_of(backbone)
    return "fp32" if found and not found.fp16 else "fp16"
