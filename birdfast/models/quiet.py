"""timm without what its import says: like fastai it scripts functions, which PyTorch calls deprecated."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def no_script_warnings() -> Iterator[None]:
    """Without PyTorch's warnings of `torch.jit.script`, and of nothing else."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"`torch\.jit\.\w+` is (deprecated|not supported)")
        yield


with no_script_warnings():
    import timm
    from timm.layers import SelectAdaptivePool2d

__all__ = ["SelectAdaptivePool2d", "no_script_warnings", "timm"]
