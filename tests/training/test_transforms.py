import pickle

import pytest
import torch
from fastai.data.load import SkipItemException

from birdfast.audio.bad_files import BadFiles
from birdfast.audio.read import AudioError
from birdfast.errors import BirdfastError
from birdfast.spectrogram.logmel import LogMel
from birdfast.training.transforms import AudioSpectrogram, AudioTensor, AudioToSpec, Clip, MaskFreq, MaskTime, ReadClip


@pytest.fixture
def logmel():
    return LogMel(sample_rate=8000, n_fft=256, hop_length=128, n_mels=32, fmax=4000)


@pytest.fixture
def spectrograms(logmel):
    torch.manual_seed(0)
    return AudioToSpec(logmel)(AudioTensor(torch.randn(4, 1, 8000), sample_rate=8000))


def test_audio_to_spec_wraps_the_logmel(logmel):
    audio = AudioTensor(torch.randn(4, 1, 8000), sample_rate=8000)
    spectrograms = AudioToSpec(logmel)(audio)
    assert type(spectrograms) is AudioSpectrogram
    torch.testing.assert_close(spectrograms.as_subclass(torch.Tensor), logmel(audio.as_subclass(torch.Tensor)))


# A transform = a row here: it must change a batch in training and be the identity in validation.
@pytest.mark.parametrize(
    "transform", [MaskTime(8, 1, 1.0), MaskTime(8, 3, 1.0), MaskFreq(8, 1, 1.0), MaskFreq(8, 3, 1.0)], ids=repr
)
class TestMasks:
    def test_changes_training_batches_only(self, transform, spectrograms):
        y = torch.arange(4)
        trained, same_y = transform((spectrograms, y), split_idx=0)
        assert type(trained) is AudioSpectrogram
        assert not torch.equal(trained, spectrograms)
        assert torch.equal(same_y, y)
        assert torch.equal(transform((spectrograms, y), split_idx=1)[0], spectrograms)

    def test_items_get_masks_of_their_own(self, transform, spectrograms):
        same = spectrograms[:1].repeat(16, 1, 1, 1)
        masks = transform(same, split_idx=0) != same
        assert len({tuple(m.flatten().tolist()) for m in masks}) > 4

    def test_probability_is_per_item(self, transform, spectrograms):
        half = type(transform)(transform.max_width, transform.n_masks, 0.5)
        many = spectrograms[:1].repeat(200, 1, 1, 1)
        touched = (half(many, split_idx=0) != many).flatten(1).any(1).float().mean()
        assert 0.35 < touched < 0.65

    def test_width_is_bounded(self, transform, spectrograms):
        _, width = transform.draw(500, 63, "cpu")
        assert width.max() == 8
        assert width.min() == 1

    def test_raises_on_the_wrong_stage(self, transform, spectrograms):
        with pytest.raises(BirdfastError, match="after AudioToSpec"):
            transform((AudioTensor(torch.randn(2, 1, 800)), torch.arange(2)), split_idx=0)


@pytest.mark.parametrize("n_masks", [1, 3])
@pytest.mark.parametrize(("mask", "other"), [(MaskTime, -2), (MaskFreq, -1)])
def test_as_many_stripes_are_hidden_as_asked(mask, other, n_masks, spectrograms):
    many = spectrograms[:1].repeat(50, 1, 1, 1)
    hidden = (mask(1, n_masks, 1.0)(many, split_idx=0) != many).as_subclass(torch.Tensor)
    assert hidden.any(other).sum(-1).max() == n_masks


def test_audio_to_spec_raises_on_spectrograms_and_pictures(spectrograms):
    for wrong in (spectrograms, torch.randn(2, 3, 8, 8)):
        with pytest.raises(BirdfastError, match="AudioToSpec works on AudioTensor"):
            AudioToSpec()((wrong, torch.arange(2)))


def test_training_reads_random_places_and_validation_the_start(tiny_birds):
    read, file = ReadClip(8000, 0.5), str(next(tiny_birds.rglob("*.wav")))
    train = [read(Clip(file), split_idx=0) for _ in range(4)]
    valid = [read(Clip(file), split_idx=1) for _ in range(2)]
    assert all(t.shape == (1, 4000) and type(t) is AudioTensor for t in train + valid)
    assert not torch.equal(train[0], train[1])
    assert torch.equal(valid[0], valid[1])
    assert torch.equal(valid[0], AudioTensor.create(file, 8000, duration=0.5))


def test_a_clip_ends_where_it_says(tiny_birds):
    file = str(next(tiny_birds.rglob("*.wav")))
    audio = ReadClip(8000, 1.0, pad="end")(Clip(file, 0.5, 0.75), split_idx=0)
    assert audio[0, :2000].abs().max() > 0.1
    assert (audio[0, 2000:] == 0).all()


def test_broken_files_are_listed_skipped_in_training_and_silent_in_validation(tmp_path):
    broken = tmp_path / "broken.wav"
    broken.write_bytes(b"")
    with pytest.raises(AudioError, match=r"broken\.wav"):
        ReadClip(8000, 1.0)(Clip(str(broken)), split_idx=0)
    bad_files = BadFiles(tmp_path / "bad.jsonl")
    read = ReadClip(8000, 1.0, bad_files=bad_files)
    with pytest.raises(SkipItemException):
        read(Clip(str(broken)), split_idx=0)
    assert (read(Clip(str(broken), 0.0, 1.0), split_idx=1) == 0).all()
    assert bad_files.table()["path"].tolist() == [str(broken)]


def test_types_survive_pickling(spectrograms):
    audio = pickle.loads(pickle.dumps(AudioTensor(torch.randn(1, 800), sample_rate=8000)))
    assert type(audio) is AudioTensor
    assert audio.sample_rate == 8000


def test_show_has_seconds_and_khz(spectrograms):
    ax = spectrograms[0].show(title="wren")
    assert "s" in ax.get_xlabel()
    assert "kHz" in ax.get_ylabel()
    assert ax.get_title() == "wren"
    assert "(s)" in AudioTensor(torch.randn(1, 800), sample_rate=8000).show(hear=False).get_xlabel()


def test_a_spectrogram_without_its_sound_says_so(spectrograms):
    assert spectrograms.waveform.shape == (4, 1, 8000)
    with pytest.raises(BirdfastError, match="no sound with it"):
        AudioSpectrogram(torch.randn(1, 8, 8)).hear()


@pytest.mark.parametrize(("sample_rate", "kind"), [(32_000, "audio/mpeg"), (30_000, "audio/wav")])
def test_a_player_is_small_and_plays_at_its_rate(sample_rate, kind):
    player = AudioTensor(torch.randn(1, sample_rate) * 0.1, sample_rate=sample_rate).hear()
    assert f'type="{kind}"' in player._repr_html_()
    assert len(player.data) < sample_rate * 2 + 100
