"""Several processes, a device each: fastai's Accelerate callback, mended where it would train or score something else.

Imported only where it is needed: fastai.distributed cannot be imported without Accelerate.
"""

import os
from contextlib import contextmanager

import torch
from accelerate import PartialState
from accelerate.utils import parse_flag_from_env
from fastai.distributed import DistributedDL, DistributedTrainer
from fastai.torch_core import num_distrib, rank_distrib
from timm.layers import convert_sync_batchnorm

from birdfast.training.loader import KeptAndAhead, Workers


class ShardDL(KeptAndAhead, DistributedDL):
    "The share of one process: rank 0 draws the items, each process takes its part, and all have as many batches"

    def __init__(self, dl, **kwargs):
        super().__init__(dl, **kwargs)
        self.fake_l = Workers(self, self.dl.fake_l)

    def _broadcast(self, t, rank):
        t = torch.as_tensor(t, dtype=torch.long, device=self._group_device())
        torch.distributed.broadcast(t, rank)
        return t.tolist()

    def _group_device(self):
        return "cuda" if torch.distributed.get_backend() == "nccl" else "cpu"

    def get_idxs(self):
        self.mine = super().get_idxs()
        return self.mine

    def __len__(self):
        share = -(-self.dl.n // self.world_size)
        return share // self.bs if self.drop_last else -(-share // self.bs)

    def create_batches(self, samps):
        "As many items as indices: processes with unequal numbers of batches would wait for each other for ever"
        items = filled(map(self.dl.do_item, samps))
        yield from map(self.dl.do_batch, self.dl.chunkify(items))


def filled(items):
    "`items`, with a neighbour in place of one that could not be read"
    last, owed = None, 0
    for item in items:
        if item is None:
            owed += 1
            continue
        yield item
        last = item
        yield from [last] * owed
        owed = 0
    yield from [last] * (owed if last is not None else 0)


class ShareTraining(DistributedTrainer):
    "Wraps the model in DistributedDataParallel and the loaders in ShardDL"

    def __init__(self, sync_bn=True, **kwargs):
        super().__init__(sync_bn=False, **kwargs)
        self.timm_sync_bn = sync_bn and self.accelerator.device.type == "cuda"

    def before_fit(self):
        if self.timm_sync_bn:  # torch's own conversion drops the activations that timm keeps inside its batch norms
            self.learn.model = convert_sync_batchnorm(self.learn.model)
        super().before_fit()

    def _wrap_dl(self, dl):
        return dl if isinstance(dl, ShardDL) else ShardDL(dl)


def gathered(values):
    "The `values` of every process, in a list"
    everyone = [None] * num_distrib()
    torch.distributed.all_gather_object(everyone, values)
    return everyone


def from_first(make):
    "What `make()` gives in the first process, in all; only the first calls it"
    with alone():
        box = [None if rank_distrib() else make()]
    torch.distributed.broadcast_object_list(box, 0)
    return box[0]


@contextmanager
def alone():
    "Have fastai take this process for the only one: its `load` and its losses would else wait for the others"
    n = os.environ.pop("WORLD_SIZE", None)
    try:
        yield
    finally:
        if n is not None:
            os.environ["WORLD_SIZE"] = n


@contextmanager
def joined():
    "The processes of `accelerate launch` as one group; gives whether this one is the first"
    state = PartialState(cpu=parse_flag_from_env("ACCELERATE_USE_CPU"))
    try:
        yield state.is_main_process
        state.wait_for_everyone()
    finally:
        state.destroy_process_group()
