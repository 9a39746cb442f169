"""Models that birdfast 0.1 wrote: they load, and score as they did."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from birdfast.models import create_model
from birdfast.recipe.recipe import Recipe
from birdfast.scoring.bundle import load_bundle
from birdfast.scoring.engines.load import load_engine
from birdfast.spectrogram.logmel import LogMel

CLASSES = ["species0", "species1", "species2"]

# The description in a bundle that 0.1.0 wrote, every knob that it had.
RECIPE = {
    "name": "tiny", "sample_rate": 8000, "duration": 1.0, "window": 0.0, "pad": "repeat", "n_fft": 256, "win_length": 256,
    "hop_length": 128, "n_mels": 32, "fmin": 20.0, "fmax": 4000.0, "power": 2.0, "top_db": 80.0, "mel_scale": "slaney",
    "mel_norm": "slaney", "normalize": "standard", "task": "single", "secondary": "ignore", "secondary_weight": 0.5,
    "no_call": False, "activation": "softmax", "sampling_power": 0.5, "sampling_floor": 1, "sampling_cap": 1000000,
    "soundscape_share": 0.0, "soundscape_mix": 0.0, "soundscape_label_sum": 0.5, "soundscape_group": "site",
    "pseudo_mix": 0.0, "pseudo_how": "mix", "pseudo_power": 1.0, "pseudo_label_sum": 0.75, "time_masks": 2,
    "time_mask_width": 8, "freq_masks": 2, "freq_mask_width": 4, "mask_p": 0.5, "mixup_alpha": 0.4, "gain_db": 0.0,
    "filter_p": 0.0, "background": "", "background_p": 0.5, "background_snr_low": 3.0, "background_snr_high": 30.0,
    "wave_mix": 0.0, "wave_mix_alpha": 0.0, "wave_mix_labels": "union", "backbone": "test_efficientnet",
    "weights": "random", "pooling": "avg", "sed_frequency": "mean", "dropout": 0.2, "drop_path": 0.0, "loss": "auto",
    "label_smoothing": 0.1, "distill": "", "distill_kind": "cosine", "distill_weight": 1.0, "epochs": 1, "batch_size": 8,
    "lr": 0.005, "body_lr": 1.0, "schedule": "one_cycle", "warmup": 0.25, "weight_decay": 0.01, "ema": 0.0, "swa": 0.0,
    "seed": 0, "n_folds": 5, "fold": 0, "group": "author", "max_windows": 12, "max_bad": 0.05,
}  # fmt: skip
HEADER = {
    "format": 1, "classes": CLASSES, "recipe": RECIPE, "created": "2026-12-01T16:00:11+00:00", "extra": {},
    "versions": {"birdfast": "0.1.0", "torch": "2.14.1", "timm": "1.0.31"},
}  # fmt: skip


@pytest.fixture(scope="module")
def models():
    recipe = Recipe.from_dict(RECIPE)
    torch.manual_seed(0)
    return [create_model(recipe, len(CLASSES), weights="random").eval() for _ in range(2)]


@pytest.fixture
def sound():
    return np.random.default_rng(0).standard_normal((3, 8000)).astype(np.float32)


def scores(model, sound) -> np.ndarray:
    with torch.inference_mode():
        logits = model(LogMel.from_recipe(Recipe.from_dict(RECIPE))(torch.from_numpy(sound)[:, None]))
    return logits.softmax(dim=-1).numpy()


def test_a_bundle_of_0_1(models, sound, tmp_path):
    path = tmp_path / "old.safetensors"
    save_file(models[0].state_dict(), path, metadata={"birdfast": json.dumps(HEADER)})
    loaded = load_bundle(path)
    assert loaded.versions["birdfast"] == "0.1.0" and loaded.classes == CLASSES
    assert {name: loaded.recipe.to_dict()[name] for name in RECIPE} == RECIPE
    np.testing.assert_allclose(load_engine(path, device="cpu").run(sound), scores(models[0], sound), atol=1e-6)


def test_an_ensemble_of_0_1(models, sound, tmp_path):
    path = tmp_path / "old.safetensors"
    weights = {f"{i}.{name}": tensor for i, model in enumerate(models) for name, tensor in model.state_dict().items()}
    described = {"format": 1, "members": [json.dumps(HEADER)] * 2, "weights": [0.25, 0.75], "extra": {}}
    save_file(weights, path, metadata={"birdfast-ensemble": json.dumps(described)})
    wanted = 0.25 * scores(models[0], sound) + 0.75 * scores(models[1], sound)
    np.testing.assert_allclose(load_engine(path, device="cpu").run(sound), wanted, atol=1e-6)


def test_a_graph_of_0_1(exported, sound, tmp_path):
    """Its metadata as 0.1.0 wrote them, sealed; the graph itself is ONNX and nobody's version."""
    import onnx

    from birdfast.scoring.header import open_seal, seal

    model, path = onnx.load(str(exported[".onnx"])), tmp_path / "old.onnx"
    plain = {"classes": "\n".join(CLASSES), "sample_rate": "8000"}
    onnx.helper.set_model_props(model, {"birdfast": json.dumps(HEADER), "seal": open_seal(), **plain})
    onnx.save(model, str(path))
    seal(path)
    engine = load_engine(path)
    assert engine.classes == CLASSES and engine.recipe.to_dict()["n_mels"] == 32
    np.testing.assert_allclose(engine.run(sound), load_engine(exported[".onnx"]).run(sound), atol=1e-6)
