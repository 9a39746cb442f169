import pickle

import numpy as np
import pytest
from toy_models import CLASSES, N, expected, write_onnx, write_settings

from birdfast.embedders.embedder import check_hearing, logits_of
from birdfast.embedders.load import load_embedder
from birdfast.errors import BirdfastError


def sound(n):
    return np.random.default_rng(1).uniform(-1, 1, (n, N)).astype(np.float32)


@pytest.mark.parametrize("threads", [1, 3])
def test_both_formats_give_what_their_weights_say(model_file, weights, threads):
    embedder = load_embedder(model_file, threads=threads)
    waveforms = sound(11)
    embeddings, logits = expected(weights, waveforms)
    assert np.allclose(embedder.embed(waveforms), embeddings, atol=1e-5)
    assert np.allclose(embedder.logits(waveforms), logits, atol=1e-5)
    assert all(np.allclose(a, b, atol=1e-5) for a, b in zip(embedder.run(waveforms), (embeddings, logits)))
    assert (embedder.size, embedder.sample_rate, embedder.window, embedder.step) == (6, 8000, 0.5, 0.5)
    assert embedder.classes == tuple(CLASSES) and embedder.licence == "CC0" and len(embedder.sha256) == 64


def test_the_last_layer_is_read_and_makes_the_logits(model_file, weights):
    embedder = load_embedder(model_file)
    found, bias = embedder.last_layer()
    assert np.array_equal(found, weights[2]) and np.array_equal(bias, weights[3])
    waveforms = sound(3)
    assert np.allclose(logits_of(embedder, embedder.embed(waveforms)), embedder.logits(waveforms), atol=1e-5)


def test_a_product_and_a_sum_are_a_last_layer_too(tmp_path, weights):
    write_onnx(tmp_path / "toy.onnx", weights, head="MatMul")
    write_settings(tmp_path / "toy.onnx")
    found, bias = load_embedder(tmp_path / "toy.toml").last_layer()
    assert np.array_equal(found, weights[2]) and np.array_equal(bias, weights[3])


def test_pickled_it_is_loaded_again(model_file):
    embedder = load_embedder(model_file)
    again = pickle.loads(pickle.dumps(embedder))
    assert np.array_equal(again.embed(sound(2)), embedder.embed(sound(2)))


def test_without_logits_it_embeds_and_says_so(onnx_file, weights):
    write_settings(onnx_file, logits=None, labels=None)
    embedder = load_embedder(onnx_file)
    assert np.allclose(embedder.embed(sound(2)), expected(weights, sound(2))[0], atol=1e-5)
    assert embedder.classes == () and embedder.last_layer() is None
    with pytest.raises(BirdfastError, match="has no logits: name them"):
        embedder.logits(sound(2))
    with pytest.raises(BirdfastError, match="last layer of toy cannot be read"):
        logits_of(embedder, embedder.embed(sound(2)))


@pytest.mark.parametrize(
    ("other", "says"),
    [
        ({"embedding": "pol"}, "unknown output of toy.* 'pol'"),
        ({"window": 0.6}, "does not take windows of 4800 samples|4000"),
        ({"sample_rate": 8000.5}, "whole number of Hz, not 8000.5"),
        ({"window": -1}, "window in .* must be a number above 0, not -1"),
        ({"sample_rat": 8000}, "unknown setting in .* did you mean 'sample_rate'"),
        ({"labels": None}, "names one of logits and labels"),
        ({"labels": "none.txt"}, "no list of classes at"),
        ({"labels_header": True}, "names 2 classes, the output .* has 3 values"),
        ({"window": None}, "does not say window"),
        ({"file": "other.onnx"}, "no model at .*other.onnx"),
        ({"sha256": "ab" * 32}, "another file than toy.toml names"),
    ],
)
def test_settings_that_cannot_be(model_file, other, says):
    write_settings(model_file, **{"labels_header": False} | other)
    with pytest.raises(BirdfastError, match=says):
        load_embedder(model_file)


def test_output_that_is_no_row_of_values(onnx_file):
    write_settings(onnx_file, logits="embedding", embedding="label")
    with pytest.raises(BirdfastError, match="names 3 classes, the output 'embedding' has 6 values"):
        load_embedder(onnx_file)


@pytest.mark.parametrize("keep", [0, 40])
def test_damaged_files(model_file, keep):
    content = model_file.read_bytes()
    model_file.write_bytes(content[:keep] + b"x" * 50)
    with pytest.raises(BirdfastError, match=r"no (ONNX|TFLite) model, or a damaged one: bring the file again"):
        load_embedder(model_file)


def test_what_is_not_there(tmp_path, model_file):
    with pytest.raises(BirdfastError, match="no model at"):
        load_embedder(tmp_path / "gone.onnx")
    model_file.with_suffix(".toml").unlink()
    with pytest.raises(BirdfastError, match="no settings at .*toy.toml: write file, sample_rate, window, embedding"):
        load_embedder(model_file)
    with pytest.raises(BirdfastError, match="unknown embedder 'birdnett': did you mean 'birdnet'"):
        load_embedder("birdnett")


def test_another_version_than_asked_for(model_file):
    embedder = load_embedder(model_file)
    assert load_embedder(model_file, sha256=embedder.sha256).sha256 == embedder.sha256
    with pytest.raises(BirdfastError, match="is another file than the one asked for"):
        load_embedder(model_file, sha256="0" * 64)


def test_windows_of_another_length_and_no_numbers(model_file):
    embedder = load_embedder(model_file)
    with pytest.raises(BirdfastError, match=r"windows of 0.5 s at 8000 Hz, \(n, 4000\); it was given \(2, 4001\)"):
        embedder.embed(np.zeros((2, N + 1), np.float32))
    with pytest.raises(BirdfastError, match="NaN or Inf"):
        embedder.embed(np.full((1, N), np.nan, np.float32))
    with pytest.raises(BirdfastError, match="hears at a rate of 8000 Hz and no other: leave out 32000 Hz"):
        check_hearing(embedder, sample_rate=32_000)
    with pytest.raises(BirdfastError, match="window of 0.5 s"):
        check_hearing(embedder, window=5)


def test_settings_of_perch_are_shipped_for_a_file_that_is_brought(tmp_path):
    """Not Perch, which is on no index: a model that takes and gives what it does."""
    onnx = pytest.importorskip("onnx")
    from onnx import helper, numpy_helper

    zeros = numpy_helper.from_array(np.zeros((1, 1536), np.float32), "zeros")
    head = numpy_helper.from_array(np.ones((1536, 2), np.float32), "head")
    nodes = [
        helper.make_node("ReduceMean", ["inputs"], ["mean"], axes=[1], keepdims=1),
        helper.make_node("Add", ["mean", "zeros"], ["embedding"]),
        helper.make_node("MatMul", ["embedding", "head"], ["label"]),
    ]
    sizes = {"inputs": 160_000, "embedding": 1536, "label": 2}
    about = [helper.make_tensor_value_info(name, 1, ["n", size]) for name, size in sizes.items()]
    graph = helper.make_graph(nodes, "perch", about[:1], about[1:], [zeros, head])
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=9), tmp_path / "perch_v2.onnx"
    )
    (tmp_path / "labels.csv").write_text("inat2024_fsd50k\nTurdus merula\nParus major\n")
    embedder = load_embedder(tmp_path / "perch_v2.onnx")
    assert (embedder.sample_rate, embedder.window, embedder.size) == (32_000, 5.0, 1536)
    assert embedder.classes == ("Turdus merula", "Parus major")
    assert np.allclose(embedder.embed(np.full((2, 160_000), 0.5, np.float32)), 0.5)
