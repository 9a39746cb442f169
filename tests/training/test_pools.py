"""Labelled and pseudo-labelled soundscapes in training: shares, mixing, targets, and what validation must not share."""

import random
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch

from birdfast.errors import BirdfastError
from birdfast.models.losses import create_loss
from birdfast.prediction.predictor import Predictor
from birdfast.sources.read import read_source
from birdfast.sources.soundscapes import site_of
from birdfast.sources.source import WINDOW, Source
from birdfast.spectrogram.functional import mix_levelled
from birdfast.splits.pools import Pool, labelled_pool, pseudo_pool
from birdfast.splits.sampling import confidence_weights, sum_at_most, sum_to
from birdfast.splits.sides import soundscape_folds, with_windows
from birdfast.training.blocks import label_block
from birdfast.training.checkpoint import StopOnBadFiles, seed_draws
from birdfast.training.dataloaders import bird_dls
from birdfast.training.learner import bird_learner
from birdfast.training.pools import AddWindow
from birdfast.training.transforms import Clip, ReadClip, Window
from tests.conftest import SAMPLE_RATE, chirp

CLASSES = ["species0", "species1", "species2"]
TASKS = {"single": {}, "multi": {"task": "multi", "activation": "sigmoid"}}


@pytest.fixture(scope="module")
def source(tiny_birds, tmp_path_factory) -> Source:
    """The tiny birds with 6 soundscapes of 4 s at 3 sites, of which three seconds in four are labelled."""
    root, rows = tmp_path_factory.mktemp("soundscapes"), []
    for i in range(6):
        path = root / f"BC2026_Train_{i:04d}_S{i % 3:02d}_20250227_010002.wav"
        soundfile.write(path, np.concatenate([chirp(j % 3, 1.0, i) for j in range(4)]), SAMPLE_RATE)
        rows += [(str(path), float(j), j + 1.0, (f"species{j}",) if j else ("species1", "species2")) for j in range(3)]
    table = pd.DataFrame(rows, columns=["path", "start_time", "end_time", "labels"])
    found = read_source(tiny_birds)
    return Source(**{**vars(found), "soundscapes": table})


@pytest.fixture(scope="module")
def plain(tiny_recipe):
    return tiny_recipe.with_(time_masks=0, freq_masks=0, mixup_alpha=0.0, n_folds=3)


@pytest.fixture(scope="module")
def pseudo(source):
    """Soft labels for two soundscapes of site S07, which nobody has labelled."""
    paths = [path.replace("S00", "S07") for path in source.soundscapes["path"].unique() if "_S00_" in path]
    for new in paths:
        soundfile.write(new, chirp(1, 4.0, 99), SAMPLE_RATE)
    rows = pd.DataFrame(
        {"path": np.repeat(paths, 3), "start_time": [0.0, 1.0, 2.0] * 2, "end_time": [1.0, 2.0, 3.0] * 2}
    )
    return rows.assign(species0=0.1, species1=0.9, species2=0.5)


def copied(path, old, new):
    return shutil.copyfile(path, path.replace(old, new))


def batches(dls):
    return [(x, y.as_subclass(torch.Tensor)) for x, y in dls.train]


def test_sites_of_every_year():
    names = [
        "BC2026_Train_0001_S05_20250227_010002.ogg",
        "H02_20230420_074000.ogg",
        "3575_COR_20190904.ogg",
        "1446779.ogg",
    ]
    assert [site_of(name) for name in names] == ["S05", "H02", "COR", "1446779"]


def test_labels_of_mixed_in_windows_are_scaled():
    targets = np.float32([[1, 1, 0], [0, 0, 0], [0.2, 0, 0]])
    np.testing.assert_allclose(sum_to(targets, 0.5), [[0.25, 0.25, 0], [0, 0, 0], [0.5, 0, 0]])
    np.testing.assert_allclose(sum_at_most(targets, 0.75), [[0.375, 0.375, 0], [0, 0, 0], [0.2, 0, 0]])


def test_a_file_weighs_the_sum_of_its_highest_probabilities():
    weights = confidence_weights(["a", "a", "b"], np.array([[0.9, 0.1], [0.1, 0.6], [0.2, 0.3]]))
    np.testing.assert_allclose(weights, np.array([0.75, 0.75, 0.5]) / 2)


