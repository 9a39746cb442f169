import copy
import os
import pickle

import numpy as np
import pytest
import torch

from birdfast.training.checkpoint import seed_draws
from birdfast.training.dataloaders import bird_dls
from birdfast.training.loader import copied_ahead


@pytest.fixture
def plain(tiny_recipe):
    return tiny_recipe.with_(time_masks=0, freq_masks=0, batch_size=4)


def sounds(dl):
    return torch.cat([x.waveform[:, 0, :50].as_subclass(torch.Tensor) for x, _ in dl])


def epochs(tiny_birds, recipe, n, **kwargs):
    dls = bird_dls(tiny_birds, recipe, device="cpu", num_workers=2)
    if kwargs:
        dls.train = dls.train.new(**kwargs)
    seed_draws(dls, 3)
    return [sounds(dls.train) for _ in range(n)]


@pytest.mark.parametrize("power", [0.0, 1.0])
def test_kept_workers_draw_what_new_ones_would(tiny_birds, plain, power):
    recipe = plain.with_(sampling_power=power)
    kept = epochs(tiny_birds, recipe, 2)
    fresh = epochs(tiny_birds, recipe, 2, persistent_workers=False)
    assert all(torch.equal(a, b) for a, b in zip(kept, fresh, strict=True))
    assert not torch.equal(kept[0], kept[1])


def test_workers_are_started_once(tiny_birds, plain):
    train = bird_dls(tiny_birds, plain, device="cpu", num_workers=1).train
    pids = set()
    for _ in range(2):
        list(train)
        pids |= {worker.pid for worker in train.fake_l.iterator._workers}
    assert len(pids) == 1
    assert os.getpid() not in pids
    assert pickle.loads(pickle.dumps(train.fake_l.__getstate__() | {"d": None}))["iterator"] is None
    assert copy.copy(train.new([])).fake_l.iterator is None


def test_an_epoch_that_was_broken_off_leaves_nothing_behind(tiny_birds, plain):
    dls = bird_dls(tiny_birds, plain, device="cpu", num_workers=2)
    next(iter(dls.train))
    seed_draws(dls, 3)
    assert torch.equal(sounds(dls.train), epochs(tiny_birds, plain, 1)[0])


def test_a_worker_that_fails_is_replaced(tiny_birds, plain):
    train = bird_dls(tiny_birds, plain, device="cpu", num_workers=1).train
    good = train.after_item
    train.after_item = lambda item: 1 / 0
    with pytest.raises(ZeroDivisionError):
        list(train)
    train.after_item = good
    assert len(sounds(train)) == 24


def test_a_copy_of_the_training_loader_keeps_its_weights(tiny_birds, plain):
    dls = bird_dls(tiny_birds, plain.with_(sampling_power=1.0), device="cpu", num_workers=0)
    assert np.allclose(dls.train.new().wgts, dls.train.wgts)
    assert dls.train.new().weighted
    assert not dls.valid.weighted
    assert not dls.test_dl(dls.plan.clips[:3]).weighted


def test_batches_for_the_cpu_come_as_they_are():
    batches = [(torch.ones(2),), (torch.zeros(2),)]
    assert [b[0].tolist() for b in copied_ahead(batches, torch.device("cpu"))] == [[1, 1], [0, 0]]
    assert list(copied_ahead(batches, None)) == batches


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_batches_reach_the_gpu_in_order():
    batches = [[torch.full((1 << 16,), float(i)).pin_memory()] for i in range(20)]
    assert [float(b[0].sum()) for b in copied_ahead(batches, "cuda")] == [i * float(1 << 16) for i in range(20)]
