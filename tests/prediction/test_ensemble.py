"""Several models as one: they predict, submit, are saved and exported as a single model is."""

from __future__ import annotations

import copy
import time
from contextlib import nullcontext
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from test_predictor import CLASSES, make_bundle, write

from birdfast.errors import BirdfastError
from birdfast.prediction.ensemble import Ensemble, load_predictor
from birdfast.prediction.postprocess import PostProcess
from birdfast.prediction.predictor import Predictor
from birdfast.prediction.run import predict_into
from birdfast.scoring.bundle import load_bundle, save_bundle
from birdfast.scoring.bundle_ensemble import load_ensemble, save_ensemble
from birdfast.scoring.engine import ONE_LANE, Lanes
from birdfast.scoring.engines.ensemble import mean_rank
from birdfast.scoring.engines.load import load_engine
from birdfast.scoring.export import export_model
from birdfast.scoring.graph import Shipped, as_shippable

ORDER = [2, 0, 3, 1]


@pytest.fixture(scope="module")
def bundle(tiny_recipe):
    made = make_bundle(tiny_recipe.with_(duration=2.0))
    made.extra = {"calibration": {"of": "one model"}, "train_counts": {"banana": 3}}
    return made


@pytest.fixture(scope="module")
def other(bundle):
    """Another model, another activation, its classes in another order."""
    made = make_bundle(bundle.recipe.with_(activation="sigmoid"))
    made.model.head[-1].weight.data = made.model.head[-1].weight.data[ORDER] * 0.7
    made.model.head[-1].bias.data = made.model.head[-1].bias.data[ORDER] + 1
    made.classes = [CLASSES[i] for i in ORDER]
    return made