def test_a_quiet_clip_is_not_drowned_by_a_loud_window():
    quiet, loud = torch.tensor([[0.01, -0.02]]), torch.tensor([[1.0, 0.5]])
    torch.testing.assert_close(mix_levelled(quiet, loud), torch.tensor([[0.015, -0.005]]))
    torch.testing.assert_close(mix_levelled(torch.zeros(1, 2), loud), loud)


def test_soundscapes_of_a_site_stay_together_and_all_folds_get_some():
    paths = [f"X{i:02d}_20250101_{j}.ogg" for i in range(7) for j in range(i + 1)]
    folds = soundscape_folds(paths, folds=range(3))
    assert pd.Series(folds).groupby([site_of(path) for path in paths]).nunique().eq(1).all()
    assert np.bincount(folds).min() > 5
    assert len(set(soundscape_folds(paths, folds=range(3), group="file")[-7:])) > 1
    settled = soundscape_folds(paths, folds=[0, 1], known={"X06": 1, "X05": 9})
    assert set(settled[-7:]) == {1}
    assert set(settled) == {0, 1}
    with pytest.raises(BirdfastError, match="all soundscapes are of one site .*soundscape_group='file'"):
        soundscape_folds(["S1_20250101_1.ogg", "S1_20250101_2.ogg"], folds=range(3))


