"""What suits a number of recordings."""

from __future__ import annotations

FEW = 2000  # recordings
FEW_STEPS = 8  # an epoch


def lr_too_low(lr: float | str, n_recordings: int) -> bool:
    """Whether a rate for tens of thousands of recordings is asked of a few hundred, whose steps are too few for it."""
    return not isinstance(lr, str) and lr <= 1e-4 and n_recordings < FEW


def epoch_steps(n_clips: int, batch_size: int) -> tuple[str, int | None]:
    """What an epoch of `n_clips` comes to, in words, and a batch size that gives it steps enough.

    The second is None where there are FEW_STEPS or more, or where a smaller batch would hold a single clip.
    """
    steps, left = divmod(n_clips, batch_size)
    text = f"{steps} step{'' if steps == 1 else 's'} an epoch"
    if left:
        text += f", {left} of {n_clips} clips left out each time"
    smaller = max(1, min(n_clips, 2 ** max(1, (n_clips // FEW_STEPS).bit_length() - 1)))
    return text, smaller if steps < FEW_STEPS and smaller < batch_size else None
