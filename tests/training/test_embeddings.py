"""A head on a frozen embedder, in the same Learner, bundle and Predictor as any model."""

import shutil
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from toy_models import CLASSES, RATE, SIZE, N, write_onnx, write_settings

from birdfast import Predictor, bird_dls, bird_learner, export_model, load_bundle, save_bundle
from birdfast.errors import BirdfastError
from birdfast.models import embedding
from birdfast.recipe.presets import RECIPES
from birdfast.training.embeddings import EmbeddingTensor, ReadEmbeddings, cache_embeddings


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    """An embedder of windows of 0.5 s, as the TOML of an ONNX file."""
    rng = np.random.default_rng(0)
    shapes = (SIZE, N), (SIZE,), (len(CLASSES), SIZE), (len(CLASSES),)
    path = tmp_path_factory.mktemp("toy") / "toy.onnx"
    write_onnx(path, [rng.normal(scale=0.1, size=shape).astype(np.float32) for shape in shapes])
    write_settings(path)
    return path.with_suffix(".toml")


@pytest.fixture(scope="module")
def birds(tiny_birds, tmp_path_factory):
    """The tiny birds under names of which the toy knows two."""
    root = tmp_path_factory.mktemp("named")
    for folder, name in zip(sorted(tiny_birds.iterdir()), ["Turdus merula", "Parus major", "Pica pica"]):
        shutil.copytree(folder, root / name)
    return root


@pytest.fixture(scope="module")
def recipe(toy):
    return RECIPES["birdnet"].with_(
        backbone=str(toy),
        sample_rate=RATE,
        fmax=4000.0,
        duration=1.5,
        window=0.5,
        embed_step=0.25,
        batch_size=8,
        epochs=3,
    )


@pytest.fixture(scope="module")
def learn(birds, recipe):
    learn = bird_learner(bird_dls(birds, recipe))
    with learn.no_bar(), learn.no_logging():
        learn.fit_recipe()
    return learn


def reader_of(dls):
    return next(t for t in dls.after_item.fs if isinstance(t, ReadEmbeddings))


def test_items_are_embeddings_of_windows(birds, recipe):
    dls = bird_dls(birds, recipe)
    x, y = dls.one_batch()
    assert isinstance(x, EmbeddingTensor) and x.shape == (8, 5, SIZE) and not x.isnan().any() and y.shape == (8, 3)
    valid = dls.valid.one_batch()[0]
    assert valid[0, :1].isnan().all()  # the first window begins before the recording does, and holds nothing of it


def test_a_head_begins_as_the_embedder_itself(birds, toy, recipe, capsys):
    learn = bird_learner(bird_dls(birds, recipe.with_(join="mean")))
    assert "knows 2 of 3 species" in capsys.readouterr().err
    sound = torch.randn(4, 1, N) * 0.1
    net = torch.nn.Sequential(embedding.EmbedWindows(str(toy)), learn.model.eval())
    own = embedding.shared_embedder(str(toy)).logits(sound[:, 0].numpy())
    got = net(sound).detach().numpy()
    columns = [list(learn.dls.vocab).index(name) for name in CLASSES[:2]]
    np.testing.assert_allclose(got[:, columns], own[:, :2], atol=1e-4)
    assert not got[:, list(learn.dls.vocab).index("Pica pica")].any()


def test_it_learns(learn):
    first = bird_learner(learn.dls)
    with learn.no_bar(), learn.no_logging(), first.no_bar(), first.no_logging():
        assert learn.scores()["valid_loss"] < first.scores()["valid_loss"]


def test_learner_bundle_pickle_and_a_fresh_process_agree(learn, birds, tmp_path):
    path = save_bundle(learn, tmp_path / "head.safetensors")
    learn.path = tmp_path
    learn.export("head.pkl")
    sound = str(birds / "Pica pica" / "0.wav")
    wanted = learn.probabilities(sound)
    code = (
        "import sys; from birdfast import Predictor; from fastai.learner import load_learner\n"
        "a = Predictor(sys.argv[1]).predict(sys.argv[3], progress=False); a.reset_index().to_csv(sys.argv[4] + '/a.csv')\n"
        "b = load_learner(sys.argv[2]).probabilities(sys.argv[3]); b.reset_index().to_csv(sys.argv[4] + '/b.csv')\n"
    )
    command = [sys.executable, "-c", code, str(path), str(tmp_path / "head.pkl"), sound, str(tmp_path)]
    subprocess.run(command, check=True, capture_output=True)
    for name in "ab":
        found = pd.read_csv(tmp_path / f"{name}.csv")[learn.classes]
        np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_another_file_than_the_heads_own_is_refused(learn, toy, tmp_path):
    path = save_bundle(learn, tmp_path / "head.safetensors")
    bundle = load_bundle(path)
    assert bundle.extra["embedder"]["sha256"] == embedding.shared_embedder(str(toy)).sha256
    bundle.extra["embedder"] = {"name": "toy", "sha256": "0" * 64}
    save_bundle(bundle, path)
    with pytest.raises(BirdfastError, match="SHA-256"):
        Predictor(path)


