import json
import re
import shutil
import subprocess
import sys
from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
from fastai.callback.core import Callback, CancelFitException
from fastai.callback.mixup import MixUp as FastaiMixUp
from fastai.learner import load_learner

from birdfast.errors import BirdfastError
from birdfast.training.dataloaders import bird_dls
from birdfast.training.learner import bird_learner
from birdfast.training.mixup import MixUp
from birdfast.training.rates import edge


def learner(source, recipe, **kwargs):
    return bird_learner(bird_dls(source, recipe, device="cpu"), **kwargs)


def weights(learn):
    return {k: v.clone() for k, v in learn.model.state_dict().items()}


def same(a, b):
    return all(torch.equal(a[k], b[k]) for k in a)


@pytest.fixture
def learn(tiny_birds, tiny_recipe):
    return learner(tiny_birds, tiny_recipe)


def test_it_learns(tiny_birds, tiny_recipe):
    learn = learner(tiny_birds, tiny_recipe.with_(epochs=8, mixup_alpha=0.0, time_masks=0, freq_masks=0, lr=0.01))
    learn.fit_recipe()
    assert learn.scores()["accuracy"] >= 0.8


def test_metrics_are_per_recording_and_by_name(learn):
    scores = learn.scores()
    assert list(scores) == ["valid_loss", "accuracy", "top5", "roc_auc", "cmap", "padded_cmap", "macro_f1"]
    n = learn.dls.plan.clips[learn.dls.plan.clips["is_valid"]]["recording"].nunique()
    assert (scores["accuracy"] * n) == pytest.approx(round(scores["accuracy"] * n), abs=1e-5)


def test_recording_scores_are_what_the_metrics_see(learn):
    targets, probabilities = learn.recording_scores()
    assert len(targets) == learn.dls.plan.clips[learn.dls.plan.clips["is_valid"]]["recording"].nunique()
    assert probabilities.shape == (len(targets), len(learn.dls.vocab))
    assert learn.scores()["accuracy"] == pytest.approx((probabilities.argmax(1) == targets).mean())


def test_layer_groups_are_body_and_head(learn):
    learn.freeze()
    frozen = [p for p in learn.model.body.parameters() if not p.requires_grad]
    assert frozen
    assert all(p.requires_grad for p in learn.model.head.parameters())


@pytest.mark.parametrize("schedule", ["one_cycle", "cosine", "constant"])
def test_the_schedule_is_the_recipes(tiny_birds, tiny_recipe, schedule):
    learn = learner(tiny_birds, tiny_recipe.with_(schedule=schedule, lr=1e-3, weight_decay=0.3))
    assert learn.wd == 0.3  # for fastai's own ways
    learn.fit_recipe()
    assert [group["wd"] for group in learn.opt.hypers] == [0.3, 0.3]
    lrs = learn.recorder.lrs
    assert max(lrs) == pytest.approx(1e-3, rel=0.25)
    falls = {
        "one_cycle": lrs[-1] < 0.3 * max(lrs) and lrs[0] < 0.1 * max(lrs),
        "cosine": lrs[-1] < 0.3 * lrs[0],
        "constant": len(set(lrs)) == 1,
    }
    assert falls[schedule], lrs


@pytest.mark.parametrize("warmup", [0.0, 0.8])
def test_the_warmup_is_the_recipes(tiny_birds, tiny_recipe, warmup):
    learn = learner(tiny_birds, tiny_recipe.with_(warmup=warmup, batch_size=4, epochs=1))
    learn.fit_recipe()
    assert np.argmax(learn.recorder.lrs) / len(learn.recorder.lrs) == pytest.approx(warmup, abs=0.15)


class FirstBatch(Callback):
    "The first batch of a training, which ends there"

    order = 8

    def before_batch(self):
        self.seen = self.x.clone()
        raise CancelFitException


def test_another_seed_gives_other_weights_and_other_batches(tiny_table, tiny_recipe):
    table, found = tiny_table.assign(fold=np.arange(30) % 5), []
    for seed in (0, 0, 1):
        learn, first = learner(table, tiny_recipe.with_(seed=seed)), FirstBatch()
        found.append({"weights": weights(learn)["head.2.weight"]})
        learn.fit_recipe(cbs=[first])
        found[-1]["batch"] = first.seen
    assert same(found[0], found[1])
    assert not any(torch.equal(found[0][name], found[2][name]) for name in found[0])


