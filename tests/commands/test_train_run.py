"""What `birdfast train` leaves behind."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch

from birdfast.commands.evaluating.heard import heard_soundscapes
from birdfast.commands.training.run import train_run
from birdfast.errors import BirdfastError
from birdfast.recipe.recipe import Recipe
from birdfast.scoring.bundle import load_bundle
from birdfast.sources.read import read_source
from birdfast.splits.run_files import BUNDLE, run_sides
from birdfast.training.dataloaders import bird_dls
from birdfast.training.learner import bird_learner


@pytest.mark.parametrize("knobs", [{"ema": 0.7}, {"swa": 1.0}])
def test_the_average_is_exported(tiny_birds, tiny_recipe, tmp_path, knobs):
    run = tmp_path / "run"
    train_run(tiny_birds, tiny_recipe.with_(**knobs), run, num_workers=0, device="cpu")
    shipped = load_bundle(run / BUNDLE).model.state_dict()
    average = torch.load(run / "more_0001.pth", weights_only=True)["average_weights"]["average"]
    assert all(torch.equal(shipped[name], tensor) for name, tensor in average.items())
    raw = torch.load(run / "last_0001.pth", weights_only=False)["model"]
    assert not torch.equal(shipped["head.2.weight"], raw["head.2.weight"])


def test_a_run_that_goes_on_keeps_its_sides(tiny_birds, tiny_recipe, tmp_path, capsys):
    birds, run, options = tmp_path / "birds", tmp_path / "run", {"num_workers": 0, "device": "cpu"}
    shutil.copytree(tiny_birds, birds)
    train_run(birds, tiny_recipe, run, **options)
    before = pd.read_csv(run / "split.csv").set_index("path")["is_valid"]
    moved = birds.rename(tmp_path / "moved")
    for name in ("new0.wav", "new1.wav", "new2.wav"):
        shutil.copy(moved / "species1/3.wav", moved / "species0" / name)
    (moved / "species2/9.wav").unlink()
    train_run(moved, tiny_recipe.with_(epochs=3), run, resume=True, **options)
    after = pd.read_csv(run / "split.csv").set_index("path")["is_valid"]
    before.index = before.index.str.replace(str(birds), str(moved))
    assert after[before.index].equals(before)
    assert not after[~after.index.isin(before.index)].any() and len(after) == 33
    said = capsys.readouterr().err
    assert "3 recordings are new since the run began: they train" in said
    assert "1 recordings of the run are not there any more" in said
    shutil.copy(tiny_birds / "species2/9.wav", moved / "species2")
    train_run(moved, tiny_recipe.with_(epochs=4), run, resume=True, **options)
    again = pd.read_csv(run / "split.csv").set_index("path")["is_valid"]
    assert again.sort_index().equals(after.sort_index())
    assert "are new since" not in capsys.readouterr().err


def test_a_run_of_a_notebook_goes_on_at_the_shell(tiny_birds, tiny_recipe, tmp_path):
    run = tmp_path / "run"
    learn = bird_learner(bird_dls(str(tiny_birds), tiny_recipe, num_workers=0, device="cpu"))
    learn.fit_recipe(run=run)
    assert json.loads((run / "data.json").read_text())["source"] == str(tiny_birds)
    before = pd.read_csv(run / "split.csv")
    train_run(
        tiny_birds, Recipe.load(run / "recipe.toml").with_(epochs=3), run, resume=True, num_workers=0, device="cpu"
    )
    pd.testing.assert_frame_equal(pd.read_csv(run / "split.csv"), before)
    assert json.loads((run / "data.json").read_text())["source"] == str(tiny_birds)
    assert load_bundle(run / BUNDLE).classes == list(learn.dls.vocab)


def test_a_csv_by_a_relative_path_may_move(tiny_birds, tiny_recipe, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(tiny_birds, "birds")
    files = sorted(Path("birds").rglob("*.wav"))
    table = pd.DataFrame(
        {"path": [f"{f.parent.name}/{f.name}" for f in files], "label": [f.parent.name for f in files]}
    )
    table.to_csv("birds/all.csv", index=False)
    train_run("birds/all.csv", tiny_recipe, "run", num_workers=0, device="cpu")
    Path("birds").rename("moved")
    train_run("moved/all.csv", tiny_recipe.with_(epochs=3), "run", resume=True, num_workers=0, device="cpu")
    split = pd.read_csv("run/split.csv")
    assert split["path"].str.startswith(str(tmp_path / "moved")).all() and len(split) == 30


def test_files_with_clips_on_both_sides_were_heard(tiny_birds, tiny_recipe, tmp_path):
    files = [str(file) for file in sorted(tiny_birds.rglob("*.wav"))]
    halves = [(path, Path(path).parent.name, half, half + 1.0, half) for path in files for half in (0, 1)]
    table = pd.DataFrame(halves, columns=["path", "label", "start_time", "end_time", "fold"])
    recipe, options = tiny_recipe.with_(duration=1.0), {"num_workers": 0, "device": "cpu"}
    train_run(table, recipe, tmp_path, **options)
    assert run_sides(tmp_path, None) == dict.fromkeys(files, False)
    assert train_run(table, recipe.with_(epochs=3), tmp_path, resume=True, **options)["epochs"] == 3


def test_a_run_goes_on_once_its_files_are_mended(tiny_birds, tiny_recipe, tmp_path):
    birds, run, options = tmp_path / "birds", tmp_path / "run", {"num_workers": 0, "device": "cpu"}
    shutil.copytree(tiny_birds, birds)
    train_run(birds, tiny_recipe, run, **options)
    again = [birds, tiny_recipe.with_(epochs=3), run]
    sound = {path: path.read_bytes() for path in sorted(birds.glob("species1/*.wav"))[:3]}
    for path in sound:
        path.write_bytes(b"")
    with pytest.raises(BirdfastError, match="3 of 30 recordings cannot be read"):
        train_run(*again, resume=True, **options)
    for path, content in sound.items():
        path.write_bytes(content)
    assert train_run(*again, resume=True, **options)["epochs"] == 3


def test_the_split_names_what_is_only_mixed_in(tiny_birds, tiny_recipe, tmp_path, capsys):
    rows, found = [], read_source(tiny_birds)
    for i in range(6):
        path = tmp_path / f"BC2026_Train_{i:04d}_S{i % 3:02d}_20250227_010002.wav"
        shutil.copy(tiny_birds / "species1" / f"{i}.wav", path)
        rows.append((str(path), 0.0, 2.0, ("species1",)))
    windows = pd.DataFrame(rows, columns=["path", "start_time", "end_time", "labels"])
    source, recipe = replace(found, soundscapes=windows), tiny_recipe.with_(epochs=1, n_folds=3, soundscape_mix=1.0)
    train_run(source, recipe, tmp_path / "run", num_workers=0, device="cpu")
    train_run(source, recipe.with_(epochs=2), tmp_path / "run", resume=True, num_workers=0, device="cpu")
    split = pd.read_csv(tmp_path / "run" / "split.csv").set_index("path")["is_valid"]
    trained = split.index[~split & split.index.isin(windows["path"])]
    assert len(split) == 36 and len(trained) == 4
    assert heard_soundscapes(source, recipe, tmp_path / "run") == set(trained)
    assert "are not there any more" not in capsys.readouterr().err
