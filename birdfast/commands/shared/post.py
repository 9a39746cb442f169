"""What is typed about post-processing, as a :class:`~birdfast.prediction.postprocess.PostProcess`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from birdfast.errors import BirdfastError

if TYPE_CHECKING:
    from birdfast.prediction.postprocess import PostProcess


def read_post(
    shift: float = 0.0,
    smooth: str | None = None,
    smooth_group: Sequence[str] = (),
    taxonomy: str | Path | None = None,
    file_top: int = 0,
) -> PostProcess:
    """The switches as typed: weights with commas, ``Insecta=1,1,1`` for a group of the taxonomy.

    Raises
    ------
    BirdfastError
        If something typed is no number, or groups come without a taxonomy.
    """
    from birdfast.prediction.postprocess import PostProcess, read_groups

    if bool(smooth_group) != (taxonomy is not None):
        raise BirdfastError(
            "--smooth-group and --taxonomy go together: weights of a group, and which class is in which"
        )
    kernels = {}
    for text in smooth_group:
        name, _, weights = text.partition("=")
        kernels[name.strip()] = _kernel("--smooth-group GROUP=", weights)
    return PostProcess(
        shift=shift,
        smooth=_kernel("--smooth ", smooth) if smooth else (),
        groups=read_groups(taxonomy) if taxonomy is not None else {},
        group_smooth=kernels,
        file_top=file_top,
    )


def _kernel(option: str, text: str) -> tuple[float, ...]:
    from birdfast.prediction.postprocess import KERNEL

    if text == "default":
        return KERNEL
    try:
        return tuple(float(weight) for weight in text.split(","))
    except ValueError:
        usual = ",".join(f"{weight:g}" for weight in KERNEL)
        raise BirdfastError(
            f"{option.strip()} takes weights with commas, as {usual}, or default, not {text!r}"
        ) from None
