import pickle

import matplotlib.pyplot as plt
import numpy as np
import pytest
import soundfile
import torch
from fastai.torch_core import TensorCategory, TensorMultiCategory

from birdfast.errors import BirdfastError
from birdfast.spectrogram.logmel import LogMel
from birdfast.training.augment import AddBackground, RandomFilter, RandomGain, WaveMix, wave_tfms
from birdfast.training.dataloaders import bird_dls
from birdfast.training.learner import bird_learner
from birdfast.training.rates import without_wave_mix
from birdfast.training.transforms import AudioSpectrogram, AudioTensor, AudioToSpec


@pytest.fixture
def audio():
    torch.manual_seed(0)
    return AudioTensor(torch.randn(8, 1, 4000), sample_rate=8000)


@pytest.fixture(scope="module")
def noises(tmp_path_factory):
    """A folder of noise of 3 s, silence, and a file that cannot be read."""
    folder, rng = tmp_path_factory.mktemp("noises"), np.random.default_rng(0)
    soundfile.write(folder / "noise.wav", 0.1 * rng.standard_normal(24_000), 8000)
    soundfile.write(folder / "silence.wav", np.zeros(8000), 8000)
    (folder / "broken.wav").write_bytes(b"")
    return folder


def transform(name, noises, p=1.0):
    return {
        "gain": lambda: RandomGain(12.0),
        "filter": lambda: RandomFilter(p),
        "background": lambda: AddBackground(noises, 8000, 0.5, p),
        "mix": lambda: WaveMix(4, p),
    }[name]()


# A transform = a row here: it must change a batch in training and be the identity in validation.
@pytest.mark.parametrize("name", ["gain", "filter", "background", "mix"])
class TestEveryChange:
    def test_training_batches_only(self, name, noises, audio):
        tfm, y = transform(name, noises), TensorCategory(torch.arange(8) % 4)
        x, _ = tfm((audio, y), split_idx=0)
        assert type(x) is AudioTensor
        assert x.sample_rate == 8000
        assert x.shape == audio.shape
        assert not torch.allclose(x, audio, atol=1e-3)
        same = tfm((audio, y), split_idx=1)
        assert same[0] is audio and same[1] is y

    def test_items_differ_and_the_seed_repeats(self, name, noises, audio):
        tfm = transform(name, noises)
        x = AudioTensor(audio[:1].repeat(8, 1, 1) * torch.arange(1, 9)[:, None, None] if name != "mix" else audio)
        y = TensorCategory(torch.arange(8) % 4)
        torch.manual_seed(1)
        first = tfm((x, y), split_idx=0)[0]
        torch.manual_seed(1)
        again = tfm((x, y), split_idx=0)[0]
        other = tfm((x, y), split_idx=0)[0]
        assert torch.equal(first, again)
        assert not torch.equal(first, other)
        change = (first - x).flatten(1) / x.abs().amax((1, 2))[:, None]
        assert len(torch.unique(change.round(decimals=3), dim=0)) > 4

    def test_the_wrong_stage_is_told(self, name, noises, audio):
        picture = AudioToSpec(LogMel(sample_rate=8000, n_fft=256, hop_length=128, n_mels=32, fmax=4000))(audio)
        with pytest.raises(BirdfastError, match="before AudioToSpec"):
            transform(name, noises)((picture, torch.arange(8)), split_idx=0)

    def test_survives_pickling(self, name, noises, audio):
        tfm, y = transform(name, noises), TensorCategory(torch.arange(8) % 4)
        tfm((audio, y), split_idx=0)
        copied = pickle.dumps(tfm)
        assert len(copied) < 5000  # without the background it has read
        assert not torch.equal(pickle.loads(copied)((audio, y), split_idx=0)[0], audio)


@pytest.mark.parametrize("name", ["filter", "background", "mix"])
def test_probability_is_per_item(name, noises):
    x = AudioTensor(torch.randn(200, 1, 400))
    out = transform(name, noises, p=0.5)((x, torch.zeros(200, dtype=torch.long)), split_idx=0)[0]
    touched = ((out - x).abs().flatten(1).amax(1) > 1e-4).float().mean()
    assert 0.35 < touched < 0.65