@pytest.mark.parametrize(("task", "labels"), [("single", "interpolate"), ("multi", "union")])
def test_mixup_is_the_recipes(tiny_birds, tiny_recipe, task, labels):
    activation = "softmax" if task == "single" else "sigmoid"
    mixup = learner(tiny_birds, tiny_recipe.with_(mixup_alpha=50.0, task=task, activation=activation)).mix_up
    assert mixup.labels == labels
    lam, _ = mixup.draw(200, torch.device("cpu"))
    assert 0.51 < lam.mean() < 0.6  # 0.84 of the default alpha


def test_fastais_own_ways_work_with_mixup_on(learn):
    assert any(isinstance(cb, MixUp) for cb in learn.cbs)
    assert 1e-7 < learn.lr_find(num_it=12, show_plot=False).valley < 10
    learn.fit_one_cycle(1, 1e-3)
    learn.fine_tune(1, 1e-3)
    assert np.isfinite(learn.recorder.values[-1][0])


def test_fastais_mixup_works_too(tiny_birds, tiny_recipe):
    learn = learner(tiny_birds, tiny_recipe.with_(mixup_alpha=0.0), cbs=[FastaiMixUp(0.4)])
    learn.fit_one_cycle(1, 1e-3)
    assert np.isfinite(learn.recorder.values[-1][0])


def test_mixup_mixes_pictures_and_labels_in_training_only(learn):
    seen = {}

    class Look(type(learn.cbs[0]).__mro__[1]):
        order = 8

        def before_batch(self):
            seen.setdefault(self.training, []).append((self.x.clone(), self.y.clone()))

    learn.fit(1, 1e-4, cbs=Look())
    y = seen[True][0][1]
    assert y.shape == (8, 3)
    torch.testing.assert_close(y.sum(1).as_subclass(torch.Tensor), torch.ones(8))
    assert ((y > 0) & (y < 1)).any()
    assert seen[False][0][1].ndim == 1


def test_multi_label_trains_with_unknown_targets(tiny_table, tiny_recipe):
    recipe = tiny_recipe.with_(task="multi", activation="sigmoid", secondary="mask", epochs=1)
    learn = learner(tiny_table, recipe)
    learn.fit_recipe()
    scores = learn.scores()
    assert all(np.isfinite(v) for v in scores.values())


@pytest.mark.parametrize("loss", ["focal", "bce_focal", "asymmetric", "soft_auc", "soft_auc_bce"])
def test_it_learns_one_species_a_clip_by_a_loss_of_each_class(tiny_birds, tiny_recipe, loss):
    recipe = tiny_recipe.with_(epochs=8, lr=0.01, time_masks=0, freq_masks=0, loss=loss, activation="sigmoid")
    learn = learner(tiny_birds, recipe)
    learn.fit_recipe()
    assert learn.scores()["roc_auc"] > 0.8


def test_it_learns_many_species_a_clip_by_cross_entropy(tiny_table, tiny_recipe):
    recipe = tiny_recipe.with_(task="multi", activation="sigmoid", secondary="mask", loss="ce", epochs=8, lr=0.01)
    learn = learner(tiny_table, recipe)
    learn.fit_recipe()
    assert learn.scores()["roc_auc"] > 0.8


def test_edge_is_a_tenth_of_where_a_flat_curve_ends():
    lrs = torch.logspace(-4, 0, 9)
    flat = torch.tensor([5.34, 5.33, 5.30, 5.34, 5.36, 5.44, 5.5, 6.0, 9.0])  # lowest by chance, far from the edge
    assert edge(lrs, flat, 9)[0] == pytest.approx(1e-3)
    falling = torch.tensor([2.3, 2.2, 2.1, 1.9, 1.7, 1.8, 2.4, 3.0, 9.0])
    assert edge(lrs, falling, 9)[0] == pytest.approx(1e-3)


