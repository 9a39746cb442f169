"""The same job on Ray, on this machine."""

import sys

import pandas as pd
import pytest
from test_predictor import make_bundle, write

from birdfast.errors import BirdfastError
from birdfast.prediction.ray import _share
from birdfast.prediction.run import predict_into
from birdfast.scoring.bundle import save_bundle


@pytest.fixture(scope="module")
def cluster():
    ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'birdfast[ray]'")
    ray.init(num_cpus=1, log_to_driver=False, configure_logging=False, include_dashboard=False)
    yield ray
    ray.shutdown()


def test_ray_leaves_the_same_folder_and_goes_on(cluster, tiny_recipe, tmp_path):
    model = save_bundle(make_bundle(tiny_recipe.with_(duration=2.0)), tmp_path / "birds.safetensors")
    for i, seconds in enumerate((7, 4, 3)):
        write(tmp_path / "sounds" / f"{i}.wav", seconds, i)
    (tmp_path / "sounds" / "zero.wav").write_bytes(b"")
    job = {"models": model, "paths": tmp_path / "sounds", "step": 1.0, "progress": False}
    local = predict_into(tmp_path / "local", **job)
    predict_into(tmp_path / "ray", [model], tmp_path / "sounds" / "0.wav", step=1.0, progress=False)
    (done,) = (tmp_path / "ray" / "scores").iterdir()
    before = done.stat().st_mtime_ns
    ray = predict_into(tmp_path / "ray", **job, engine="ray")
    names = [sorted(f.name for f in (tmp_path / out / "scores").iterdir()) for out in ("local", "ray")]
    assert names[0] == names[1] and done.stat().st_mtime_ns == before
    pd.testing.assert_frame_equal(pd.concat(ray.tables()), pd.concat(local.tables()), atol=1e-5, rtol=0)
    pd.testing.assert_frame_equal(ray.errors, local.errors)


@pytest.mark.parametrize(
    ("resources", "n_rows", "shared"),
    [
        ([{"CPU": 2}], 100, (2, 0, 1)),
        ([{"CPU": 16}, {"CPU": 8}, {"memory": 1}], 100, (4, 0, 6)),
        ([{"CPU": 16, "GPU": 2}], 100, (4, 1, 2)),
        ([{"CPU": 64}], 3, (4, 0, 3)),
        ([{"CPU": 0.5}], 3, (4, 0, 1)),
    ],
)
def test_actors_share_the_machines(resources, n_rows, shared):
    assert _share([{"Alive": True, "Resources": r} for r in resources], n_rows) == shared
    gone = {"Alive": False, "Resources": {"CPU": 1, "GPU": 8}}
    assert _share([gone, *({"Alive": True, "Resources": r} for r in resources)], n_rows) == shared


def test_without_ray_the_remedy_is_named(tiny_recipe, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    model = save_bundle(make_bundle(tiny_recipe), tmp_path / "birds.safetensors")
    write(tmp_path / "a.wav", 2, 0)
    with pytest.raises(BirdfastError, match=r"pip install 'ray\[data\]'"):
        predict_into(tmp_path / "out", [model], tmp_path / "a.wav", engine="ray", progress=False)
