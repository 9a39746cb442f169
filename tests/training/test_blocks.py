import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from fastai.data.block import CategoryBlock, DataBlock
from fastai.data.transforms import RandomSplitter, parent_label

from birdfast.audio.listing import get_audio_files
from birdfast.errors import BirdfastError
from birdfast.models.losses import create_loss
from birdfast.prediction.predictor import Predictor
from birdfast.scoring.bundle import as_bundle, save_bundle
from birdfast.scoring.graph import Shipped
from birdfast.sources.read import read_source
from birdfast.spectrogram.logmel import LogMel
from birdfast.splits.clips import clips_table
from birdfast.splits.sides import split_both
from birdfast.training.blocks import AudioBlock, recipe_audio_block
from birdfast.training.dataloaders import bird_dls
from birdfast.training.learner import bird_learner
from birdfast.training.transforms import AudioSpectrogram, AudioTensor, MaskFreq, MaskTime


@pytest.fixture
def dls(tiny_birds, tiny_recipe):
    return bird_dls(tiny_birds, tiny_recipe)


def plain_block(**kwargs):
    logmel = LogMel(sample_rate=8000, n_fft=256, hop_length=128, n_mels=32, fmax=4000)
    return DataBlock(
        blocks=(AudioBlock(8000, 1.0, logmel=logmel, **kwargs), CategoryBlock),
        get_items=get_audio_files, get_y=parent_label, splitter=RandomSplitter(0.2, seed=0),
    )  # fmt: skip


def test_a_plain_datablock_works(tiny_birds, capsys):
    block = plain_block()
    block.summary(tiny_birds)
    assert "AudioToSpec" in capsys.readouterr().out
    x, y = block.dataloaders(tiny_birds, bs=8, num_workers=0).one_batch()
    assert type(x) is AudioSpectrogram
    assert x.shape == (8, 1, 32, 63)
    assert y.max() <= 2


def test_waveforms_on_request(tiny_birds):
    block = DataBlock(
        blocks=(AudioBlock(8000, 1.0, logmel=False), CategoryBlock), get_items=get_audio_files, get_y=parent_label
    )
    x = block.dataloaders(tiny_birds, bs=4, num_workers=0).one_batch()[0]
    assert type(x) is AudioTensor
    assert x.shape == (4, 1, 8000)


def test_rates_must_agree():
    with pytest.raises(BirdfastError, match="made for 32000 Hz, the audio is read at 8000 Hz"):
        AudioBlock(8000, logmel=LogMel())


def test_the_dls_know_what_they_hold(dls, tiny_recipe):
    assert list(dls.vocab) == ["species0", "species1", "species2"]
    assert dls.recipe == tiny_recipe
    assert not len(dls.plan.bad_files)
    x, y = dls.one_batch()
    assert type(x) is AudioSpectrogram
    assert x.shape == (8, 1, 32, 63)


def test_validation_holds_every_full_window_and_repeats(dls, tiny_recipe):
    valid = dls.plan.clips[dls.plan.clips["is_valid"]]
    assert valid.groupby("recording").size().eq(2).all()
    assert valid["start_time"].unique().tolist() == [0.0, 1.0]
    first, second = ([b[0] for b in dls.valid] for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, second))


def test_the_cap_spreads_windows_over_a_long_recording(tiny_recipe):
    recordings = pd.DataFrame(
        {"path": ["a"], "primary_label": ["x"], "start_time": [np.nan], "end_time": [np.nan], "duration": [100.0]}
    )
    starts = clips_table(recordings, np.array([True]), tiny_recipe.with_(max_windows=3))["start_time"].tolist()
    assert starts == [0.0, 50.0, 99.0]


def test_multi_label_targets_follow_the_recipe(tiny_table, tiny_recipe):
    recipe = tiny_recipe.with_(
        task="multi", activation="sigmoid", secondary="weight", secondary_weight=0.3, batch_size=24, sampling_power=0.0
    )  # a batch is all that trains: it holds the secondary labels for certain
    y = bird_dls(tiny_table, recipe).train.one_batch()[1]
    assert y.shape == (24, 3)
    assert torch.unique(y).tolist() == pytest.approx([0, 0.3, 1])
    masked = bird_dls(tiny_table, recipe.with_(secondary="mask")).train.one_batch()[1]
    assert masked.isnan().any()


