"""Bundles: what goes in comes out, and nothing else gets in."""

import copy
import json
import pickle
import struct
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file, save_file

from birdfast.errors import BirdfastError
from birdfast.models import create_model
from birdfast.scoring.bundle import Bundle, load_bundle, save_bundle
from birdfast.spectrogram.logmel import LogMel

CLASSES = ["1491113", "amecro", "zeledé"]


@pytest.fixture(scope="module")
def bundle(tiny_recipe) -> Bundle:
    torch.manual_seed(0)
    model = create_model(tiny_recipe, len(CLASSES), weights="random").eval()
    return Bundle(model, LogMel.from_recipe(tiny_recipe), CLASSES, tiny_recipe, extra={"note": "tést"})


@pytest.fixture(scope="module")
def saved(bundle, tmp_path_factory):
    return save_bundle(bundle, tmp_path_factory.mktemp("bundle") / "birds.safetensors")


def tampered(saved, path, **changes):
    """The saved bundle with other entries in its description; None takes one out."""
    from safetensors import safe_open

    with safe_open(saved, framework="pt") as file:
        header = json.loads(file.metadata()["birdfast"])
    header = {name: value for name, value in {**header, **changes}.items() if value is not None}
    save_file(load_file(saved), path, metadata={"birdfast": json.dumps(header)})
    return path


def test_round_trip_is_exact(bundle, saved):
    loaded = load_bundle(saved)
    assert loaded.classes == CLASSES and loaded.recipe == bundle.recipe
    assert set(loaded.versions) == {"birdfast", "torch", "timm"}
    assert loaded.extra["note"] == "tést" and loaded.extra["created"]
    assert not loaded.model.training
    weights, original = loaded.model.state_dict(), bundle.model.state_dict()
    assert weights.keys() == original.keys()
    assert all(torch.equal(weights[name], original[name]) for name in original)
    waveform = torch.randn(2, 1, bundle.recipe.n_samples, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        assert torch.equal(loaded.model(loaded.logmel(waveform)), bundle.model(bundle.logmel(waveform)))


def test_a_learner_is_saved_by_what_it_carries(bundle, tmp_path):
    model = copy.deepcopy(bundle.model).to(memory_format=torch.channels_last).train()
    learn = SimpleNamespace(model=model, recipe=bundle.recipe, dls=SimpleNamespace(vocab=tuple(CLASSES)))
    random = torch.get_rng_state()
    loaded = load_bundle(save_bundle(learn, tmp_path / "new" / "learner.safetensors"))
    assert loaded.classes == CLASSES
    assert torch.equal(random, torch.get_rng_state()), "saving amid a training must not change its course"
    assert model.training, "saving must not switch a learner to eval"


def test_a_failed_save_leaves_the_old_file(bundle, saved, tmp_path, monkeypatch):
    path = tmp_path / "birds.safetensors"
    path.write_bytes(saved.read_bytes())

    def full_disk(tensors, filename, metadata):
        filename.write_bytes(b"half")
        raise OSError("no space left on device")

    monkeypatch.setattr("safetensors.torch.save_file", full_disk)
    with pytest.raises(OSError, match="no space"):
        save_bundle(bundle, path)
    assert path.read_bytes() == saved.read_bytes() and list(tmp_path.iterdir()) == [path]


def test_saving_refuses_what_loading_could_not_read(bundle, tmp_path):
    path = tmp_path / "x.safetensors"
    with pytest.raises(BirdfastError, match=r"x\.safetensors, not .*x\.pkl"):
        save_bundle(bundle, tmp_path / "x.pkl")
    with pytest.raises(BirdfastError, match="neither a bundle's path"):
        save_bundle(SimpleNamespace(model=bundle.model), path)
    with pytest.raises(BirdfastError, match="with 2 classes that its recipe"):
        save_bundle(Bundle(bundle.model, bundle.logmel, CLASSES[:2], bundle.recipe), path)
    with pytest.raises(BirdfastError, match="distinct names"):
        save_bundle(Bundle(bundle.model, bundle.logmel, ["a", "a", "b"], bundle.recipe), path)
    diverged = copy.deepcopy(bundle.model)
    next(diverged.parameters()).data.fill_(torch.nan)
    with pytest.raises(BirdfastError, match="diverged"):
        save_bundle(Bundle(diverged, bundle.logmel, CLASSES, bundle.recipe), path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a birdfast bundle"),
        (bytes(range(256)) * 40, "not a birdfast bundle"),
        (struct.pack("<Q", 2**62) + b"{" * 100, "not a birdfast bundle"),
        (struct.pack("<Q", 90_000_000) + b"{" * 100, "damaged or cut short"),
        (struct.pack("<Q", 20) + b'{"a": {"dtype": "F32', "damaged or cut short"),
        (pickle.dumps({"model": 1}), "load_learner"),
        (b"PK\x03\x04" + bytes(100), "load_learner"),
    ],
)
def test_what_is_no_bundle_is_named(tmp_path, content, message):
    path = tmp_path / "birds.safetensors"
    path.write_bytes(content)
    with pytest.raises(BirdfastError, match=message):
        load_bundle(path)


