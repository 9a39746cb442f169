"""What a model calls where no bird sings."""

import numpy as np
import pytest

from birdfast.prediction.noise import noise_line, noise_table
from birdfast.recipe.recipe import Recipe
from birdfast.synthetic.noises import NOISES


class Loudness:
    """An engine whose first class is as probable as the window is loud, its second never."""

    name = device = "cpu"
    extra: dict = {}
    classes = ["loud", "never"]
    recipe = Recipe(sample_rate=8000, fmax=4000.0, duration=5.0)

    def run(self, batch):
        loud = np.sqrt((batch**2).mean(1))
        return np.stack([np.minimum(1, loud * 7), 0 * loud], 1).astype(np.float32)


@pytest.mark.parametrize("name", NOISES)
def test_noises_are_of_their_length_and_repeat(name):
    one, two = (NOISES[name](4000, 8000, np.random.default_rng(0)) for _ in range(2))
    assert one.shape == (4000,) and one.dtype == np.float32 and np.array_equal(one, two) and np.abs(one).max() <= 1


def test_pink_noise_has_equal_energy_in_octaves():
    power = np.abs(np.fft.rfft(NOISES["pink noise"](80_000, 8000, np.random.default_rng(0)))) ** 2
    octaves = [power[n : 2 * n].sum() for n in (1000, 2000, 4000, 8000, 16_000)]
    assert max(octaves) < 1.3 * min(octaves)


def test_what_is_called_is_told():
    table = noise_table(Loudness(), {"loud": 0.4, "never": 0.1}).set_index("noise")
    assert table.loc["silence", "called"] == 0 and table.loc["white noise", "called"] == 1
    assert table.loc["white noise", "class"] == "loud" and table.loc["white noise", "windows"] == 12
    assert "80%" in noise_line(table.reset_index()) and "loud" in noise_line(table.reset_index())


def test_nothing_is_called_above_a_higher_threshold():
    table = noise_table(Loudness(), 0.99)
    assert (table["called"] == 0).all() and "nothing is called" in noise_line(table)