def test_weighted_sampling_draws_rare_species_as_often(tiny_table, tiny_recipe):
    rare = pd.concat([tiny_table[:10], tiny_table[10:20], tiny_table[20:23]])
    dls = bird_dls(rare, tiny_recipe.with_(sampling_power=1.0, batch_size=8, fold=0, n_folds=2))
    drawn = pd.Series(np.concatenate([dls.train.get_idxs() for _ in range(300)]))
    species = dls.plan.clips[~dls.plan.clips["is_valid"]]["primary_label"].to_numpy()[drawn]
    share = pd.Series(species).value_counts(normalize=True)
    assert share.between(0.3, 0.37).all(), share
    plain = bird_dls(rare, tiny_recipe.with_(sampling_power=0.0, batch_size=8, n_folds=2))
    assert sorted(plain.train.get_idxs()) == list(range(plain.train.n))


@pytest.mark.parametrize("limit", [{}, {"sampling_floor": 100}, {"sampling_cap": 1}])
def test_counts_are_limited_as_the_recipe_says(tiny_table, tiny_recipe, limit):
    recipe = tiny_recipe.with_(sampling_power=1.0, n_folds=2, **limit)
    weights = bird_dls(tiny_table[:23], recipe, device="cpu").train.wgts
    assert (np.ptp(weights) < 1e-9) == bool(limit)  # limited to one count, all species are as common


def test_the_split_is_the_recipes(tiny_table, tiny_recipe):
    recordings = read_source(tiny_table).recordings
    knobs = [{}, {"fold": 1}, {"n_folds": 2}, {"seed": 3}, {"group": "none"}]
    assert len({tuple(split_both(recordings, tiny_recipe.with_(**changes))) for changes in knobs}) == len(knobs)


def test_masks_are_the_recipes(tiny_recipe):
    recipe = tiny_recipe.with_(time_masks=3, time_mask_width=5, freq_masks=1, freq_mask_width=7, mask_p=0.25)
    masks = {type(tfm): (tfm.n_masks, tfm.max_width, tfm.p_item) for tfm in recipe_audio_block(recipe).batch_tfms[1:]}
    assert masks == {MaskTime: (3, 5, 0.25), MaskFreq: (1, 7, 0.25)}


def test_two_workers_draw_different_crops(tiny_table, tiny_recipe):
    one = pd.concat([tiny_table[tiny_table["path"].str.endswith("species0/0.wav")]] * 16 + [tiny_table[10:]])
    dls = bird_dls(one.assign(fold=(one["primary_label"] != "species0").astype(int)), tiny_recipe.with_(
        sampling_power=0.0, batch_size=4, fold=1, n_folds=2, time_masks=0, freq_masks=0), num_workers=2)  # fmt: skip
    crops = torch.cat([x.waveform[:, 0, :50].as_subclass(torch.Tensor) for x, _ in dls.train])
    assert len(torch.unique(crops, dim=0)) == len(crops)


def test_broken_files_are_left_out_and_listed(tiny_table, tiny_recipe, tmp_path):
    (tmp_path / "zero.wav").write_bytes(b"")
    table = pd.concat([tiny_table, tiny_table[:1].assign(path=str(tmp_path / "zero.wav"))])
    dls = bird_dls(table, tiny_recipe)
    assert dls.plan.bad_files.table()["path"].tolist() == [str(tmp_path / "zero.wav")]
    assert str(tmp_path / "zero.wav") not in set(dls.plan.clips["path"])
    with pytest.raises(BirdfastError, match=r"1 of 31 recordings cannot be read.*zero\.wav"):
        bird_dls(table, tiny_recipe.with_(max_bad=0.01))


def test_a_batch_of_more_than_there_is_shrinks_and_trains(tiny_birds, tiny_recipe, capsys):
    dls = bird_dls(tiny_birds, tiny_recipe.with_(batch_size=512), device="cpu")
    assert "batch_size=16 in place of 512" in capsys.readouterr().err
    assert dls.recipe.batch_size == dls.train.bs == 16 and len(dls.train) == 1


def test_few_steps_are_said_with_a_batch_size_that_gives_enough(tiny_birds, tiny_recipe, capsys):
    few = bird_dls(tiny_birds, tiny_recipe.with_(batch_size=20))
    said = capsys.readouterr().err
    assert len(few.train) == 1
    assert "1 step an epoch, 4 of 24 clips left out each time (batch_size=20): few to learn from" in said
    assert "consider batch_size=2\n" in said
    enough = bird_dls(tiny_birds, tiny_recipe.with_(batch_size=2))
    assert len(enough.train) == 12
    assert "12 steps an epoch (batch_size=2)\n" in capsys.readouterr().err