def test_lr_auto_asks_lr_find(tiny_birds, tiny_recipe, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    learn = learner(tiny_birds, tiny_recipe.with_(lr="auto", epochs=1))
    learn.fit_recipe(run=tmp_path / "run")
    state = json.loads((tmp_path / "run/state.json").read_text())
    assert 1e-6 < state["lr"] < 1
    said = capsys.readouterr().err
    assert said.index("looking for a learning rate: 60 steps") < said.index("lr_find suggests")
    assert re.search(r"lr_find suggests .+, after \d+ s", said)
    assert [path.name for path in tmp_path.iterdir()] == ["run"]  # nothing of lr_find's


def test_the_same_seed_gives_the_same_weights(tiny_birds, tiny_recipe):
    first, second = (learner(tiny_birds, tiny_recipe) for _ in range(2))
    first.fit_recipe()
    second.fit_recipe()
    assert same(weights(first), weights(second))


class Kill(RuntimeError):
    pass


@pytest.mark.parametrize(("edge", "taken"), [(1e-3, 1e-3), (6.8e-3, 2.5e-3)])
def test_lr_auto_takes_no_rate_that_diverges(tiny_birds, tiny_recipe, capsys, monkeypatch, edge, taken):
    learn = learner(tiny_birds, tiny_recipe.with_(lr="auto"))
    monkeypatch.setattr(learn, "lr_find", lambda **_: SimpleNamespace(edge=edge))
    assert learn.find_lr() == taken
    assert (f"lr_find suggests {edge:.2g}; 0.0025 is taken" in capsys.readouterr().err) == (taken < edge)


def test_an_interrupted_run_ends_with_the_same_weights(tiny_birds, tiny_recipe, tmp_path):
    recipe = tiny_recipe.with_(epochs=4)
    whole = learner(tiny_birds, recipe)
    whole.fit_recipe(run=tmp_path / "whole")

    class Stop(Callback):
        def before_batch(self):
            if self.epoch == 2 and self.training:
                raise Kill("power cut")

    broken = learner(tiny_birds, recipe)
    with pytest.raises(Kill):
        broken.fit_recipe(run=tmp_path / "broken", cbs=[Stop()])
    resumed = learner(tiny_birds, recipe.with_(seed=recipe.seed))
    torch.rand(7)  # the state of the generators must not matter
    resumed.fit_recipe(run=tmp_path / "broken", resume=True)
    assert same(weights(whole), weights(resumed))
    a, b = (pd.read_csv(tmp_path / name / "history.csv").drop(columns="time") for name in ("whole", "broken"))
    pd.testing.assert_frame_equal(a, b)
    assert a["epoch"].tolist() == [0, 1, 2, 3]


def test_a_finished_run_goes_on(tiny_birds, tiny_recipe, tmp_path):
    run = tmp_path / "run"
    learner(tiny_birds, tiny_recipe).fit_recipe(run=run)
    before = weights(learner(tiny_birds, tiny_recipe))
    again = learner(tiny_birds, tiny_recipe)
    again.fit_recipe(run=run, resume=True)  # has its epochs: loads the last weights, trains nothing
    assert not same(before, weights(again))
    learner(tiny_birds, tiny_recipe).fit_recipe(3, run=run, resume=True)
    assert pd.read_csv(run / "history.csv")["epoch"].tolist() == [0, 1, 2]
    assert sorted(p.name for p in run.glob("*.pth")) == ["best.pth", "last_0002.pth"]


def test_a_finished_run_says_how_to_go_on_and_does_not_go_back(tiny_birds, tiny_recipe, tmp_path, capsys):
    learn = learner(tiny_birds, tiny_recipe)
    learn.fit_recipe(run=tmp_path)
    learn.fit_recipe(run=tmp_path, resume=True)
    assert "has its 2 epochs: give more to go on, --epochs 12 (in Python epochs=12)" in capsys.readouterr().err
    with pytest.raises(BirdfastError, match="has 2 epochs already and cannot go back to 1: give more"):
        learn.fit_recipe(1, run=tmp_path, resume=True)


def test_a_run_is_not_written_over(tiny_birds, tiny_recipe, tmp_path):
    learn = learner(tiny_birds, tiny_recipe)
    learn.fit_recipe(run=tmp_path)
    with pytest.raises(BirdfastError, match="already holds a run: go on with it by resume=True"):
        learn.fit_recipe(1, run=tmp_path)
    assert pd.read_csv(tmp_path / "history.csv")["epoch"].tolist() == [0, 1]


def test_a_run_goes_on_by_its_own_recipe_and_classes(tiny_birds, tiny_recipe, tmp_path):
    learner(tiny_birds, tiny_recipe).fit_recipe(run=tmp_path)
    other = learner(tiny_birds, tiny_recipe.with_(fold=1, label_smoothing=0.2))
    with pytest.raises(BirdfastError, match=r"you changed label_smoothing \(0.1 to 0.2\), fold \(0 to 1\): give its"):
        other.fit_recipe(run=tmp_path, resume=True)
    rows = [(str(f), f.parent.name.replace("species", "bird")) for f in sorted(tiny_birds.rglob("*.wav"))]
    with pytest.raises(BirdfastError, match="was trained on other classes"):
        learner(pd.DataFrame(rows, columns=["path", "label"]), tiny_recipe).fit_recipe(run=tmp_path, resume=True)
    learner(tiny_birds, tiny_recipe.with_(name="mine", epochs=3)).fit_recipe(run=tmp_path, resume=True)
    assert pd.read_csv(tmp_path / "history.csv")["epoch"].tolist() == [0, 1, 2]


def test_a_run_with_other_metrics_keeps_its_last_weights(tiny_birds, tiny_recipe, tmp_path):
    learn = learner(tiny_birds, tiny_recipe, metrics=[])
    learn.fit_recipe(run=tmp_path)
    assert learn.load_epoch("last", tmp_path) == 1
    with pytest.raises(BirdfastError, match="has no best epoch"):
        learn.load_epoch("best", tmp_path)


def test_a_backbone_of_one_learner_is_not_the_next_ones(tiny_birds, tiny_recipe):
    dls = bird_dls(tiny_birds, tiny_recipe, num_workers=0, device="cpu")
    other = bird_learner(dls, backbone="test_resnet")
    assert (other.recipe.backbone, bird_learner(dls).recipe.backbone) == ("test_resnet", "test_efficientnet")


def test_what_cannot_be_read_has_no_probabilities(tiny_birds, tiny_recipe, tmp_path):
    learn = learner(tiny_birds, tiny_recipe)
    soundfile.write(tmp_path / "nan.wav", np.full(16000, np.nan, np.float32), 8000, subtype="FLOAT")
    for ask in (learn.predict, learn.probabilities):
        with pytest.raises(BirdfastError, match="nan.wav"):
            ask(tmp_path / "nan.wav")
    assert len(learn.dls.plan.bad_files) == 0
    assert learn.dls.valid.after_item.bad_files is learn.dls.plan.bad_files


def test_the_weights_of_the_best_epoch_or_of_the_last(tiny_birds, tiny_recipe, tmp_path):
    from birdfast.training.checkpoint import Checkpoints

    class Falls(Checkpoints):
        def after_epoch(self):
            self.recorder.log[self.recorder.metric_names.index("roc_auc")] = 0.9 - self.epoch / 10
            super().after_epoch()

    learn = learner(tiny_birds, tiny_recipe)
    epochs = []

    class Keep(type(learn.cbs[0]).__mro__[1]):
        order = 70

        def after_epoch(self):
            epochs.append({k: v.clone() for k, v in self.learn.model.state_dict().items()})

    learn.fit(2, 1e-3, cbs=[Falls(tmp_path), Keep()])
    assert learn.load_epoch("best", tmp_path) == 0
    assert same(weights(learn), epochs[0]) and not same(weights(learn), epochs[1])
    assert learn.load_epoch("last", tmp_path) == 1
    assert same(weights(learn), epochs[1])
    with pytest.raises(BirdfastError, match="unknown weights of a run 'bets': did you mean 'best'"):
        learn.load_epoch("bets", tmp_path)
    with pytest.raises(BirdfastError, match="holds no epoch that ended"):
        learn.load_epoch("best", tmp_path / "nowhere")
    (tmp_path / "best.pth").unlink()
    with pytest.raises(BirdfastError, match=r"best\.pth is gone"):
        learn.load_epoch("best", tmp_path)


def test_a_run_does_not_validate_on_what_it_trained_on(tiny_birds, tiny_recipe, tmp_path, monkeypatch):
    files = sorted(tiny_birds.rglob("*.wav"))
    table = pd.DataFrame({"path": map(str, files), "label": [file.parent.name for file in files]})
    learner(table, tiny_recipe).fit_recipe(run=tmp_path)
    kept = {name: (tmp_path / name).read_bytes() for name in ("split.csv", "data.json", "recipe.toml")}
    with pytest.raises(
        BirdfastError, match=r"trained on \d+ of the recordings that validate now, the first .*wav: the data"
    ):
        learner(table[1:], tiny_recipe).fit_recipe(3, run=tmp_path, resume=True)
    monkeypatch.chdir(tmp_path)  # of a table, which has no folder of its own
    with pytest.raises(BirdfastError, match="of the recordings that validate now"):
        learner(table[1:], tiny_recipe).fit_recipe(3, run=tmp_path, resume=True)
    assert kept == {name: (tmp_path / name).read_bytes() for name in kept}
    table["path"] = [shutil.copy(path, tmp_path / f"{i}.wav") for i, path in enumerate(table["path"])]
    with pytest.raises(BirdfastError, match="none of the recordings of the run .* is among these"):
        learner(table, tiny_recipe).fit_recipe(3, run=tmp_path, resume=True)


@pytest.mark.parametrize(("epochs", "said"), [(0, "epochs must be above 0"), (1.5, "epochs must be int, not 1.5")])
def test_epochs_that_cannot_be_are_refused(learn, epochs, said):
    with pytest.raises(BirdfastError, match=said):
        learn.fit_recipe(epochs)


def test_resume_without_a_run_says_so(learn):
    with pytest.raises(BirdfastError, match="needs the folder of the run"):
        learn.fit_recipe(resume=True)


def test_pickle_in_a_fresh_process_predicts_from_a_path(learn, tiny_birds, tmp_path):
    learn.fit_recipe(1)
    learn.export(tmp_path / "birds.pkl")
    file = str(next(tiny_birds.rglob("*.wav")))
    label, _, probabilities = learn.predict(file)
    script = (
        "import warnings; warnings.simplefilter('ignore')\n"
        "from fastai.learner import load_learner; import json\n"
        f"label, _, p = load_learner({str(tmp_path / 'birds.pkl')!r}).predict({file!r})\n"
        "print(json.dumps([label, p.tolist()]))"
    )
    out = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    other_label, other = json.loads(out.strip().splitlines()[-1])
    assert other_label == label
    np.testing.assert_allclose(other, probabilities, atol=1e-5)


def test_export_keeps_the_runs_own_list_of_bad_files(learn, tmp_path, tiny_birds):
    learn.export(tmp_path / "birds.pkl")
    assert learn.dls.train.after_item.fs[0].bad_files is learn.dls.plan.bad_files
    (tmp_path / "zero.wav").write_bytes(b"")
    with pytest.warns(UserWarning), pytest.raises(BirdfastError, match=r"zero\.wav"):
        load_learner(tmp_path / "birds.pkl").predict(tmp_path / "zero.wav")


def test_files_that_break_while_training_are_listed_and_stop_the_run_when_many(tiny_table, tiny_recipe, tmp_path):
    import soundfile

    wave = np.full(16_000, np.nan, dtype=np.float32)
    soundfile.write(tmp_path / "nan.wav", wave, 8000, subtype="FLOAT")  # a sound header, and no sound
    table = pd.concat(
        [tiny_table, tiny_table[:1].assign(path=str(tmp_path / "nan.wav"), author="a")], ignore_index=True
    )
    for workers in (0, 2):
        for fold in range(2):
            dls = bird_dls(
                table, tiny_recipe.with_(n_folds=2, fold=fold, batch_size=4, sampling_power=0.0), num_workers=workers
            )
            learn = bird_learner(dls)
            learn.fit_recipe(1)
            assert dls.plan.bad_files.table()["path"].tolist() == [str(tmp_path / "nan.wav")]
    learn.dls.recipe = learn.dls.recipe.with_(max_bad=0.0)
    with pytest.raises(BirdfastError, match=r"1 of 31 recordings cannot be read"):
        learn.fit_recipe(1)


def test_show_results_draws_truth_and_guess(learn):
    learn.show_results(max_n=3, shuffle=False)
    assert sum("species" in ax.get_title() and "\n" in ax.get_title() for ax in plt.gcf().axes) == 3
    plt.close("all")


@pytest.mark.gpu
def test_on_a_gpu(tiny_birds, tiny_recipe):
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    learn = bird_learner(bird_dls(tiny_birds, tiny_recipe))
    learn.fit_recipe()
    assert next(learn.model.parameters()).is_cuda
    assert np.isfinite(learn.scores()["roc_auc"])
