import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from fastai.callback.core import Callback
from fastai.learner import load_learner

from birdfast.audio.read import read_clip
from birdfast.errors import BirdfastError
from birdfast.training.dataloaders import bird_dls
from birdfast.training.distill import Distill, Teacher, load_teacher
from birdfast.training.learner import bird_learner
from birdfast.training.transforms import Clip, Cue, ReadClip

CLASSES = ["species0", "species1", "species2"]


@pytest.fixture
def files(tiny_birds):
    return sorted(map(str, tiny_birds.rglob("*.wav")))


@pytest.fixture
def embeddings(files, tmp_path):
    "An embedding a second that tells the species"
    rng = np.random.default_rng(0)
    base = rng.normal(size=(3, 12))
    paths = [file for file in files for _ in range(2)]
    values = np.stack([base[int(path.split("species")[1][0])] + 0.1 * rng.normal(size=12) for path in paths])
    out = tmp_path / "teacher.npz"
    np.savez(out, path=paths, start_time=np.tile([0.0, 1.0], len(files)), values=values)
    return out


def learner(source, recipe, **kwargs):
    return bird_learner(bird_dls(source, recipe, device="cpu"), **kwargs)


def weights(learn):
    return [t.clone() for t in learn.model.state_dict().values()]


def same(a, b):
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def test_the_nearest_window_speaks_if_it_is_near():
    teacher = Teacher(["x/a/1.ogg", "x/a/1.ogg", "x/b/1.ogg"], [0, 5, 0], [[1.0], [2.0], [3.0]], reach=5.0)
    assert teacher.says("elsewhere/a/1.ogg", 2.4) == 1
    assert teacher.says("elsewhere/a/1.ogg", 2.6) == 2
    assert teacher.says("elsewhere/b/1.ogg", 4.9) == 3
    assert np.isnan(teacher.says("elsewhere/b/1.ogg", 5.0)).all()
    assert np.isnan(teacher.says("elsewhere/c/1.ogg", 0.0)).all()


def test_the_teacher_is_asked_of_the_stretch_that_is_read(files):
    class Asked:
        unknown = np.full(1, np.nan, np.float32)

        def says(self, path, start):
            return np.array([start], np.float32)

    reader = ReadClip(8000, 0.5)
    reader.teacher = Asked()
    starts = set()
    for _ in range(4):
        audio, start = reader((Clip(files[0], 0.0, 2.0), Cue(files[0], 0.0, 2.0)), split_idx=0)
        wanted = read_clip(files[0], start_time=float(start), duration=0.5, sample_rate=8000)
        np.testing.assert_allclose(audio[0].numpy(), wanted, atol=1e-6)
        starts.add(float(start))
    assert len(starts) > 1
    assert reader((Clip(files[0], 0.0, 2.0), Cue(files[0], 0.0, 2.0)), split_idx=1)[1].isnan().all()


class Distances(Callback):
    "The distance from the teacher in each epoch"

    order = 5

    def before_fit(self):
        self.seen = []

    def after_loss(self):
        if self.training:
            with torch.no_grad():
                self.seen.append((self.epoch, float(self.learn.distill._distance(self.learn.distill._mixed()))))

    def mean(self, epoch):
        return np.mean([distance for e, distance in self.seen if e == epoch])


@pytest.mark.parametrize("alpha", [0.0, 0.4])
def test_the_model_comes_nearer_to_the_embeddings(tiny_birds, tiny_recipe, embeddings, alpha, capsys):
    recipe = tiny_recipe.with_(distill=str(embeddings), epochs=4, mixup_alpha=alpha, distill_weight=2.0)
    distances = Distances()
    learn = learner(tiny_birds, recipe)
    assert "training recordings (100%) have a teacher" in capsys.readouterr().err
    learn.fit_recipe(cbs=[distances])
    assert distances.mean(3) < 0.7 * distances.mean(0)
    away = learner(tiny_birds, recipe)
    away.distill.weight = 0.0
    other = Distances()
    away.fit_recipe(cbs=[other])
    assert distances.mean(3) < 0.8 * other.mean(3)
    assert not same(weights(learn), weights(away))


def test_clips_without_a_teacher_add_nothing(tiny_birds, tiny_recipe, files, tmp_path):
    far = tmp_path / "far.npz"
    np.savez(far, path=files, start_time=np.full(len(files), 100.0), values=np.ones((len(files), 4)))
    plain, told = (learner(tiny_birds, tiny_recipe.with_(distill=d, distill_weight=9.0)) for d in ("", str(far)))
    plain.fit_recipe()
    told.fit_recipe()
    assert same(weights(plain), weights(told))


@pytest.mark.parametrize("kind", ["kl", "bce"])
def test_probabilities_by_the_names_of_their_classes(tiny_birds, tiny_recipe, files, tmp_path, kind):
    wrong = {"species0": "species1", "species1": "species2", "species2": "species0"}  # and the model follows
    table = pd.DataFrame({"path": files, "start_time": 0.5, "end_time": 1.5})
    for name in reversed(CLASSES):
        table[name] = [0.98 if wrong[file.split("/")[-2]] == name else 0.01 for file in files]
    table.to_parquet(tmp_path / "t.parquet")
    recipe = tiny_recipe.with_(distill=str(tmp_path / "t.parquet"), distill_kind=kind, distill_weight=40.0, epochs=10,
                               mixup_alpha=0.0, time_masks=0, freq_masks=0, lr=0.01,
                               activation="sigmoid" if kind == "bce" else "softmax")  # fmt: skip
    learn = learner(tiny_birds, recipe)
    assert (learn.distill.kind, learn.distill.weight, learn.distill.projection) == (kind, 40.0, None)
    learn.fit_recipe()
    targets, probabilities = learn.recording_scores()
    assert (probabilities.argmax(1) == (targets + 1) % 3).mean() > 0.8