def test_unknown_recordists_are_said(tiny_birds, tiny_table, tiny_recipe, capsys):
    bird_dls(tiny_birds, tiny_recipe)
    said = capsys.readouterr().err
    assert "recordists unknown; device" in said and "0 recordists" not in said
    assert "cannot be told" in said and "a csv with a column author can tell" in said
    bird_dls(tiny_table.drop(columns="author"), tiny_recipe)
    assert "name the column of recordists (author)" in capsys.readouterr().err
    bird_dls(tiny_table, tiny_recipe)
    said = capsys.readouterr().err
    assert " by 5 recordists; device" in said and "the split does not leak" in said


def test_names_of_columns_have_their_place(tiny_birds, tiny_recipe):
    with pytest.raises(
        BirdfastError, match=r"file is no knob of the recipe, it goes into columns: columns=dict\(file=...\)"
    ):
        bird_dls(tiny_birds, tiny_recipe, file="name")
    with pytest.raises(BirdfastError, match="unknown name in columns 'auther': did you mean 'author'"):
        bird_dls(tiny_birds, tiny_recipe, columns={"auther": "x"})


def test_a_number_of_workers_below_0(tiny_birds, tiny_recipe):
    with pytest.raises(BirdfastError, match="num_workers=-1: give 0"):
        bird_dls(tiny_birds, tiny_recipe, num_workers=-1)
    with pytest.raises(BirdfastError, match="num_workers='2': give 0"):
        bird_dls(tiny_birds, tiny_recipe, num_workers="2")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_said_so(tiny_birds, tiny_recipe):
    with pytest.raises(BirdfastError, match="device='cuda': PyTorch finds no GPU here"):
        bird_dls(tiny_birds, tiny_recipe, device="cuda")
    with pytest.raises(BirdfastError, match="device='gpu' is none of PyTorch's: give 'cpu' or 'cuda'"):
        bird_dls(tiny_birds, tiny_recipe, device="gpu")


def test_a_wrong_backbone_fails_before_the_data_are_read(tiny_recipe):
    with pytest.raises(BirdfastError, match="unknown backbone 'resnet81'"):
        bird_dls("nowhere", tiny_recipe, backbone="resnet81")


def test_paths_are_items_to_predict(dls, tiny_birds):
    files = sorted(tiny_birds.rglob("*.wav"))[:3]
    for items in (files, [str(file) for file in files]):
        batch = dls.test_dl(items, num_workers=0).one_batch()
        assert batch[0].shape[0] == 6  # 2 s each, windows of 1 s
    assert dls.test_dl(tiny_birds / "species0").n == 20
    assert dls.test_dl(dls.plan.clips[:4]).n == 4
    assert dls.new_empty().test_dl(files).n == 6


def test_show_batch_draws_spectrograms_with_labels(dls):
    dls.show_batch(max_n=4)
    titles = [ax.get_title() for ax in plt.gcf().axes]
    assert len([t for t in titles if t.startswith("species")]) == 4
    plt.close("all")


def test_a_source_can_be_given_as_it_is(tiny_birds, tiny_recipe):
    assert bird_dls(read_source(tiny_birds), tiny_recipe).plan.source.layout == "folder per class"


@pytest.mark.parametrize(
    ("knobs", "expected"),
    [
        ({"secondary": "ignore"}, 0.0),
        ({"secondary": "weight", "secondary_weight": 1.0}, 1.0),
        ({"secondary": "weight", "secondary_weight": 0.3}, 0.3),
        ({"secondary": "mask"}, np.nan),
    ],
)
@pytest.mark.parametrize("loss", ["bce", "ce"])
def test_each_treatment_of_secondary_labels_reaches_the_loss(tiny_table, tiny_recipe, knobs, expected, loss):
    others = [["species2", "unknown owl"] if "species0" in path else [] for path in tiny_table["path"]]
    table = tiny_table.assign(secondary_labels=others)
    recipe = tiny_recipe.with_(task="multi", activation="sigmoid", loss=loss, batch_size=16, **knobs)
    y = bird_dls(table, recipe).train.one_batch()[1].as_subclass(torch.Tensor)
    heard = y[:, 0] == 1
    np.testing.assert_allclose(y[heard, 2], np.full(int(heard.sum()), expected), rtol=1e-6)
    assert create_loss(recipe)(torch.zeros(16, 3), y).isfinite()