def test_gain_and_filter_keep_their_bounds(audio):
    gain = RandomGain(6.0)(audio.repeat(20, 1, 1), split_idx=0) / audio.repeat(20, 1, 1)
    assert 0.5 < gain.min() < 0.6
    assert 1.7 < gain.max() < 2.0
    edges, db = RandomFilter(1.0).draw(500)
    assert (edges.diff(dim=1) >= 0).all()
    assert -20 <= db.min() < -19
    assert -1 < db.max() <= 0


def test_background_needs_sound(tmp_path):
    with pytest.raises(BirdfastError, match="no folder"):
        AddBackground(tmp_path / "none")
    (tmp_path / "broken.wav").write_bytes(b"")
    with pytest.raises(BirdfastError, match="no sound that can be read"):
        AddBackground(tmp_path, 8000, 0.5)(AudioTensor(torch.randn(2, 1, 4000)), split_idx=0)


def test_background_comes_from_all_over_the_folder(noises):
    pool = AddBackground(noises, 8000, 0.5).pool_on("cpu")
    assert pool.shape == (6, 4000)
    assert len(torch.unique(pool, dim=0)) == 6
    assert AddBackground(noises, 8000, 0.5, most=3).pool_on("cpu").shape == (2, 4000)  # one of the three is the silence


class TestWaveMix:
    def partners(self, mixer, monkeypatch, lam=0.5):
        "Fix what is drawn: each item with the next"
        monkeypatch.setattr(mixer, "draw", lambda n: (torch.arange(n).roll(-1), torch.full((n,), lam)))
        return mixer

    def test_class_indices_become_both_species(self, audio, monkeypatch):
        y = TensorCategory(torch.tensor([0, 1, 1, 2, 3, 3, 0, 2]))
        union = self.partners(WaveMix(4, labels="union"), monkeypatch, 0.7)((audio, y), split_idx=0)[1]
        assert union[:3].tolist() == [[1, 1, 0, 0], [0, 1, 0, 0], [0, 1, 1, 0]]
        shares = self.partners(WaveMix(4, labels="interpolate"), monkeypatch, 0.7)((audio, y), split_idx=0)[1]
        torch.testing.assert_close(shares[0], torch.tensor([0.7, 0.3, 0, 0]))
        torch.testing.assert_close(shares[1], torch.tensor([0, 1.0, 0, 0]))

    def test_multi_hot_targets_keep_what_is_unknown(self, audio, monkeypatch):
        y = TensorMultiCategory(torch.zeros(8, 4))
        y[0, 0], y[1, 1], y[0, 2], y[1, 3] = 1, 1, torch.nan, torch.nan
        out = self.partners(WaveMix(4), monkeypatch)((audio, y), split_idx=0)[1]
        assert type(out) is TensorMultiCategory
        assert out[0, :2].tolist() == [1, 1]
        assert out[0, 2:].isnan().all()
        shares = self.partners(WaveMix(4, labels="interpolate"), monkeypatch)((audio, y), split_idx=0)[1]
        assert shares[0, :2].tolist() == [0.5, 0.5]
        assert shares[0, 2:].isnan().all()

    @pytest.mark.parametrize("kind", ["index", "multi-hot"])
    def test_a_call_over_no_call_is_a_call(self, audio, monkeypatch, kind):
        y = torch.tensor([0, 3, 3, 1, 2, 0, 1, 2])  # the last class is that of no call
        y = TensorCategory(y) if kind == "index" else TensorMultiCategory(torch.eye(4)[y])
        mixed = self.partners(WaveMix(4, no_call=True), monkeypatch)((audio, y), split_idx=0)[1]
        assert mixed[:3].tolist() == [[1, 0, 0, 0], [0, 0, 0, 1], [0, 1, 0, 0]]

    def test_neither_padding_nor_silence_is_mixed_into(self, audio, monkeypatch):
        x = audio.clone()
        x[0, :, 1000:] = 0  # short, padded at its end
        x[2] = 0  # silent
        x[5, :, :3000], x[6, :, 1000:] = 0, 0  # never sound together
        y = TensorCategory(torch.tensor([0, 1, 2, 3, 0, 1, 2, 3]))
        out, targets = self.partners(WaveMix(4), monkeypatch)((x, y), split_idx=0)
        assert (out[0, :, 1000:] == 0).all()
        assert not torch.allclose(out[0, :, :1000], x[0, :, :1000])
        assert targets[0].tolist() == [1, 1, 0, 0]
        for alone in (1, 2, 5):  # beside silence, silent, apart: nothing is heard, and no label comes
            assert torch.equal(out[alone], x[alone])
            assert targets[alone].sum() == 1
        assert targets[3].sum() == 2

    def test_shares(self):
        _, lam = WaveMix(4, 1.0).draw(100)
        assert (lam == 0.5).all()
        _, lam = WaveMix(4, 1.0, alpha=0.4).draw(500)
        assert lam.min() >= 0.5
        assert len(lam.unique()) > 400
        other, lam = WaveMix(4, 0.25).draw(400)
        assert 0.65 < (lam == 1).float().mean() < 0.85
        assert torch.equal(other[lam == 1], torch.arange(400)[lam == 1])
        assert (lam[lam != 1] == 0.5).all()


