"""timm without what its import says: it scripts functions, which PyTorch calls deprecated."""

import warnings

with warnings.catch_warnings():
    warnings.filterwarnings("ignore", r"`torch\.jit\.\w+` is (deprecated|not supported)")
    import timm
    from timm.layers import SelectAdaptivePool2d

__all__ = ["SelectAdaptivePool2d", "timm"]