@pytest.mark.parametrize("task", ["single", "multi"])
def test_no_call_is_learned_and_not_predicted(with_silence, tiny_recipe, tmp_path, task):
    activation = "softmax" if task == "single" else "sigmoid"
    recipe = tiny_recipe.with_(task=task, activation=activation, no_call=True, epochs=12, lr=0.01, mixup_alpha=0.0)
    learn = bird_learner(bird_dls(with_silence, recipe, device="cpu"))
    assert list(learn.dls.vocab) == ["species0", "species1", "species2", "nocall"]
    with learn.no_bar(), learn.no_logging():
        learn.fit_recipe()
    assert learn.scores()["roc_auc"] > 0.8
    targets, probabilities = learn.recording_scores()
    assert probabilities.shape == (len(targets), 3)
    assert np.isfinite(learn.scores()["accuracy"])

    files = with_silence.groupby("primary_label")["path"].first()
    own = learn.probabilities(list(files))
    assert list(own.columns) == ["species0", "species1", "species2"]
    silent = own.xs(files["nocall"], level="path").to_numpy()
    heard = own.drop(files["nocall"], level="path").to_numpy()
    assert silent.max() < heard.max(1).mean()  # the missing share went to the class that is dropped
    save_bundle(learn, tmp_path / "birds.safetensors")
    np.testing.assert_allclose(Predictor(tmp_path / "birds.safetensors").predict(list(files)), own, atol=1e-4)
    assert Shipped(as_bundle(learn))(torch.zeros(1, 8000)).shape == (1, 3)
    assert learn.predict(files["species1"])[2].shape == (3,)


def test_a_clip_mixed_with_one_without_call_is_not_without_call(with_silence, tiny_recipe):
    recipe = tiny_recipe.with_(task="multi", activation="sigmoid", no_call=True, wave_mix=1.0, batch_size=30)
    dls = bird_dls(with_silence, recipe, device="cpu")
    y = dls.train.one_batch()[1].as_subclass(torch.Tensor)
    called = y[:, :3].sum(1) > 0
    assert (y[called, 3] == 0).all()
    assert (y[~called, 3] == 1).all()
    assert bird_learner(dls).mix_up.no_call


def test_no_call_without_such_clips_is_refused(tiny_table, tiny_recipe):
    with pytest.raises(BirdfastError, match="no_call=True needs clips without a call"):
        bird_dls(tiny_table, tiny_recipe.with_(no_call=True))


@pytest.mark.parametrize("fold", [0, 1])
def test_a_row_that_begins_after_its_recording_is_told_and_left_out(tiny_table, tiny_recipe, capsys, fold):
    table = tiny_table.assign(start_time=0.0, fold=[0, 1] * 15)
    table.loc[fold, "start_time"] = 5.0
    dls = bird_dls(table, tiny_recipe, fold=0, num_workers=0, device="cpu")
    where = f"(first: {table['path'][fold]} at 5 s, which ends at 2 s): left out"
    assert f"1 rows of recordings begin after the end of their file {where}" in capsys.readouterr().err
    assert len(dls.plan.clips["recording"].unique()) == 29 and len(dls.plan.bad_files) == 0
    with pytest.raises(BirdfastError, match="30 of 30 rows begin after the end of their recording.*in seconds from"):
        bird_dls(table.assign(start_time=5.0), tiny_recipe, num_workers=0, device="cpu")


def test_a_wide_table_trains_what_it_says_and_leaves_out_what_it_does_not(tiny_table, tiny_recipe, capsys):
    names = sorted(tiny_table["primary_label"].unique())
    wide = tiny_table[["path", "author"]].copy()
    for name in names:
        wide[name] = (tiny_table["primary_label"] == name).astype(float)
    wide.loc[wide.index % 4 == 0, names[2]] = np.nan  # nobody listened for it
    wide.loc[wide.index % 5 == 0, names[:2]] = 0.0  # no call of these
    dls = bird_dls(wide, tiny_recipe, device="cpu")
    assert "several species" in capsys.readouterr().err and dls.recipe.task == "multi"
    y = torch.cat([y.as_subclass(torch.Tensor) for _, y in dls.train])
    assert y[:, 2].isnan().any() and not y[:, :2].isnan().any() and (y.nan_to_num().sum(1) == 0).any()
    learn = bird_learner(dls)
    with learn.no_bar(), learn.no_logging():
        learn.fit_recipe(epochs=1)
        assert np.isfinite(learn.scores()["valid_loss"])
