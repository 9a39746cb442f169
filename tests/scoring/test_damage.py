"""Damaged and hostile files are refused in a sentence, or load as what they were: never a crash, never another model."""

from __future__ import annotations

import json
import os
import shutil
import struct

import numpy as np
import pytest

from birdfast.errors import BirdfastError
from birdfast.scoring.engines.load import load_engine
from birdfast.scoring.header import seal

ROUNDS = 40  # of each kind of damage


def damages(content: bytes, rng: np.random.Generator):
    """Bits flipped anywhere and in the header, ends cut off, stretches doubled, zeroed and taken out."""
    for _ in range(ROUNDS):
        for within in (len(content), min(len(content), 4096)):
            flipped = bytearray(content)
            flipped[int(rng.integers(within))] ^= 1 << int(rng.integers(8))
            yield bytes(flipped)
        start, stop = sorted(rng.integers(0, len(content), 2).tolist())
        yield content[:start]
        yield content[:start] + content[stop:]
        yield content[:start] + bytes(stop - start) + content[stop:]
        yield content[:stop] + content[start:]


def lies(content: bytes):
    """Safetensors headers that promise what the file does not hold."""
    size = struct.unpack("<Q", content[:8])[0]
    header = json.loads(content[8 : 8 + size])
    name = next(key for key in header if key != "__metadata__")
    for changes in (
        {"data_offsets": [0, 2**40]},
        {"data_offsets": [-4, 0]},
        {"data_offsets": [8, 4]},
        {"shape": [2**40, 2**40]},
        {"shape": [-1]},
        {"dtype": "F128"},
        {"dtype": "I64"},
    ):
        told = json.dumps({**header, name: {**header[name], **changes}}).encode()
        yield struct.pack("<Q", len(told)) + told + content[8 + size :]
    for number in (0, 1, size - 1, size + 1, 2**31, 2**63, 2**64 - 1):
        yield struct.pack("<Q", number) + content[8:]


def check(path, sound: np.ndarray, wanted: np.ndarray) -> bool:
    """Whether the file is refused; if it is not, it must be what it was."""
    try:
        engine = load_engine(path)
    except BirdfastError as error:
        assert str(path.with_suffix("")) in str(error)
        return True
    np.testing.assert_array_equal(engine.run(sound), wanted)
    return False


@pytest.fixture
def sound(small_bundle):
    return np.random.default_rng(0).standard_normal((1, small_bundle.recipe.n_samples)).astype(np.float32)


@pytest.mark.parametrize("suffix", [".safetensors", ".onnx", ".xml", ".bin"])
def test_damaged_files_are_refused(exported, tmp_path, sound, suffix):
    loaded = ".xml" if suffix == ".bin" else suffix
    if loaded not in exported:
        pytest.skip("OpenVINO is not installed: pip install 'birdfast[openvino]'")
    path = tmp_path / f"birds{loaded}"
    for whole in exported[loaded].parent.glob("birds.[xb]*" if loaded == ".xml" else f"birds{loaded}"):
        shutil.copy(whole, tmp_path / whole.name)
    wanted = load_engine(path).run(sound)
    victim = path.with_suffix(suffix)
    content = victim.read_bytes()
    cases = [*damages(content, np.random.default_rng(1)), *(lies(content) if suffix == ".safetensors" else [])]
    refused = 0
    for case in cases:
        victim.write_bytes(case)
        refused += check(path, sound, wanted)
    assert refused >= len(cases) - 10  # a flipped bit of the seal itself leaves the model what it was


def test_a_forged_graph_is_a_sentence_too(exported, tmp_path):
    """Sealed anew, so that it reaches the runtime."""
    for suffix in set(exported) & {".onnx", ".xml"}:
        path = tmp_path / f"forged{suffix}"
        content = exported[suffix].read_bytes()
        at = content.index(b"birdfast-sha256:") + 16
        opened = content[:at] + b"0" * 64 + content[at + 64 :]
        files = [path]
        if suffix == ".xml":
            files.append(path.with_suffix(".bin"))
            files[1].write_bytes(exported[suffix].with_suffix(".bin").read_bytes()[:1000])
        path.write_bytes(opened.replace(b"Conv", b"Gonv"))
        seal(*files)
        with pytest.raises(BirdfastError, match="cannot load .*: export it again"):
            load_engine(path)


def test_a_graph_of_another_maker_is_pointed_to_export(exported, tmp_path):
    import onnx

    model = onnx.load(str(exported[".onnx"]))
    del model.metadata_props[:]
    onnx.save(model, str(tmp_path / "other.onnx"))
    with pytest.raises(BirdfastError, match="not written by birdfast export"):
        load_engine(tmp_path / "other.onnx")


@pytest.mark.parametrize("knob", [{"n_fft": 2**40, "win_length": 1}, {"n_mels": 10**9}, {"duration": 1e12}])
def test_a_recipe_that_would_fill_the_memory_is_refused(exported, tmp_path, knob):
    content = exported[".safetensors"].read_bytes()
    size = struct.unpack("<Q", content[:8])[0]
    header = json.loads(content[8 : 8 + size])
    mine = json.loads(header["__metadata__"]["birdfast"])
    mine["recipe"] |= knob
    header["__metadata__"] = {"birdfast": json.dumps(mine)}
    told = json.dumps(header).encode()
    (tmp_path / "greedy.safetensors").write_bytes(struct.pack("<Q", len(told)) + told + content[8 + size :])
    with pytest.raises(BirdfastError, match=f"{next(iter(knob))} must not exceed"):
        load_engine(tmp_path / "greedy.safetensors")


def test_nothing_of_a_file_is_run(exported, tmp_path, monkeypatch):
    """A pickle under a bundle's name is told by its first bytes, and never loaded."""
    ran = tmp_path / "ran"

    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(ran),)

    import pickle

    import torch

    (tmp_path / "a.safetensors").write_bytes(pickle.dumps(Evil()))
    torch.save(Evil(), tmp_path / "b.safetensors")
    for name in "ab":
        with pytest.raises(BirdfastError, match="is a pickle"):
            load_engine(tmp_path / f"{name}.safetensors")
    assert not ran.exists()
