"""Seeded fixtures small enough to train on in seconds."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

os.environ.setdefault("MPLBACKEND", "Agg")
if "PYTEST_XDIST_WORKER" in os.environ:  # a core each
    os.environ.setdefault("OMP_NUM_THREADS", "1")

SAMPLE_RATE = 8000


def chirp(species: int, seconds: float, seed: int) -> np.ndarray:
    """A call whose sweep tells the species: rising, falling or flat, with noise of its own."""
    rng = np.random.default_rng([species, seed])
    t = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    slope = [-1500.0, 0.0, 1500.0][species % 3]
    phase = 2 * np.pi * (1800 * t + slope * (t % 0.5) ** 2 / 2 + 50 * species * t)
    return (0.4 * np.sin(phase) + 0.05 * rng.standard_normal(len(t))).astype(np.float32)


@pytest.fixture(scope="session")
def tiny_birds(tmp_path_factory) -> Path:
    """A folder per class: 3 species, 10 recordings of 2 s each, 8 kHz."""
    root = tmp_path_factory.mktemp("tiny_birds")
    for species in range(3):
        folder = root / f"species{species}"
        folder.mkdir()
        for i in range(10):
            soundfile.write(folder / f"{i}.wav", chirp(species, 2.0, i), SAMPLE_RATE)
    return root


@pytest.fixture
def tiny_table(tiny_birds) -> pd.DataFrame:
    """The same as a table with recordists, two of each species by one hand, and secondary labels."""
    files = sorted(tiny_birds.rglob("*.wav"))
    return pd.DataFrame(
        {
            "path": [str(f) for f in files],
            "primary_label": [f.parent.name for f in files],
            "secondary_labels": [
                ["species2"] if f.parent.name == "species0" and int(f.stem) < 5 else [] for f in files
            ],
            "author": [f"recordist{int(f.stem) // 2}" for f in files],
        }
    )


@pytest.fixture
def with_silence(tiny_table, tmp_path):
    """The tiny birds, and ten recordings of noise labelled "nocall"."""
    rng, rows = np.random.default_rng(0), []
    for i in range(10):
        soundfile.write(tmp_path / f"{i}.wav", 0.05 * rng.standard_normal(2 * SAMPLE_RATE), SAMPLE_RATE)
        rows.append((str(tmp_path / f"{i}.wav"), "nocall", [], f"recordist{i // 2}"))
    return pd.concat([tiny_table, pd.DataFrame(rows, columns=tiny_table.columns)], ignore_index=True)


@pytest.fixture(scope="session")
def tiny_recipe():
    """A recipe that trains in about a second."""
    from birdfast.recipe.presets import RECIPES

    return RECIPES["improved"].with_(
        name="tiny", sample_rate=SAMPLE_RATE, duration=1.0, n_fft=256, win_length=256, hop_length=128, n_mels=32, fmax=4000.0,
        time_mask_width=8, freq_mask_width=4, backbone="test_efficientnet", weights="random", batch_size=8, epochs=2, lr=5e-3,
    )  # fmt: skip


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real recordings, named by BIRDFAST_DATA or found beside the checkout; skips where it is absent."""
    places = [os.environ.get("BIRDFAST_DATA", ""), Path(__file__).parents[2] / "shared" / "data"]
    found = next((Path(p) for p in places if str(p) and Path(p).is_dir()), None)
    if found is None:
        pytest.skip("no real recordings here: name their folder in BIRDFAST_DATA")
    return found