def batch_of(source, recipe, seed=1, **kwargs):
    dls = bird_dls(source, recipe, device="cpu", num_workers=0, **kwargs)
    from birdfast.training.checkpoint import seed_draws

    seed_draws(dls, seed)
    return dls, *dls.train.one_batch()


@pytest.fixture
def plain(tiny_recipe):
    return tiny_recipe.with_(time_masks=0, freq_masks=0, mixup_alpha=0.0)


@pytest.fixture
def changed(plain, noises):
    return plain.with_(gain_db=12.0, filter_p=0.5, background=str(noises), wave_mix=1.0)


class TestRecipe:
    "Each knob acts, as far as it says"

    def one(self, recipe, **knobs):
        _, tfm = wave_tfms(recipe.with_(**knobs), 4)
        return tfm

    def test_gain(self, plain):
        x = AudioTensor(torch.ones(200, 1, 4))
        db = 20 * self.one(plain, gain_db=3.0)(x, split_idx=0).log10()
        assert -3.01 < db.min() < -2.5
        assert 2.5 < db.max() < 3.01

    @pytest.mark.parametrize("p", [0.1, 0.9])
    @pytest.mark.parametrize("name", ["filter_p", "background_p", "wave_mix"])
    def test_how_often(self, plain, noises, name, p):
        torch.manual_seed(0)
        x = AudioTensor(torch.randn(200, 1, 400))
        more = {"background": str(noises)} if name == "background_p" else {}
        out = self.one(plain, **{name: p}, **more)((x, torch.zeros(200, dtype=torch.long)), split_idx=0)[0]
        touched = ((out - x).abs().flatten(1).amax(1) > 1e-4).float().mean()
        assert touched == pytest.approx(p, abs=0.1)

    @pytest.mark.parametrize(("low", "high"), [(0.0, 2.0), (20.0, 24.0)])
    def test_level_of_the_background(self, plain, noises, low, high):
        torch.manual_seed(0)
        x = AudioTensor(torch.randn(100, 1, 8000))
        knobs = {"background_p": 1.0, "background_snr_low": low, "background_snr_high": high}
        added = self.one(plain, background=str(noises), **knobs)(x, split_idx=0) - x
        snr = 10 * (x.square().mean((1, 2)) / added.square().mean((1, 2))).log10()
        assert low - 0.05 < snr.min() < low + 0.5
        assert high - 0.5 < snr.max() < high + 0.05

    def test_shares_of_a_mix(self, plain):
        torch.manual_seed(0)
        mean = {a: self.one(plain, wave_mix=1.0, wave_mix_alpha=a).draw(400)[1].mean() for a in (0.0, 50.0, 0.1)}
        assert mean[0.0] == 0.5
        assert 0.51 < mean[50.0] < 0.6
        assert mean[0.1] > 0.85

    @pytest.mark.parametrize("kind", ["index", "multi-hot"])
    def test_labels_of_a_mix(self, plain, kind):
        torch.manual_seed(0)
        x, y = AudioTensor(torch.randn(40, 1, 400)), torch.arange(40) % 4
        y = TensorCategory(y) if kind == "index" else TensorMultiCategory(torch.eye(4)[y])
        found = {
            labels: self.one(plain, wave_mix=1.0, wave_mix_labels=labels)((x, y), split_idx=0)[1].unique().tolist()
            for labels in ("union", "interpolate")
        }
        assert found == {"union": [0, 1], "interpolate": [0, 0.5, 1]}


