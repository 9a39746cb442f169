"""A model of three classes, exported once to each format, and a recording to try it on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

CLASSES = ["1491113", "amecro", "zeledé"]


@pytest.fixture(scope="session")
def small_bundle(tiny_recipe):
    """Statistics of true songs, without which all scores of a random model are alike."""
    import torch

    from birdfast.models import create_model
    from birdfast.scoring.bundle import Bundle
    from birdfast.scoring.parity import check_windows
    from birdfast.spectrogram.logmel import LogMel

    torch.manual_seed(0)
    model, logmel = create_model(tiny_recipe, len(CLASSES), weights="random"), LogMel.from_recipe(tiny_recipe)
    songs = torch.from_numpy(np.stack([song for _, song in check_windows(tiny_recipe)[:8]]))[:, None]
    with torch.no_grad():
        for _ in range(20):
            model.train()(logmel(songs))
    model.head[-1].weight.data *= 10
    return Bundle(model.eval(), logmel, CLASSES, tiny_recipe, extra={"note": 'tést "<&>"'})


@pytest.fixture(scope="session")
def exported(small_bundle, tmp_path_factory) -> dict[str, Path]:
    """The bundle in every format whose runtime is installed, by suffix."""
    pytest.importorskip("onnx", reason="export needs onnx: pip install 'birdfast[onnx]'")
    pytest.importorskip("onnxruntime", reason="export needs ONNX Runtime: pip install 'birdfast[onnx]'")
    from birdfast.errors import BirdfastError
    from birdfast.scoring.bundle import save_bundle
    from birdfast.scoring.engines.load import KINDS
    from birdfast.scoring.export import export_model

    folder = tmp_path_factory.mktemp("exported")
    files = {".safetensors": save_bundle(small_bundle, folder / "birds.safetensors")}
    for suffix in (suffix for suffix, kind in KINDS.items() if kind.write):
        try:
            files[suffix] = export_model(small_bundle, folder / f"birds{suffix}").path
        except BirdfastError as error:
            if "pip install" not in str(error):
                raise
    return files


@pytest.fixture(scope="session")
def recording(tiny_recipe, tmp_path_factory) -> Path:
    """Five seconds of synthetic songs, with a part of a window at the end."""
    from birdfast.scoring.parity import check_windows

    path = tmp_path_factory.mktemp("recording") / "songs.flac"
    songs = np.concatenate([song for _, song in check_windows(tiny_recipe)[:5]])
    soundfile.write(path, np.clip(songs, -1, 1)[: -tiny_recipe.sample_rate // 3], tiny_recipe.sample_rate)
    return path
