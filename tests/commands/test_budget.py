import pytest

from birdfast.commands import budget as module
from birdfast.commands.budget import Budget, budget
from birdfast.errors import BirdfastError
from birdfast.models import create_model
from birdfast.scoring.bundle import Bundle, save_bundle
from birdfast.spectrogram.logmel import LogMel


@pytest.fixture
def model(tiny_recipe, tmp_path):
    net = create_model(tiny_recipe, 2, weights="random")
    bundle = Bundle(net.eval(), LogMel.from_recipe(tiny_recipe), ["a", "b"], tiny_recipe)
    return save_bundle(bundle, tmp_path / "birds.safetensors")


def test_the_sums_are_right():
    found = Budget(60.0, an_hour=300.0, model_an_hour=240.0, files=600, minutes=1.0, limit=90.0)  # ten hours of sound
    assert found.needed == pytest.approx(1 + 50)
    assert found.fits
    assert found.models == 1  # 51 of the 72 minutes that leave a fifth to spare
    assert "fits 90 minutes" in str(found)
    assert "0.20 recording-hours a minute" in str(found)
    tight = Budget(60.0, an_hour=300.0, model_an_hour=240.0, files=600, minutes=1.0, limit=50.0)
    assert not tight.fits
    assert tight.models == 0
    assert "does NOT fit" in str(tight)


def test_it_measures_what_predicting_takes(model, monkeypatch):
    monkeypatch.setattr(module, "_LEAST", 0.0)
    found = budget(model, files=10, minutes=0.2)
    assert found.load > 0
    assert 0 < found.model_an_hour < found.an_hour < 3600
    assert budget([model, model], files=10, minutes=0.2).fits
    assert found.fits


def test_an_ensemble_decodes_once():
    """51 minutes for the first, 41 for each one more: 1 + (0.8 x limit - 51) / 41."""
    fits = {64: 1, 114: 1, 116: 2, 166: 2, 167: 3, 63: 0}
    for limit, models in fits.items():
        found = Budget(60.0, an_hour=300.0, model_an_hour=240.0, files=600, minutes=1.0, limit=float(limit))
        assert found.models == models, limit
    alone = Budget(60.0, an_hour=300.0, model_an_hour=300.0, files=600, minutes=1.0, limit=167.0)
    assert alone.models == 2, "nothing to share where decoding costs nothing"
    assert "80% of the time in the model" in str(found)


@pytest.mark.parametrize("wrong", [{"files": 0}, {"minutes": -1.0}, {"limit": 0.0}])
def test_numbers_must_be_above_zero(model, wrong):
    with pytest.raises(BirdfastError, match=rf"--{next(iter(wrong))} must be above 0"):
        budget(model, **wrong)