class Mixed(Callback):
    "What is said by the teacher, and what is made of it"

    order = 5

    def before_fit(self):
        self.seen = []

    def after_loss(self):
        if self.training:
            self.seen.append((*self.learn.mix_up.drawn, self.learn.distill.values, self.learn.distill._mixed()))


@pytest.mark.parametrize("task", ["single", "multi"])
def test_under_mixup_the_teacher_is_mixed_as_the_labels_are(tiny_table, tiny_recipe, files, tmp_path, task):
    table = pd.DataFrame({"path": files, "start_time": 0.5, "end_time": 1.5})
    rng = np.random.default_rng(0)
    table = table.assign(**{name: rng.random(len(files)) for name in CLASSES})
    table.to_parquet(tmp_path / "t.parquet")
    recipe = tiny_recipe.with_(distill=str(tmp_path / "t.parquet"), distill_kind="bce", mixup_alpha=0.4, epochs=1,
                               task=task, activation="sigmoid")  # fmt: skip
    mixed = Mixed()
    learner(tiny_table, recipe).fit_recipe(cbs=[mixed])
    lam, other, values, found = mixed.seen[0]
    share = lam[:, None]
    wanted = torch.maximum(values, values[other]) if task == "multi" else share * values + (1 - share) * values[other]
    torch.testing.assert_close(found, wanted)


def test_the_distances_are_their_formulas():
    torch.manual_seed(0)
    pred, values = torch.randn(4, 3), torch.rand(4, 3)
    values[1] = torch.nan
    p, keep = values / values.sum(1, keepdim=True), [0, 2, 3]
    wanted = {
        "kl": (p * (p.log() - pred.log_softmax(1))).sum(1)[keep].sum() / 4,
        "bce": F.binary_cross_entropy_with_logits(pred[keep], values[keep]) * 3 / 4,
    }
    for kind, distance in wanted.items():
        distill = Distill(kind, 1.0)
        distill.learn = type("Learn", (), {"pred": pred})()
        torch.testing.assert_close(distill._distance(values), distance)


def test_a_run_goes_on_with_its_projection(tiny_birds, tiny_recipe, embeddings, tmp_path):
    recipe = tiny_recipe.with_(distill=str(embeddings), epochs=3)

    class Stop(Callback):
        def before_batch(self):
            if self.epoch == 1 and self.training:
                raise RuntimeError("power cut")

    whole = learner(tiny_birds, recipe)
    whole.fit_recipe(run=tmp_path / "whole")
    broken = learner(tiny_birds, recipe)
    with pytest.raises(RuntimeError, match="power cut"):
        broken.fit_recipe(run=tmp_path / "broken", cbs=[Stop()])
    resumed = learner(tiny_birds, recipe)
    resumed.fit_recipe(run=tmp_path / "broken", resume=True)
    assert same(weights(whole), weights(resumed))
    assert torch.equal(whole.distill.projection.weight, resumed.distill.projection.weight)


def test_lr_find_leaves_the_projection_as_it_was(tiny_birds, tiny_recipe, embeddings):
    learn = learner(tiny_birds, tiny_recipe.with_(distill=str(embeddings)))
    before = learn.distill.projection.weight.clone()
    learn.lr_find(show_plot=False, num_it=10)
    assert torch.equal(learn.distill.projection.weight, before)


def test_the_projection_is_not_exported(tiny_birds, tiny_recipe, embeddings, tmp_path):
    from birdfast.scoring.bundle import load_bundle, save_bundle

    learn = learner(tiny_birds, tiny_recipe.with_(distill=str(embeddings), epochs=1, lr="auto"))
    before = learn.distill.projection.weight.clone()
    learn.fit_recipe()
    assert not torch.equal(before, learn.distill.projection.weight)
    assert not [name for name in learn.model.state_dict() if "projection" in name]
    load_bundle(save_bundle(learn, tmp_path / "b.safetensors"))
    learn.export(tmp_path / "b.pkl")
    assert learn.distill.projection is not None
    assert learn.dls.train.after_item.fs[0].teacher is not None
    with pytest.warns(UserWarning):
        loaded = load_learner(tmp_path / "b.pkl")
    assert loaded.distill.projection is None
    assert loaded.predict(str(next(tiny_birds.rglob("*.wav"))))[0] in CLASSES
    learn.dls.show_batch(max_n=2)


def test_mistakes_are_sentences(tiny_birds, tiny_recipe, embeddings, files, tmp_path):
    recipe = tiny_recipe.with_(distill=str(embeddings))
    with pytest.raises(BirdfastError, match=r"no teacher at .*none\.npz"):
        load_teacher(recipe.with_(distill=str(tmp_path / "none.npz")), CLASSES, files)
    with pytest.raises(BirdfastError, match="no probabilities of 3 of 3 classes"):
        load_teacher(recipe.with_(distill_kind="kl"), CLASSES, files)
    np.savez(tmp_path / "odd.npz", path=["a"], values=np.ones((1, 2)))
    with pytest.raises(BirdfastError, match="cannot be read as a teacher's values.*start_time"):
        load_teacher(recipe.with_(distill=str(tmp_path / "odd.npz")), CLASSES, files)
    np.savez(tmp_path / "other.npz", path=["a/b.ogg"], start_time=[0.0], values=np.ones((1, 2)))
    with pytest.raises(BirdfastError, match=r"knows none of the \d+ training recordings.*it has a/b\.ogg"):
        bird_dls(tiny_birds, recipe.with_(distill=str(tmp_path / "other.npz")), device="cpu")
    with pytest.raises(BirdfastError, match="task='multi' wants 'bce'"):
        recipe.with_(task="multi", activation="sigmoid", distill_kind="kl")