@pytest.mark.parametrize("task", ["single", "multi"])
def test_each_batch_holds_its_share_of_labelled_windows(source, plain, task):
    multi = {"task": "multi", "activation": "sigmoid"} if task == "multi" else {}
    dls = bird_dls(source, plain.with_(soundscape_share=0.25, **multi), device="cpu")
    train = dls.plan.clips[~dls.plan.clips["is_valid"]].reset_index(drop=True)
    order = np.array(dls.train.get_idxs())
    assert len(order) == len(train)
    full = order[: len(order) // 8 * 8].reshape(-1, 8)
    assert ((train["kind"] == WINDOW).to_numpy()[full].sum(axis=1) == 2).all()
    assert len(set(full[~(train["kind"] == WINDOW).to_numpy()[full]])) > 8
    two = torch.cat([y for _, y in batches(dls)])
    two = two[(two > 0).sum(1) == 2]
    assert len(two)
    assert set(two[two > 0].tolist()) == ({0.5} if task == "single" else {1.0})
    valid = dls.valid.items
    assert (
        torch.cat([y.as_subclass(torch.Tensor) for _, y in dls.valid]).numpy()[valid["kind"] == WINDOW].max(1) == 1
    ).all()


def test_validation_shares_no_soundscape_and_no_site_with_training(source, plain):
    dls = bird_dls(source, plain.with_(soundscape_share=0.25), device="cpu")
    windows = dls.plan.clips[(dls.plan.clips["kind"] == WINDOW).to_numpy()]
    sides = windows.groupby("is_valid")["site"].agg(set)
    assert not sides[True] & sides[False]
    assert sides[True]
    assert dls.plan.leaks.shared_recordings.empty and dls.plan.leaks.shared_sites.empty
    by_file = bird_dls(
        source, plain.with_(soundscape_share=0.25, soundscape_group="file", seed=1, n_folds=2), device="cpu"
    )
    assert "soundscape site" in by_file.plan.leaks.line()
    assert not by_file.plan.leaks.shared_sites.empty


def test_a_window_without_a_row_is_not_trained_on(source, plain):
    dls = bird_dls(source, plain.with_(soundscape_share=0.25), device="cpu")
    windows = dls.plan.clips[(dls.plan.clips["kind"] == WINDOW).to_numpy()]
    assert set(windows["start_time"]) == {0.0, 1.0, 2.0}  # the files last 4 s


@pytest.fixture
def with_silence(source):
    """The source with nothing calling in the second of each soundscape's windows."""
    windows = source.soundscapes
    labels = [() if start == 1 else labels for start, labels in zip(windows["start_time"], windows["labels"])]
    return Source(**{**vars(source), "soundscapes": windows.assign(labels=pd.Series(labels, dtype=object))})


@pytest.mark.parametrize(
    ("knobs", "learns"),
    [
        ({}, False),
        ({"activation": "sigmoid"}, False),
        ({"no_call": True}, True),
        ({"no_call": True, "task": "multi", "activation": "sigmoid"}, True),
        ({"loss": "bce", "activation": "sigmoid"}, True),
    ],
)
def test_what_a_window_without_a_call_teaches(with_silence, plain, knobs, learns):
    recipe = plain.with_(soundscape_share=0.25, **knobs)
    dls = bird_dls(with_silence, recipe, device="cpu")
    silent = dls.train.items[dls.train.items["path"].str.contains("BC2026") & (dls.train.items["start_time"] == 1)]
    assert len(silent) == 4  # at two sites of three
    y = label_block(recipe, list(dls.vocab))[1](silent.iloc[0])
    logits = torch.zeros(1, len(dls.vocab), requires_grad=True)
    create_loss(recipe)(logits, torch.as_tensor(np.float32(y))[None]).backward()
    assert bool(logits.grad.abs().sum() > 0) == learns


def test_a_clip_with_a_window_in_it_is_not_without_call(with_silence, plain):
    dls = bird_dls(with_silence, plain.with_(soundscape_mix=1.0, no_call=True, batch_size=16), device="cpu")
    y = torch.cat([y for _, y in batches(dls)])
    assert y.shape[1] == 4 and (y[:, 3] == 0).all() and (y[:, :3].sum(1) > 0).all()
    assert (dls.train.items["primary_label"] == "nocall").any()


@pytest.mark.parametrize("cache", [None, "waveform"])
def test_the_injector_mixes_sound_and_labels_in_training_only(source, plain, tmp_path, cache):
    def first(**knobs):
        dls = bird_dls(source, plain.with_(**knobs), device="cpu", cache=cache, cache_dir=tmp_path)
        random.seed(0)
        np.random.seed(0)
        dls.train.rng = random.Random(0)
        return dls, *dls.train.one_batch()

    dls, x, y = first(soundscape_mix=1.0)
    y = y.as_subclass(torch.Tensor)
    assert set(y.sum(1).tolist()) - {1.0}  # some windows hold other species than the clip
    assert set(torch.unique(y).tolist()) <= {0.0, 0.25, 0.5, 1.0}
    assert (y.max(1).values == 1).all()
    without = [t for t in dls.train.after_item.fs if not isinstance(t, AddWindow)]
    assert len(without) == len(dls.train.after_item.fs) - 1
    clip = Clip(str(dls.plan.clips["path"][0]), 0.0, 1.0)
    reader = next(t for t in without if hasattr(t, "blend"))
    torch.random.manual_seed(0)
    alone = bird_dls(source, plain, device="cpu", cache=cache, cache_dir=tmp_path)
    for a, b in zip(alone.valid.one_batch()[0], dls.valid.one_batch()[0]):
        torch.testing.assert_close(a, b)
    window = Window(*dls.plan.pools[0].draw(0.6)[0])
    mixed = reader(Clip(clip.path, 0.0, 1.0, window), split_idx=1)
    half = [reader(c, split_idx=1) for c in (clip, window)]
    if cache is None:
        torch.testing.assert_close(mixed, mix_levelled(*half))
    assert not torch.equal(mixed, half[0])
    assert not torch.equal(mixed, half[1])


def test_a_window_is_heard_in_the_padding_of_a_short_clip(source):
    reader, window = ReadClip(SAMPLE_RATE, 1.0, pad="end"), Window(source.soundscapes["path"][0], 0.0, 1.0)
    clips = [Clip(source.recordings["path"][0], 0.0, 0.5, added) for added in (None, window)]
    alone, mixed = (reader(clip, split_idx=0)[..., SAMPLE_RATE // 2 :].abs().max() for clip in clips)
    assert alone == 0
    assert mixed > 0.1


@pytest.mark.parametrize("task", TASKS)
def test_labels_of_mixed_in_windows_sum_to_what_the_recipe_says(source, plain, task):
    recipe = plain.with_(soundscape_mix=1.0, soundscape_label_sum=0.8, **TASKS[task])
    dls = bird_dls(source, recipe, device="cpu")
    seed_draws(dls, 0)
    y = torch.cat([y for _, y in batches(dls)])
    assert sorted({round(value, 4) for value in y.unique().tolist()}) == [0, 0.4, 0.8, 1]
    rare = labelled_pool(with_windows(source), CLASSES, recipe.with_(soundscape_mix=0.3))
    assert rare.p == 0.3
    np.testing.assert_allclose(rare.targets.sum(1), 0.8, rtol=1e-6)


def test_surer_soundscapes_are_drawn_more_often(plain, pseudo):
    sure, unsure = pseudo["path"].unique()
    species1 = np.where(pseudo["path"] == sure, 0.9, 0.1)
    pool = pseudo_pool(
        pseudo.assign(species0=0.0, species1=species1, species2=0.0), CLASSES, plain.with_(pseudo_mix=0.3)
    )
    random.seed(0)
    drawn = [pool.draw(random.random())[0][0] for _ in range(400)]
    assert drawn.count(sure) / 400 == pytest.approx(0.9, abs=0.05)
    assert unsure in drawn
    assert pool.p == 0.3


def test_labelled_windows_are_left_alone_and_pools_never_meet():
    table = pd.DataFrame({"path": ["a"], "start_time": [0.0], "end_time": [1.0]})
    pools = [Pool(table, np.array([[0.7, 0.0]]), 0.5), Pool(table.assign(path="b"), np.array([[0.0, 0.5]]), 0.5)]
    add = AddWindow(pools)
    y = torch.zeros(2)
    random.seed(0)
    drawn = [add((Clip("c"), y), split_idx=0) for _ in range(400)]
    got = pd.Series([clip.added.path if clip.added else "" for clip, _ in drawn]).value_counts(normalize=True)
    assert got["a"] == pytest.approx(0.5, abs=0.08)
    assert got["b"] == pytest.approx(0.25, abs=0.08)  # half of the clips that the first pool left
    assert all((labels > 0).sum() <= 1 for _, labels in drawn)
    assert all(add((Window("w"), y), split_idx=0)[0] == Window("w") for _ in range(20))
    assert all(add((Clip("c"), y), split_idx=1)[0] == Clip("c") for _ in range(20))
    swap = AddWindow([Pool(table, np.array([[0.7, 0.0]]), 1.0, substitute=True)])((Clip("c"), y), split_idx=0)
    assert swap[0] == Window("a", 0.0, 1.0)
    assert swap[1].tolist() == pytest.approx([0.7, 0.0])


def test_pseudo_labels_leave_labelled_windows_their_share(source, plain, pseudo):
    dls = bird_dls(source, plain.with_(soundscape_mix=0.5, pseudo_mix=1.0), device="cpu", pseudo=pseudo)
    assert [pool.p for pool in dls.plan.pools] == [0.5, 1.0]
    assert not set(dls.plan.pools[0].windows[0]) & set(pseudo["path"]) and set(dls.plan.pools[1].windows[0]) == set(
        pseudo["path"]
    )


@pytest.mark.parametrize("task", TASKS)
def test_pseudo_labels_are_sharpened_and_capped(source, plain, pseudo, task):
    knobs = {"pseudo_mix": 1.0, "pseudo_power": 2.0, "pseudo_label_sum": 0.5, **TASKS[task]}
    dls = bird_dls(source, plain.with_(**knobs), device="cpu", pseudo=pseudo)
    wanted = np.array([0.01, 0.81, 0.25]) * 0.5 / 1.07
    np.testing.assert_allclose(dls.plan.pools[0].targets[0], wanted, rtol=1e-5)
    y = batches(dls)[0][1]
    assert (y.max(1).values == 1).all()
    assert y.min(1).values.tolist() == pytest.approx([wanted[0]] * 8, abs=1e-5) or (y > 0).all()
    swap = bird_dls(source, plain.with_(pseudo_how="substitute", **knobs), device="cpu", pseudo=pseudo)
    assert torch.cat([y for _, y in batches(swap)]).sum(1).tolist() == pytest.approx([0.5] * 16, abs=1e-5)


def test_pseudo_labels_of_what_validates_are_left_out(source, plain, pseudo, capsys):
    recipe = plain.with_(pseudo_mix=0.5, soundscape_share=0.25)
    held_out = bird_dls(source, recipe, device="cpu", pseudo=pseudo)
    valid = held_out.valid.items
    soundscape = valid[(valid["kind"] == WINDOW).to_numpy()]["path"].iloc[0]
    recording = valid[~(valid["kind"] == WINDOW).to_numpy()]["path"].iloc[0]
    same_site = copied(soundscape, "Train_", "Train_9")
    extra = pd.concat([pseudo, *(pseudo[:1].assign(path=path) for path in (soundscape, recording, same_site))])
    dls = bird_dls(source, recipe, device="cpu", pseudo=extra)
    assert set(dls.plan.pools[0].windows[0]) == set(pseudo["path"])
    assert (
        "3 pseudo-labelled windows of 3 soundscapes that validation holds out are left out" in capsys.readouterr().err
    )
    folds = extra[:6].assign(fold=[0, 0, 0, 1, 1, 1])
    assert set(bird_dls(source, recipe, device="cpu", pseudo=folds).plan.pools[0].windows[0]) == {pseudo["path"][3]}


def test_paths_of_pseudo_labels_begin_at_the_folder_of_the_data(source, plain, pseudo, tmp_path):
    root, recipe = Path(pseudo["path"][0]).parent, plain.with_(pseudo_mix=1.0)
    there = Source(**{**vars(source), "root": root})
    pseudo.assign(path=[Path(path).name for path in pseudo["path"]]).to_parquet(tmp_path / "pseudo.parquet")
    dls = bird_dls(there, recipe, device="cpu", pseudo=tmp_path / "pseudo.parquet")
    assert dls.plan.pools[0].windows[0].tolist() == pseudo["path"].tolist()
    with pytest.raises(
        BirdfastError, match=r"1 of 2 soundscapes .* first looked for is .*gone\.wav: relative .* begin at"
    ):
        bird_dls(there, recipe, device="cpu", pseudo=pseudo.replace({"path": {pseudo["path"][0]: "gone.wav"}}))


def test_an_epoch_of_which_nothing_can_be_read_is_an_error(source, plain, pseudo, tmp_path):
    broken = tmp_path / "broken.wav"
    broken.write_bytes(b"")
    dls = bird_dls(source, plain.with_(pseudo_mix=1.0), device="cpu", pseudo=pseudo.assign(path=str(broken)))
    learn, says = bird_learner(dls), rf"clips gave no batch of 8: too few .* {dls.plan.bad_files.path}"
    with learn.no_bar(), learn.no_logging(), pytest.raises(BirdfastError, match=says):
        learn.fit_recipe()


def test_by_file_another_soundscape_of_the_site_is_kept(source, plain, pseudo):
    recipe = plain.with_(pseudo_mix=0.5, soundscape_share=0.25, soundscape_group="file")
    valid = bird_dls(source, recipe, device="cpu", pseudo=pseudo).valid.items
    same_site = copied(valid[(valid["kind"] == WINDOW).to_numpy()]["path"].iloc[0], "Train_", "Train_9")
    more = pd.concat([pseudo, pseudo[:1].assign(path=same_site)])
    assert same_site in bird_dls(source, recipe, device="cpu", pseudo=more).plan.pools[0].windows[0]


def test_it_trains_mixes_and_ships(source, plain, pseudo, tmp_path):
    recipe = plain.with_(epochs=1, soundscape_share=0.25, soundscape_mix=0.5, pseudo_mix=0.5, mixup_alpha=0.4)
    learn = bird_learner(bird_dls(source, recipe, device="cpu", pseudo=pseudo))
    with learn.no_bar(), learn.no_logging():
        learn.fit_recipe()
    assert all(np.isfinite(value) for value in learn.scores().values())
    learn.show_results(max_n=2, shuffle=False)
    learn.dls.show_batch(max_n=2)
    pools = learn.dls.plan.pools
    learn.export(tmp_path / "birds.pkl")
    assert next(t for t in learn.dls.train.after_item.fs if isinstance(t, AddWindow)).pools == list(pools)
    path = source.soundscapes["path"][0]
    np.testing.assert_allclose(learn.probabilities(path), Predictor(learn).predict(path, progress=False), atol=1e-4)


def test_what_cannot_be_is_refused(source, plain, tiny_birds, pseudo, tmp_path):
    with pytest.raises(BirdfastError, match="has no labelled soundscapes .*: set soundscape_share"):
        bird_dls(tiny_birds, plain.with_(soundscape_mix=0.5))
    with pytest.raises(BirdfastError, match=r"soundscape_share=0.01 of batch_size=8 is 0 windows: give 0.125 or more"):
        plain.with_(soundscape_share=0.01)
    with pytest.raises(BirdfastError, match="pseudo_mix=0.5 needs pseudo-labels: .*--pseudo FILE.* set pseudo_mix=0"):
        bird_dls(source, plain.with_(pseudo_mix=0.5))
    with pytest.raises(BirdfastError, match="pseudo_mix=0 uses none of the pseudo-labels: .*--set pseudo_mix=1"):
        bird_dls(source, plain, pseudo=pseudo)
    with pytest.raises(BirdfastError, match="lack 1 columns, the first 'species2'"):
        bird_dls(source, plain.with_(pseudo_mix=0.5), pseudo=pseudo.drop(columns="species2"))
    for wrong in (-0.7, 1.5, np.nan):
        with pytest.raises(BirdfastError, match=rf"hold {wrong:g} for 'species1' .*0 to 1: are these logits"):
            bird_dls(source, plain.with_(pseudo_mix=0.5), pseudo=pseudo.assign(species1=[0.5] * 5 + [wrong]))
    with pytest.raises(BirdfastError, match="6 windows .* 0 for every class"):
        bird_dls(source, plain.with_(pseudo_mix=0.5), pseudo=pseudo.assign(**dict.fromkeys(CLASSES, 0.0)))
    for knob, more in (("soundscape_mix", {}), ("pseudo_mix", {"pseudo": pseudo})):
        with pytest.raises(BirdfastError, match=f"{knob} with cache='spectrogram': it changes the waveform"):
            bird_dls(source, plain.with_(**{knob: 0.5}), cache="spectrogram", cache_dir=tmp_path / "cache", **more)
    assert not (tmp_path / "cache").exists()  # refused before it is filled


def test_unreadable_files_are_a_share_of_files_not_of_windows(source, plain, tmp_path):
    (tmp_path / "BC2026_Train_0009_S09_20250227_010002.wav").write_bytes(b"")
    rows = source.soundscapes[:2].assign(path=str(next(tmp_path.iterdir())))
    broken = Source(**{**vars(source), "soundscapes": pd.concat([source.soundscapes, rows], ignore_index=True)})
    recipe = plain.with_(soundscape_mix=0.5, max_bad=0.026)
    with pytest.raises(BirdfastError, match="1 of 37 recordings cannot be read"):  # of 50 rows
        bird_dls(broken, recipe, device="cpu")
    stop = StopOnBadFiles()
    stop.learn = bird_learner(bird_dls(broken, recipe.with_(max_bad=0.03), device="cpu"))
    stop.before_fit()
    assert stop.n_files == 37


@pytest.mark.parametrize("knobs", [{"soundscape_mix": 0.5}, {"soundscape_share": 0.25}])
def test_no_labelled_window_to_train_on_is_an_error(source, plain, knobs, tmp_path):
    gone = source.soundscapes.assign(path=[str(tmp_path / Path(path).name) for path in source.soundscapes["path"]])
    missing = Source(**{**vars(source), "soundscapes": gone})
    with pytest.raises(BirdfastError, match=r"no labelled window .*: of 18, 18 lie in soundscapes that cannot be read"):
        bird_dls(missing, plain, max_bad=0.5, num_workers=0, device="cpu", **knobs)


def test_pseudo_labels_may_come_as_a_predictor_gives_them(source, plain, pseudo):
    table = pseudo.set_index(["path", "start_time", "end_time"])
    dls = bird_dls(source, plain, pseudo=table, pseudo_mix=1.0, num_workers=0, device="cpu")
    assert len(dls.plan.pools[0]) == len(pseudo)