@pytest.fixture(scope="module")
def files(bundle, other, tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    return [save_bundle(bundle, folder / "first.safetensors"), save_bundle(other, folder / "second.safetensors")]


@pytest.fixture
def folder(tmp_path):
    for i, seconds in enumerate((7, 4, 12.3)):
        write(tmp_path / "sounds" / f"{i}.wav", seconds, i)
    return tmp_path / "sounds"


def alone(files, folder, **how) -> list[pd.DataFrame]:
    return [Predictor(file, device="cpu").predict(folder, progress=False, **how)[CLASSES] for file in files]


def close(table: pd.DataFrame, expected: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(table, expected, atol=1e-5, rtol=0, check_dtype=False)


def test_the_mean_and_the_weighted_mean(files, bundle, other, folder):
    a, b = alone(files, folder)
    assert np.abs(a - b).to_numpy().max() > 0.1
    for models in (files, [bundle, other], (bundle, files[1])):
        close(Predictor(models, device="cpu").predict(folder, progress=False), (a + b) / 2)
    weighted = Ensemble(files, weights=[3, 1], device="cpu")
    close(weighted.predict(folder, progress=False), 0.75 * a + 0.25 * b)
    assert weighted.classes == CLASSES and weighted.extra["train_counts"] == {"banana": 3}
    assert "calibration" not in weighted.extra, "the first one's does not suit the mean"
    assert "ensemble of 2 (PyTorch) on cpu" in repr(weighted)


def test_a_member_that_takes_one_batch_at_once_is_waited_for(files, folder):
    """Batches are run at once, also where one of the members cannot."""
    engine = Ensemble(files, batch_size=1, device="cpu")
    first, running, most = engine.engine.members[0], [], []

    class Alone:
        name, device, classes, recipe, extra = "alone", "cpu", first.classes, first.recipe, first.extra

        def lanes(self):
            return nullcontext(ONE_LANE)

        def run(self, batch):
            running.append(1)
            most.append(len(running))
            time.sleep(0.01)
            scores = first.run(batch)
            running.pop()
            return scores

    class Many(Alone):
        def lanes(self):
            return nullcontext(Lanes(3))

        def run(self, batch):
            return first.run(batch)

    expected = engine.predict(folder, progress=False)
    engine.engine.members[0] = Alone()
    close(engine.predict(folder, progress=False), expected)
    assert max(most) == 1
    engine.engine.members[1] = Many()
    engine.engine._columns[1] = engine.engine._columns[0]
    close(engine.predict(folder, progress=False), Predictor(files[0], device="cpu").predict(folder, progress=False))
    assert max(most) == 1, "three lanes, one of them in the member at a time"


def test_ranks_are_of_all_windows_by_class(files, folder):
    a, b = alone(files, folder)
    expected = 0.8 * a.rank(pct=True) + 0.2 * b.rank(pct=True)
    ranked = Ensemble(files, blend="rank", weights=[0.8, 0.2], batch_size=3, device="cpu")
    table = ranked.predict(folder, progress=False)
    close(table, expected)
    a, b = alone(files, folder, post=PostProcess(file_top=1))
    post = ranked.predict(folder, post=PostProcess(file_top=1), progress=False)
    close(post, 0.8 * a.rank(pct=True) + 0.2 * b.rank(pct=True))
    assert np.abs(post - table).to_numpy().max() > 0.01
    (folder / "bad.wav").write_bytes(b"x")
    close(ranked.predict(folder, progress=False), expected)


def test_ranks_share_places_and_leave_out_what_is_missing():
    scores = np.array([[0.1], [0.5], [np.nan], [0.5]], np.float32)
    np.testing.assert_allclose(mean_rank([scores], [1.0])[:, 0], [1 / 3, 5 / 6, np.nan, 5 / 6])


def test_jobs_of_several_models(files, folder, tmp_path):
    a, b = alone(files, folder)
    options = {"batch_size": 4, "progress": False, "device": "cpu"}
    out = tmp_path / "out"
    close(pd.concat(predict_into(out, files, folder, **options).tables()), (a + b) / 2)
    before = {file.name for file in (out / "scores").iterdir()}
    weighted = predict_into(out, files, folder, weights=[1, 3], **options)
    close(pd.concat(weighted.tables()), (a + 3 * b) / 4)
    assert not before & {file.name for file in (out / "scores").iterdir()}, "other weights, other scores"
    predict_into(out, files, folder, weights=[2, 2], **options)
    assert {file.name for file in (out / "scores").iterdir()} == before, "weights that are alike are none"
    with pytest.raises(BirdfastError, match="ranks compare the windows of all recordings"):
        predict_into(out, files, folder, blend="rank", **options)


def test_a_submission_by_rank(files, tmp_path):
    write(tmp_path / "test" / "soundscape_1.ogg", 20, 1)
    ids = [f"soundscape_1_{end}" for end in (5, 10, 15, 20)]
    pd.DataFrame({"row_id": ids, **dict.fromkeys(CLASSES, 0.1)}).to_csv(tmp_path / "sample.csv", index=False)
    where = (tmp_path / "test", tmp_path / "sample.csv", tmp_path / "out.csv")
    ranked = Ensemble(files, blend="rank", device="cpu").submission(*where, progress=False)[CLASSES]
    a, b = (Predictor(file, device="cpu").submission(*where, progress=False)[CLASSES] for file in files)
    close(ranked, (a.rank(pct=True) + b.rank(pct=True)) / 2)


def test_one_file_of_several_models(files, bundle, folder, tmp_path):
    a, b = alone(files, folder)
    path = save_ensemble(files, tmp_path / "both.safetensors", weights=[1, 3])
    predictor = Predictor(path, device="cpu")
    close(predictor.predict(folder, progress=False), (a + 3 * b) / 4)
    assert predictor.extra == {"train_counts": {"banana": 3}}
    loaded = load_ensemble(path)
    assert [m.recipe for m in loaded.members] == [load_bundle(file).recipe for file in files]
    again = save_ensemble(loaded, tmp_path / "again.safetensors")
    close(Predictor(again, device="cpu").predict(folder, progress=False), (a + 3 * b) / 4)
    with pytest.raises(BirdfastError, match="holds an ensemble, not one model"):
        load_bundle(path)
    with pytest.raises(BirdfastError, match="is no ensemble"):
        load_ensemble(files[0])
    content = bytearray(path.read_bytes())
    content[-100] ^= 1
    path.write_bytes(content)
    with pytest.raises(BirdfastError, match="is damaged"):
        load_engine(path)


@pytest.mark.parametrize("suffix", [".onnx", ".xml"])
def test_one_graph_of_several_models(files, folder, tmp_path, suffix):
    pytest.importorskip("onnx", reason="export needs onnx: pip install 'birdfast[onnx]'")
    pytest.importorskip({".onnx": "onnxruntime", ".xml": "openvino"}[suffix])
    a, b = alone(files, folder)
    written = export_model(files, tmp_path / f"both{suffix}", weights=[1, 3])
    assert written.worst.size < 1e-4
    close(Predictor(written.path).predict(folder, progress=False), (a + 3 * b) / 4)
    saved = save_ensemble(files, tmp_path / "both.safetensors", weights=[1, 3])
    again = export_model(saved, tmp_path / f"again{suffix}").path
    close(Predictor(again).predict(folder, progress=False), (a + 3 * b) / 4)


def test_the_object_is_saved_and_shared_as_a_model(files, bundle, other, folder, tmp_path):
    a, b = alone(files, folder)
    for models in (files, [bundle, other], [bundle, files[1]]):
        both = Ensemble(models, weights=[1, 3], device="cpu")
        assert (both.models, both.blend, both.weights) == (models, "mean", (0.25, 0.75))
        saved = save_ensemble(both, tmp_path / "both.safetensors")
        close(Predictor(saved, device="cpu").predict(folder, progress=False), (a + 3 * b) / 4)
        close(Predictor(both).predict(folder, progress=False), (a + 3 * b) / 4)
    nested = Ensemble([both, files[0]], device="cpu").predict(folder, progress=False)
    close(nested, (5 * a + 3 * b) / 8)
    one = save_ensemble(Ensemble(files[1:], device="cpu"), tmp_path / "one.safetensors")
    close(Predictor(one, device="cpu").predict(folder, progress=False)[CLASSES], b)
    ranked = Ensemble(files, blend="rank", device="cpu")
    close(Predictor(ranked).predict(folder, progress=False), ranked.predict(folder, progress=False))


@pytest.mark.parametrize("suffix", [".onnx", ".xml"])
def test_the_object_is_exported_as_its_models_are(files, folder, tmp_path, suffix):
    pytest.importorskip("onnx", reason="export needs onnx: pip install 'birdfast[onnx]'")
    pytest.importorskip({".onnx": "onnxruntime", ".xml": "openvino"}[suffix])
    both = Ensemble(files, weights=[1, 3], device="cpu")
    written = export_model(both, tmp_path / f"both{suffix}")
    close(Predictor(written.path).predict(folder, progress=False), both.predict(folder, progress=False))


def test_a_learner_that_trains_on_does_not_change_an_ensemble_of_it(bundle, folder, tmp_path):
    net = copy.deepcopy(bundle.model)
    learn = SimpleNamespace(model=net, recipe=bundle.recipe, dls=SimpleNamespace(vocab=CLASSES))
    both = Ensemble([learn, bundle], device="cpu")
    before = both.predict(folder, progress=False)
    net.head[-1].weight.data *= -1
    saved = save_ensemble(both, tmp_path / "both.safetensors")
    close(Predictor(saved, device="cpu").predict(folder, progress=False), before)


def test_jobs_of_the_object(files, bundle, folder, tmp_path):
    both = Ensemble(files, weights=[1, 3], device="cpu")
    result = predict_into(tmp_path / "out", both, folder, progress=False, device="cpu")
    close(pd.concat(result.tables()), both.predict(folder, progress=False))
    with pytest.raises(BirdfastError, match="a Bundle has no file"):
        predict_into(tmp_path / "out", Ensemble([bundle], device="cpu"), folder)


def test_what_the_object_cannot_be(files, bundle, folder, tmp_path):
    both, ranked = Ensemble(files, device="cpu"), Ensemble(files, blend="rank", device="cpu")
    out = tmp_path / "x.safetensors"
    for refused, message in (
        (lambda: save_ensemble(ranked, out), "ranks compare all windows"),
        (lambda: as_shippable(ranked), "ranks compare all windows"),
        (lambda: Ensemble([ranked, bundle]), "it blends by rank"),
        (lambda: save_ensemble(both, out, weights=[1, 2]), "has its weights already"),
        (lambda: as_shippable(bundle, weights=[1]), "weights are for several models"),
        (lambda: save_ensemble(bundle, out), "a Bundle is no ensemble"),
        (lambda: save_bundle(both, out), "write it with save_ensemble"),
        (lambda: save_ensemble([both, bundle], out), "name its members instead"),
        (lambda: as_shippable(Predictor(bundle, device="cpu")), "give the model that it was made of"),
        (lambda: load_predictor([both], weights=[1, 2]), "make another"),
        (lambda: load_predictor([bundle], weights=[1]), "this Bundle is the only one"),
        (lambda: Predictor(both, device="cuda"), "runs on cpu already"),
    ):
        with pytest.raises(BirdfastError, match=message):
            refused()
    assert not out.exists()


def test_like_spectrograms_are_made_once(bundle, other):
    assert len(Shipped(as_shippable([bundle, other])).logmels) == 1
    coarse = make_bundle(bundle.recipe.with_(n_mels=24))
    assert len(Shipped(as_shippable([bundle, other, coarse])).logmels) == 2


def test_what_does_not_go_together(bundle, other, files, tmp_path):
    wren = make_bundle(bundle.recipe)
    wren.classes = ["wren", *CLASSES[1:]]
    for together in (Ensemble, as_shippable, Predictor):
        with pytest.raises(BirdfastError, match="2 classes are not in both"):
            together([bundle, wren])
        with pytest.raises(BirdfastError, match=r"window 3.0, the first model's 2.0"):
            together([bundle, make_bundle(bundle.recipe.with_(duration=3.0))])
        with pytest.raises(BirdfastError, match="needs a model or more"):
            together([])
    with pytest.raises(BirdfastError, match="unknown blend 'median'"):
        Ensemble([bundle, other], blend="median")
    for weights, message in (([1], "1 weights were given for 2"), ([-1, 2], "0 or more"), ([0, 0], "not all 0")):
        with pytest.raises(BirdfastError, match=message):
            Ensemble([bundle, other], weights=weights)
    with pytest.raises(BirdfastError, match="are for several models"):
        load_predictor(files[:1], blend="rank")
    with pytest.raises(BirdfastError, match=r"name ends in \.safetensors"):
        save_ensemble(files, tmp_path / "both.bin")
