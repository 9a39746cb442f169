"Windows of soundscapes that are mixed into the clips of recordings, or put in their place"

import random
from dataclasses import replace

import torch
from fastai.data.transforms import TensorMultiCategory
from fasttransform import ItemTransform

from birdfast.spectrogram.functional import union
from birdfast.training.transforms import ORDER, Window


class AddWindow(ItemTransform):
    """Give a recording's clip, before it is read, a window of one of the `pools`, and its labels beside its own; training only

    `no_call` says that the last class is that of clips without a call, which a clip with a window in it is not.
    """

    split_idx, order, _retain = 0, ORDER["AddWindow"], False

    def __init__(self, pools, no_call=False):
        super().__init__()
        self.pools, self.no_call = pools, no_call

    def __call__(self, x, **kwargs):
        out = super().__call__(x, **kwargs)
        return tuple(out) if isinstance(x, tuple) else out  # what comes as a list is not transformed further

    def encodes(self, xy):
        clip, y = xy
        # The first pool that wants it takes the clip: a labelled and a pseudo-labelled window never meet in one.
        pool = next((pool for pool in self.pools if random.random() < pool.p), None)
        if pool is None or isinstance(clip, Window):
            return clip, y
        (path, start, end), targets = pool.draw(random.random())
        window, targets = Window(path, start, end), torch.from_numpy(targets)
        if pool.substitute:
            return window, TensorMultiCategory(targets.clone())
        both = union(y.as_subclass(torch.Tensor), targets)
        if self.no_call:
            both[-1] = 0.0
        return replace(clip, added=window), TensorMultiCategory(both)