def test_no_graph_holds_an_embedder(learn, tmp_path):
    with pytest.raises(BirdfastError, match="bundle"):
        export_model(learn, tmp_path / "head.onnx")


def test_held_it_stays_nearer_to_its_start(birds, recipe):
    def distance(**knobs):
        learn = bird_learner(bird_dls(birds, recipe.with_(**knobs)))
        before = learn.model.linear.weight.detach().clone()
        with learn.no_bar(), learn.no_logging():
            learn.fit_recipe()
        return float((learn.model.linear.weight.detach() - before).norm())

    assert distance(hold=0.5) < 0.5 * distance()


def test_a_second_training_embeds_nothing(birds, recipe, tmp_path, monkeypatch):
    bird_dls(birds, recipe, cache="embedding", cache_dir=tmp_path / "cache")
    monkeypatch.setattr(embedding.EmbedWindows, "embed", lambda *_: pytest.fail("embedded again"))
    x, _ = bird_dls(birds, recipe, cache="embedding", cache_dir=tmp_path / "cache").one_batch()
    assert x.shape == (8, 5, SIZE)


def test_views_differ_repeat_and_are_for_training_alone(birds, recipe, tmp_path):
    viewed = recipe.with_(views=2, gain_db=12.0, filter_p=1.0)
    dls = bird_dls(birds, viewed)
    stores, again = reader_of(dls).store, reader_of(bird_dls(birds, viewed)).store
    path = next(iter(stores[1].index))
    clean, one, two = (store.rows(store.get(path), 2, 6) for store in stores)
    assert not np.allclose(clean, one) and not np.allclose(one, two)
    np.testing.assert_array_equal(one, again[1].rows(again[1].get(path), 2, 6))
    valid = set(dls.valid.items["path"])
    assert valid.isdisjoint(stores[1].index) and valid <= set(stores[0].index)


def test_mixup_lr_find_and_knobs_work_as_ever(birds, recipe):
    learn = bird_learner(
        bird_dls(birds, recipe.with_(mixup_alpha=0.4, label_smoothing=0.05, hidden=8, join="attention"))
    )
    with learn.no_bar(), learn.no_logging():
        found = learn.lr_find(num_it=8, show_plot=False)
        learn.fit_one_cycle(1, 1.0)
    assert np.isfinite(found.edge)


def test_show_batch_draws_the_sound_behind_the_embeddings(learn):
    import matplotlib.pyplot as plt

    axes = learn.dls.show_batch(max_n=2)
    assert len(axes) == 2 and all(ax.images and ax.get_title() in learn.dls.vocab for ax in axes)
    plt.close("all")


def test_the_cache_is_what_the_waveform_gives(birds, recipe):
    path = str(birds / "Parus major" / "3.wav")
    table = pd.DataFrame({"path": [path], "duration": [2.0]})
    store = cache_embeddings(table, recipe, progress=False)[0]
    front_end = embedding.EmbedWindows(recipe.backbone, step=recipe.embed_step)
    from birdfast import read_clip

    sound = torch.from_numpy(read_clip(path, start_time=0.5, duration=1.5, sample_rate=RATE))
    rows = store.rows(store.get(path), 1 + 2, 1 + 2 + 5)  # one window begins before the recording
    np.testing.assert_allclose(rows, front_end(sound), atol=1e-5)


@pytest.mark.parametrize(
    ("knobs", "says"),
    [
        ({"time_masks": 2}, "time_masks=0"),
        ({"sample_rate": 16_000}, "sample_rate=8000"),
        ({"duration": 0.25, "window": 0.0, "embed_step": 0.1}, "duration=0.5"),
        ({"views": 1}, "views=1"),
        ({"pad": "repeat"}, "pad='end'"),
    ],
)
def test_what_an_embedder_cannot_do_is_said_before_data_are_read(recipe, knobs, says):
    with pytest.raises(BirdfastError, match=says):
        bird_dls("nowhere", recipe.with_(**knobs))
