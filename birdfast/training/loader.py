"""The DataLoader: weighted draws, workers that are started once, batches copied to the device ahead of their use."""

import os
import weakref

import numpy as np
import torch
from fastai.callback.data import WeightedDL
from fastai.data.core import TfmdDL
from fastai.data.load import _FakeLoader
from fastai.torch_core import apply, set_seed, to_device
from torch.utils.data import get_worker_info
from torch.utils.data.dataloader import _MultiProcessingDataLoaderIter, _SingleProcessDataLoaderIter

from birdfast.errors import BirdfastError


class Workers(_FakeLoader):
    """What fastai shows to torch in place of a torch DataLoader; with `persistent_workers` its processes are kept.

    fastai forks workers anew each epoch and lets them inherit the order of the items. Kept ones read it, and the seed of
    the epoch, from shared memory. The seed is drawn as torch draws it: an epoch has the same crops either way.
    """

    def __init__(self, d, like):
        super().__init__(
            d, like.pin_memory, like.num_workers, like.timeout, like.persistent_workers, like.pin_memory_device
        )
        self.iterator = self.plan = self.stop = None

    def __getstate__(self):
        return self.__dict__ | {"iterator": None, "plan": None, "stop": None}

    def batches(self, idxs):
        "Batches of an epoch in the order `idxs`, made in this process or by the workers"
        if not self.num_workers:
            return _SingleProcessDataLoaderIter(self)
        if not self.persistent_workers:
            return _MultiProcessingDataLoaderIter(self)
        return self._kept(np.asarray(idxs, np.int64))

    def _kept(self, idxs):
        again = self.iterator is not None and len(self.plan) >= len(idxs) + 2
        if not again:
            self._end()
            self.plan = torch.empty(len(idxs) + 2, dtype=torch.int64).share_memory_()
        # -1: torch seeds workers as it starts them.
        seed = torch.empty((), dtype=torch.int64).random_().item() if again else -1
        self.plan[:2] = torch.tensor([len(idxs), seed])
        self.plan[2 : len(idxs) + 2] = torch.from_numpy(idxs)
        if again:
            self.iterator._reset(self)
        else:
            self._start()
        try:
            yield from self.iterator
        except Exception:
            self._end()  # a worker failed: the next epoch starts new ones
            raise

    def _start(self):
        self.iterator = it = _MultiProcessingDataLoaderIter(self)
        # Part of no cycle: Python would close the queues of a dead cycle first, and torch then wait 5 s for each worker.
        it._dataset = it._collate_fn = it._worker_init_fn = None
        self.stop = weakref.finalize(self, _shut_down, it, os.getpid())

    def _end(self):
        if self.iterator is not None:
            self.stop()
        self.iterator = None

    def __iter__(self):
        worker = get_worker_info()
        if worker is not None and self.plan is not None:
            n, seed = self.plan[:2].tolist()
            self.d._DataLoader__idxs = self.plan[2 : n + 2].tolist()
            if seed >= 0:
                set_seed(seed + worker.id)
        return super().__iter__()


def _shut_down(iterator, pid):
    "End the workers, unless this is one of them, which has inherited a copy"
    if os.getpid() == pid:
        iterator._shutdown_workers()


class KeptAndAhead(TfmdDL):
    "Iterates by `Workers` and copies ahead"

    def __iter__(self):
        self.randomize()
        self.before_iter()
        self._DataLoader__idxs = idxs = self.get_idxs()  # where fastai's sample() and its workers look for them
        is_empty = True
        for batch in copied_ahead(self.fake_l.batches(idxs), self.device):
            is_empty = False
            yield self.after_batch(batch)
        if is_empty and len(self):
            raise BirdfastError(self._none_read(len(idxs)))
        self.after_iter()
        if hasattr(self, "it"):
            del self.it

    def _none_read(self, n_items):
        bad_files = getattr(self.after_item, "bad_files", None)  # the reader's
        where = "run `birdfast doctor` on the data" if bad_files is None else f"the others are in {bad_files.path}"
        return f"an epoch of {n_items} clips gave no batch of {self.bs}: too few of them can be read, {where}"


def copied_ahead(batches, device):
    "Batches on `device`; a GPU is sent the next one while it works on the one before, and Python does not wait for it"
    if device is None or torch.device(device).type != "cuda":
        yield from batches if device is None else (to_device(batch, device) for batch in batches)
        return
    stream, ready = torch.cuda.Stream(device), None
    for batch in batches:
        with torch.cuda.stream(stream):
            coming = to_device(tuple(batch), device, non_blocking=True)  # pinning makes lists of tuples
        if ready is not None:
            yield ready
        main = torch.cuda.current_stream(device)
        main.wait_stream(stream)
        apply(lambda t, main=main: t.record_stream(main), coming)
        ready = coming
    if ready is not None:
        yield ready


def batches_with(windows, others, n, bs, n_windows):
    "`n` items: in each batch of `bs` come `n_windows` of the one kind after the others; both begin anew where they end"
    n_batches = -(-n // bs)
    shuffled = [np.random.permutation(windows) for _ in range(-(-n_batches * n_windows // len(windows)))]
    windows = np.concatenate(shuffled)[: n_batches * n_windows].reshape(n_batches, n_windows)
    others = np.resize(others, n_batches * (bs - n_windows)).reshape(n_batches, bs - n_windows)
    return np.concatenate([others, windows], axis=1).reshape(-1)[:n].tolist()


class BirdDL(KeptAndAhead, WeightedDL):
    """A weighted DataLoader: without weights every item comes once an epoch, and it can start with an unreadable item.

    Of the items `windows`, each batch holds `n_windows`; an epoch still has as many items as the data set.
    """

    def __init__(self, dataset=None, bs=None, wgts=None, windows=None, n_windows=0, **kwargs):
        self.weighted, self.windows, self.n_windows = wgts is not None, windows, n_windows
        super().__init__(dataset=dataset, bs=bs, wgts=wgts, **kwargs)
        self.fake_l = Workers(self, self.fake_l)

    def new(self, dataset=None, cls=None, **kwargs):
        "fastai's forgets weights and kept workers; another data set has neither of this one's"
        if dataset is None:
            mine = {"wgts": self.wgts} if self.weighted else {}
            mine |= {"windows": self.windows, "n_windows": self.n_windows}
            kwargs = {**mine, "persistent_workers": self.fake_l.persistent_workers, **kwargs}
        return super().new(dataset, cls, **kwargs)

    def get_idxs(self):
        if self.n_windows:
            return batches_with(self.windows, self._others(), self.n, self.bs, self.n_windows)
        return super().get_idxs() if self.weighted else TfmdDL.get_idxs(self)

    def _others(self):
        "Items that are no windows, in the order in which they come"
        others = np.setdiff1d(np.arange(self.n), self.windows)
        if not self.weighted:
            return np.random.permutation(others)
        return np.random.choice(others, self.n, p=self.wgts[others] / self.wgts[others].sum())

    def do_item(self, s):
        if s is not None:
            return super().do_item(s)
        candidates = (super(BirdDL, self).do_item(i) for i in range(min(self.n, 50)))
        first = next((item for item in candidates if item is not None), None)
        if first is None:
            raise BirdfastError("none of the first recordings could be read: run `birdfast doctor` on the data")
        return first
