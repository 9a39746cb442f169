"""What `birdfast train` leaves behind."""

import pytest
import torch

from birdfast.commands.train import BUNDLE, train_run
from birdfast.inference.bundle import load_bundle


@pytest.mark.parametrize("knobs", [{"ema": 0.7}, {"swa": 1.0}])
def test_the_average_is_exported(tiny_birds, tiny_recipe, tmp_path, knobs):
    run = tmp_path / "run"
    train_run(tiny_birds, tiny_recipe.with_(**knobs), run, num_workers=0, device="cpu")
    shipped = load_bundle(run / BUNDLE).model.state_dict()
    average = torch.load(run / "more_0001.pth", weights_only=True)["average_weights"]["average"]
    assert all(torch.equal(shipped[name], tensor) for name, tensor in average.items())
    raw = torch.load(run / "last_0001.pth", weights_only=False)["model"]
    assert not torch.equal(shipped["head.2.weight"], raw["head.2.weight"])
