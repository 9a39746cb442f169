"""Windows that are scored from a longer stretch of sound: validation and inference hear the same."""

import numpy as np
import pytest
import torch

from birdfast.audio.read import fit, read_clip
from birdfast.errors import BirdfastError
from birdfast.training.dataloaders import bird_dls
from birdfast.training.learner import bird_learner
from birdfast.training.transforms import Clip, ReadClip


@pytest.fixture(scope="module")
def wide(tiny_recipe):
    return tiny_recipe.with_(duration=1.5, window=0.5, hop_length=64, pooling="sed", mixup_alpha=0.0, epochs=1)


@pytest.mark.parametrize(
    ("pad", "lead", "wanted"),
    [
        ("repeat", 2, [2, 3, 1, 2, 3, 1, 2]),
        ("end", 2, [0, 0, 1, 2, 3, 0, 0]),
        ("center", 0, [1, 2, 3, 0, 0, 0, 0]),
        ("repeat", None, [1, 2, 3, 1, 2, 3, 1]),
    ],
)
def test_a_waveform_that_begins_late(pad, lead, wanted):
    assert fit(np.arange(1, 4), 7, pad=pad, lead=lead).tolist() == wanted


def test_validation_reads_around_the_clip_and_training_does_not(tiny_birds):
    file = str(next(tiny_birds.rglob("*.wav")))
    whole = read_clip(file, sample_rate=8000)
    reader = ReadClip(8000, 1.0, "end", window=0.5)
    inside = reader(Clip(file, 1.0, 1.5), split_idx=1)[0].numpy()
    np.testing.assert_array_equal(inside, whole[6000:14_000])
    first = reader(Clip(file, 0.0, 0.5), split_idx=1)[0].numpy()
    np.testing.assert_array_equal(first, np.concatenate([np.zeros(2000, np.float32), whole[:6000]]))
    last = reader(Clip(file, 1.5, 2.0), split_idx=1)[0].numpy()
    np.testing.assert_array_equal(last, np.concatenate([whole[10_000:], np.zeros(2000, np.float32)]))
    short = reader(Clip(file, 1.0, 1.2), split_idx=1)[0].numpy()
    assert (short[:2000] == 0).all()
    assert (short[3600:] == 0).all()
    drawn = {float(reader(Clip(file, 0.0, 2.0), split_idx=0).sum()) for _ in range(5)}
    assert len(drawn) > 1


@pytest.mark.parametrize("pad", ["repeat", "center"])
def test_the_learner_the_cache_and_the_predictor_agree(tiny_birds, wide, tmp_path, pad):
    from birdfast.prediction.predictor import Predictor
    from birdfast.scoring.bundle import save_bundle

    wide = wide.with_(pad=pad)
    learn = bird_learner(bird_dls(tiny_birds, wide, device="cpu"))
    learn.fit_recipe()
    clips = learn.dls.plan.clips[learn.dls.plan.clips["is_valid"]]
    np.testing.assert_allclose(clips["end_time"] - clips["start_time"], 0.5)
    file = str(next(tiny_birds.rglob("*.wav")))
    ours = learn.probabilities(file)
    theirs = Predictor(save_bundle(learn, tmp_path / "b.safetensors")).predict(file, progress=False)
    assert theirs.index.get_level_values("start_time").tolist() == [0, 0.5, 1, 1.5]
    np.testing.assert_allclose(ours, theirs, atol=2e-4)
    assert np.abs(np.diff(theirs.to_numpy(), axis=0)).max() > 1e-4  # each window its own sound
    cached = bird_dls(tiny_birds, wide, device="cpu", cache="waveform", cache_dir=tmp_path / "cache")
    learn.dls.valid.after_item, plain = cached.valid.after_item, learn.scores()
    assert learn.scores()["valid_loss"] == pytest.approx(plain["valid_loss"], abs=1e-3)


def test_what_lies_around_is_heard_and_not_scored(wide):
    from birdfast.models import create_model

    torch.manual_seed(0)
    model = create_model(wide.with_(duration=8.0, window=2.0), 3).eval()
    spectrogram = torch.randn(1, 1, 32, 512)
    far = spectrogram.clone()
    far[..., :64] = 9.0
    near = spectrogram.clone()
    near[..., 224:288] = 9.0
    change = [float((model(x) - model(spectrogram)).abs().max()) for x in (far, near)]
    assert change[1] > 10 * change[0]


def test_contradictions_are_refused_before_data_are_read(wide, tmp_path):
    with pytest.raises(BirdfastError, match="does not fit into a duration of 1.5 s"):
        wide.with_(window=2.0)
    with pytest.raises(BirdfastError, match="window must not be negative"):
        wide.with_(window=-1.0)
    with pytest.raises(BirdfastError, match="hold no sound around a window of 0.5 s: use cache='waveform'"):
        bird_dls(tmp_path / "nowhere", wide, cache="spectrogram")