def test_all_happen_before_the_spectrogram_and_in_order(tiny_birds, plain, changed):
    dls, x, y = batch_of(tiny_birds, changed)
    names = [type(t).__name__ for t in dls.train.after_batch.fs]
    assert names == ["PcmToAudio", "RandomGain", "RandomFilter", "AddBackground", "WaveMix", "AudioToSpec"]
    assert type(x) is AudioSpectrogram
    assert y.shape == (8, 3)
    assert 1 < y.sum(1).max() <= 2
    before = batch_of(tiny_birds, plain)[1]
    assert not torch.allclose(before, x, atol=0.1)
    logmel = dls.train.after_batch.fs[-1].logmel
    torch.testing.assert_close(logmel(x.waveform.as_subclass(torch.Tensor)), x.as_subclass(torch.Tensor))
    valid, labels = dls.valid.one_batch()
    assert torch.equal(valid, bird_dls(tiny_birds, plain, device="cpu").valid.one_batch()[0])
    assert labels.ndim == 1


def test_the_waveform_cache_gives_the_same(tiny_birds, changed, tmp_path):
    _, x, y = batch_of(tiny_birds, changed)
    _, cached, same_y = batch_of(tiny_birds, changed, cache="waveform", cache_dir=tmp_path)
    torch.testing.assert_close(cached.waveform, x.waveform, atol=1e-3, rtol=0)
    assert torch.equal(y, same_y)


@pytest.mark.parametrize("knob", [{"wave_mix": 0.5}, {"gain_db": 6.0}, {"filter_p": 0.5}, {"background": "noises"}])
def test_spectrograms_made_ahead_are_refused_before_anything_is_read(plain, knob, noises, tmp_path):
    knob = {"background": str(noises)} if "background" in knob else knob
    with pytest.raises(BirdfastError, match=f"{next(iter(knob))} with cache='spectrogram'"):
        bird_dls(tmp_path / "nowhere", plain.with_(**knob), cache="spectrogram")
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        np.save(tmp_path / name / "0.npy", np.zeros((2, 2)))
    with pytest.raises(BirdfastError, match=r"with saved spectrograms \(.npy\)"):
        bird_dls(tmp_path, plain.with_(**knob))


@pytest.mark.parametrize("pad", ["repeat", "end", "center"])
def test_short_clips_of_every_padding(tiny_birds, plain, pad):
    recipe = plain.with_(duration=3.0, pad=pad, wave_mix=1.0)  # the recordings last 2 s
    alone = batch_of(tiny_birds, recipe.with_(wave_mix=0.0))[1].waveform
    mixed = batch_of(tiny_birds, recipe)[1].waveform
    padding = {"repeat": slice(0, 0), "end": slice(16_000, None), "center": slice(0, 4000)}[pad]
    assert (mixed[..., padding] == 0).all()
    assert ((mixed - alone).abs().flatten(1).amax(1) > 0.05).float().mean() > 0.5


