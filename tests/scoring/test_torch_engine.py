"""What the engine of PyTorch does for speed changes no score."""

import numpy as np
import pytest
import torch
from torch import nn

from birdfast.prediction.predictor import Predictor
from birdfast.scoring.engines.load import load_engine
from birdfast.scoring.engines.torch import TorchEngine, fold_batch_norm


def trained_net() -> nn.Sequential:
    """A convolution and a norm whose statistics are no identity."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU())
    for _ in range(10):
        net.train()(3 + 2 * torch.randn(8, 1, 9, 9))
    return net.eval()


def test_batch_norms_are_folded_into_convolutions():
    net, example = trained_net(), torch.randn(2, 1, 9, 9)
    folded = fold_batch_norm(net, example)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())
    assert torch.allclose(folded(example), net(example), atol=1e-5)
    assert isinstance(net[1], nn.BatchNorm2d)  # the model given is left as it was


def test_a_net_that_runs_in_another_order_is_left_alone():
    class Reversed(nn.Sequential):
        def forward(self, x):
            return self[0](self[1](self[2](x)))

    net = Reversed(nn.Conv2d(1, 1, 3, padding=1), nn.BatchNorm2d(1), nn.ReLU())
    net[1].running_mean.fill_(2.0)
    assert fold_batch_norm(net.eval(), torch.randn(2, 1, 9, 9)) is net


def test_the_engine_folds_all_of_an_efficientnet(small_bundle):
    engine = TorchEngine(small_bundle, device="cpu")
    assert not any(isinstance(module, nn.BatchNorm2d) for module in engine._net.modules())


def test_lanes_leave_the_threads_as_they_were(small_bundle, recording):
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        with load_engine(small_bundle, device="cpu").lanes() as lanes:
            assert lanes.n == 2
        Predictor(small_bundle, batch_size=1, device="cpu").predict(recording, progress=False)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("suffix", [".safetensors", ".onnx", ".xml"])
def test_lanes_change_no_score(exported, recording, suffix, monkeypatch):
    if suffix not in exported:
        pytest.skip("OpenVINO is not installed: pip install 'birdfast[openvino]'")
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    alone, many = (Predictor(exported[suffix], batch_size=n) for n in (100, 1))
    first, second = (p.predict(recording, step=0.25, progress=False) for p in (alone, many))
    assert first.index.equals(second.index)
    assert np.allclose(first, second, atol=1e-5)
