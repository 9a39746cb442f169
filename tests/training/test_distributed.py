"""Two processes on the CPU train as one."""

import json
import os
import socket
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("accelerate")

PROLOGUE = """
import json, sys, warnings
import torch
warnings.simplefilter("ignore")
from fastai.callback.core import Callback, CancelFitException
from fastai.torch_core import rank_distrib
from birdfast.recipe.recipe import Recipe
from birdfast.training.dataloaders import bird_dls
from birdfast.training.learner import bird_learner
from birdfast.training.checkpoint import seed_draws
from birdfast.training.distributed import ShardDL, joined
birds, recipe, out = sys.argv[1], Recipe.load(sys.argv[2]), sys.argv[3]

class Stop(Callback):
    order = 66
    def after_epoch(self):
        raise CancelFitException("after an epoch")

def weight(learn):
    return [float(p.detach().abs().sum()) for p in learn.model.parameters()]
"""


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def two_processes(*words, seconds=120):
    """Run `python words` as rank 0 and rank 1; their output."""
    shared = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "OMP_NUM_THREADS": "1",
              "ACCELERATE_USE_CPU": "true", "LOCAL_WORLD_SIZE": "2"}  # fmt: skip
    runs = [
        subprocess.Popen([sys.executable, *map(str, words)], env={**os.environ, **shared, "RANK": r, "LOCAL_RANK": r},
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for r in "01"
    ]  # fmt: skip
    try:
        said = [run.communicate(timeout=seconds)[0] for run in runs]
    finally:
        for run in runs:
            run.kill()
    assert all(run.returncode == 0 for run in runs), "\n".join(said)
    return said


@pytest.fixture(scope="module")
def recipe_file(tiny_recipe, tmp_path_factory):
    file = tmp_path_factory.mktemp("recipe") / "tiny.toml"
    tiny_recipe.with_(batch_size=4, max_windows=1).save(file)
    return file


CHECK = (
    PROLOGUE
    + """
with joined():
    dls = bird_dls(birds, recipe, device="cpu", num_workers=1)
    plain = ShardDL(bird_dls(birds, recipe.with_(sampling_power=0.0), device="cpu", num_workers=0).train)
    weighted = ShardDL(dls.train)
    learn = bird_learner(dls, path=out)
    with learn.no_bar(), learn.no_logging(), learn.distrib_ctx():
        before = learn.scores()
        learn.fit_recipe(run=out + "/run")
        after = learn.scores()
        preds = learn.get_preds()[0]
    for cbs, resume in (([Stop()], False), ([], True)):
        again = bird_learner(bird_dls(birds, recipe, device="cpu", num_workers=1), path=out)
        with again.no_bar(), again.no_logging(), again.distrib_ctx():
            again.fit_recipe(run=out + "/again", cbs=cbs, resume=resume)
    seed_draws(dls, 5)
    drawn = {"plain": [int(i) for i in plain.get_idxs()], "weighted": [int(i) for i in weighted.get_idxs()]}
    result = {"resumed": weight(again), **drawn,
              "before": before, "after": after, "preds": preds.tolist(), "n_batches": [len(plain), len(list(plain))],
              "weights": weight(learn), "drawn": float(torch.rand(1))}
    open(f"{out}/{rank_distrib()}.json", "w").write(json.dumps(result))
"""
)


@pytest.fixture(scope="module")
def results(tiny_birds, recipe_file, tmp_path_factory):
    """What either process found, and the folder that they wrote."""
    out = tmp_path_factory.mktemp("two")
    (out / "check.py").write_text(CHECK)
    two_processes(out / "check.py", tiny_birds, recipe_file, out)
    return [json.loads((out / f"{rank}.json").read_text()) for rank in (0, 1)], out


def test_every_clip_is_seen_once_an_epoch(results):
    (first, second), _ = results
    assert sorted(first["plain"] + second["plain"]) == list(range(24))
    assert len(first["plain"]) == len(second["plain"]) == 12
    assert first["n_batches"] == second["n_batches"] == [3, 3]


def test_weighted_draws_are_shared_out_and_not_repeated(results, tiny_birds, recipe_file):
    (first, second), _ = results
    from birdfast.recipe.recipe import Recipe
    from birdfast.training.checkpoint import seed_draws
    from birdfast.training.dataloaders import bird_dls

    dls = bird_dls(tiny_birds, Recipe.load(recipe_file), device="cpu", num_workers=0)
    seed_draws(dls, 5)
    assert [int(i) for i in dls.train.get_idxs()] == first["weighted"] + second["weighted"]
    assert first["weighted"] != second["weighted"]
    assert first["drawn"] != second["drawn"]  # crops, masks and mixes are a process's own


def test_scores_are_those_of_one_process(results, tiny_birds, recipe_file):
    from birdfast.recipe.recipe import Recipe
    from birdfast.training.checkpoint import load_last, read_state
    from birdfast.training.dataloaders import bird_dls
    from birdfast.training.learner import bird_learner

    (first, second), out = results
    assert first["before"] == second["before"]
    assert first["after"] == second["after"]
    assert first["weights"] == pytest.approx(second["weights"], rel=1e-6)
    learn = bird_learner(bird_dls(tiny_birds, Recipe.load(recipe_file), device="cpu", num_workers=0))
    with learn.no_bar(), learn.no_logging():
        assert learn.scores() == pytest.approx(first["before"], rel=1e-5)
        load_last(learn, out / "run", read_state(out / "run")[0])
        assert learn.scores() == pytest.approx(first["after"], rel=1e-4)
        np.testing.assert_allclose(learn.get_preds()[0], first["preds"], atol=1e-5)
    assert first["preds"] == second["preds"]
    assert first["resumed"] == first["weights"]
    history = pd.read_csv(out / "run" / "history.csv")
    assert history["roc_auc"].tolist()[-1] == pytest.approx(first["after"]["roc_auc"])


def test_an_item_that_cannot_be_read_is_replaced():
    from birdfast.training.distributed import filled

    assert list(filled([None, None, 1, None, 2])) == [1, 1, 1, 2, 2]
    assert list(filled([1, None])) == [1, 1]
    assert list(filled([None])) == []


def test_timms_batch_norms_keep_their_activations(tiny_birds, tiny_recipe):
    from timm.layers import convert_sync_batchnorm
    from torch import nn

    from birdfast.models.backbone import create_model

    model = create_model(tiny_recipe, 3).eval()
    n = sum(isinstance(m, (nn.ReLU, nn.SiLU)) for m in model.modules())
    assert n == sum(isinstance(m, (nn.ReLU, nn.SiLU)) for m in convert_sync_batchnorm(model).modules())


@pytest.mark.slow
def test_train_from_the_shell_with_several_processes_and_resume(tiny_birds, recipe_file, tmp_path):
    run = tmp_path / "run"
    train = ["-m", "birdfast", "train", tiny_birds, "--recipe", recipe_file, "--out", run, "--lr", "auto"]
    said = two_processes(*train, "--epochs", 1, "--cache", "waveform", "--cache-dir", tmp_path / "cache")
    assert "macro ROC-AUC" in said[0]
    assert said[1].strip() == ""
    said = two_processes("-m", "birdfast", "train", tiny_birds, "--out", run, "--resume", "--epochs", 2)
    assert "resuming after epoch 1 of 2" in said[0]
    assert pd.read_csv(run / "history.csv")["epoch"].tolist() == [0, 1]
    assert (run / "birds.safetensors").is_file()