@pytest.mark.parametrize("loss", ["auto", "bce_focal"])
@pytest.mark.parametrize("labels", ["union", "interpolate"])
def test_one_species_a_clip_is_learned_with_both_mixes(tiny_birds, changed, labels, loss):
    activation = "softmax" if loss == "auto" else "sigmoid"
    recipe = changed.with_(wave_mix=0.5, wave_mix_labels=labels, mixup_alpha=0.4, loss=loss, activation=activation,
                           epochs=8, lr=0.01)  # fmt: skip
    learn = bird_learner(bird_dls(tiny_birds, recipe, device="cpu"))
    seen = []
    mixup = next(cb for cb in learn.cbs if type(cb).__name__ == "MixUp")
    before = mixup.before_batch
    mixup.before_batch = lambda: (before(), seen.append(learn.y))[0]
    with learn.no_bar(), learn.no_logging():
        learn.fit_recipe()
    assert learn.scores()["roc_auc"] > 0.7
    total = torch.stack(seen[:-1] if len(seen[-1]) < 8 else seen).sum(-1)
    assert total.max() <= (2 if labels == "union" else 1) + 1e-5
    assert (total.min() >= 1 - 1e-5).all()


def test_many_species_a_clip_train_with_both_mixes(tiny_table, changed):
    recipe = changed.with_(task="multi", activation="sigmoid", secondary="mask", mixup_alpha=0.4, label_smoothing=0.1)
    learn = bird_learner(bird_dls(tiny_table, recipe, device="cpu"))
    with learn.no_bar(), learn.no_logging():
        learn.fit_recipe()
    assert all(np.isfinite(value) for value in learn.scores().values())


def test_the_search_for_a_rate_is_without_the_mix(tiny_birds, plain, monkeypatch):
    learn = bird_learner(bird_dls(tiny_birds, plain.with_(wave_mix=1.0, lr="auto"), device="cpu"))
    mixers = [t for t in learn.dls.train.after_batch.fs if isinstance(t, WaveMix)]
    with without_wave_mix(learn.dls):
        assert learn.dls.train.one_batch()[1].ndim == 1
    assert [mixer.p_item for mixer in mixers] == [1.0]
    seen = []
    found = learn.lr_find
    monkeypatch.setattr(learn, "lr_find", lambda **kw: (seen.append(mixers[0].p_item), found(num_it=6, **kw))[1])
    assert 1e-7 < learn.find_lr() < 1
    assert seen == [0.0]
    assert mixers[0].p_item == 1.0


def test_a_run_repeats(tiny_birds, changed):
    losses = []
    for _ in range(2):
        learn = bird_learner(bird_dls(tiny_birds, changed, device="cpu"))
        with learn.no_bar(), learn.no_logging():
            learn.fit_recipe(1)
        losses.append([float(loss) for loss in learn.recorder.losses])
    assert losses[0] == losses[1]


@pytest.mark.parametrize("task", ["single", "multi"])
def test_show_batch_names_a_mixed_clip(tiny_table, plain, task):
    activation = "softmax" if task == "single" else "sigmoid"
    dls = bird_dls(tiny_table, plain.with_(wave_mix=1.0, task=task, activation=activation), device="cpu")
    dls.show_batch(max_n=4)
    titles = [ax.get_title() for ax in plt.gcf().axes]
    assert sum(title.startswith("species") for title in titles) == 4
    plt.close("all")


def test_a_learner_is_exported_and_predicts(tiny_birds, changed, tmp_path):
    from fastai.learner import load_learner

    learn = bird_learner(bird_dls(tiny_birds, changed, device="cpu"))
    with learn.no_bar(), learn.no_logging():
        learn.fit_recipe(1)
    learn.export(tmp_path / "birds.pkl")
    file = next(tiny_birds.rglob("*.wav"))
    with pytest.warns(UserWarning):
        again = load_learner(tmp_path / "birds.pkl").probabilities(file)
    np.testing.assert_allclose(again, learn.probabilities(file), atol=1e-5)