def test_a_fastai_export_is_pointed_to_load_learner(tmp_path):
    torch.save({"model": torch.zeros(2)}, tmp_path / "birds.pkl")
    with pytest.raises(BirdfastError, match=r"load_learner.*save_bundle\(learn, 'birds.safetensors'\)"):
        load_bundle(tmp_path / "birds.pkl")


def test_missing_file_and_folder(saved):
    with pytest.raises(BirdfastError, match="no bundle at"):
        load_bundle(saved.parent / "none.safetensors")
    with pytest.raises(BirdfastError, match=r"is a folder.*birds\.safetensors"):
        load_bundle(saved.parent)


@pytest.mark.parametrize("keep", [0.1, 0.5, 0.999])
def test_a_truncated_bundle_is_damaged(saved, tmp_path, keep):
    path = tmp_path / "cut.safetensors"
    content = saved.read_bytes()
    path.write_bytes(content[: int(len(content) * keep)])
    with pytest.raises(BirdfastError, match="damaged or cut short"):
        load_bundle(path)


def test_other_safetensors_are_no_bundle(tmp_path):
    save_file({"x": torch.zeros(2)}, tmp_path / "x.safetensors")
    with pytest.raises(BirdfastError, match="is not a birdfast bundle"):
        load_bundle(tmp_path / "x.safetensors")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": 2, "versions": {"birdfast": "9.1"}}, "format 2 .*written by birdfast 9.1; upgrade"),
        ({"format": "one"}, "damaged"),
        ({"format": None}, "damaged"),
        ({"recipe": None}, "damaged"),
        ({"recipe": ["a"]}, "damaged"),
        ({"classes": []}, "classes cannot be read"),
        ({"classes": [1, 2, 3]}, "classes cannot be read"),
        ({"classes": ["a", "b"]}, "weights in .* do not fit"),
        ({"recipe": {"backbone": "resnet18"}}, "weights in .* do not fit"),
        ({"recipe": {"backbone": "efficientnet_z9"}, "versions": {"birdfast": "9.1"}}, "unknown backbone"),
        ({"recipe": {"wavelets": 3}, "versions": {"birdfast": "9.1"}}, "wavelets.*birdfast 9.1; upgrade"),
    ],
)
def test_a_tampered_description_is_a_sentence(saved, tmp_path, changes, message):
    with pytest.raises(BirdfastError, match=message):
        load_bundle(tampered(saved, tmp_path / "t.safetensors", **changes))


def test_a_huge_backbone_is_refused_before_memory_is_taken(bundle, saved, tmp_path):
    """Of 3 GB of weights, promised by a file of some kB."""
    recipe = bundle.recipe.with_(backbone="convnext_xxlarge").to_dict()
    path = tampered(saved, tmp_path / "t.safetensors", recipe=recipe)
    script = (
        "import resource, birdfast.models\n"
        "from birdfast.errors import BirdfastError\n"
        "from birdfast.scoring.bundle import load_bundle\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        f"try: load_bundle({str(path)!r})\n"
        "except BirdfastError as error: assert 'do not fit the convnext_xxlarge' in str(error), error\n"
        "else: raise AssertionError('loaded')\n"
        "print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1e3)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 500, "MB"


def test_loading_needs_neither_fastai_nor_pickle(saved):
    script = (
        "import sys, pickle, birdfast.models\n"
        "from birdfast.scoring.bundle import load_bundle\n"
        "def never(*args, **kwargs): raise AssertionError('unpickled')\n"
        "pickle.load = pickle.loads = pickle.Unpickler = never\n"
        f"assert load_bundle({str(saved)!r}).classes == {CLASSES!r}\n"
        "assert 'fastai' not in sys.modules and 'birdfast.training' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
