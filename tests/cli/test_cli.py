"""The command line: the whole way on a tiny set."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch

from birdfast import __version__

COMMANDS = ["synth", "doctor", "train", "evaluate", "predict", "export"]


@pytest.mark.parametrize("command", COMMANDS)
def test_help_is_worth_reading(birdfast, command):
    text = birdfast(command, "--help").stdout
    assert "Example:" in text
    assert "SOURCE" in text or "OUT" in text or "MODEL" in text


def test_help_lists_the_commands_and_loads_nothing_heavy():
    heavy = "torch fastai pandas matplotlib numpy"
    script = (
        "import sys; from typer.testing import CliRunner; from birdfast.cli import app\n"
        "print(CliRunner().invoke(app, ['--help']).output)\n"
        f"print('loaded:', [m for m in {heavy.split()} if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert all(command in out for command in COMMANDS)
    assert "loaded: []" in out


def test_version_and_module_entry():
    command = [sys.executable, "-m", "birdfast", "--version"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == f"birdfast {__version__}\n"


def test_synth_passes_its_options_on(birdfast, monkeypatch, tmp_path):
    seen = {}
    monkeypatch.setattr("birdfast.synthetic.synth.synth", lambda out, **options: seen.update(options) or out)
    result = birdfast("synth", tmp_path / "data", "--classes", 2, "--recordings", 4, "--year", 2025, "--seed", 7)
    assert "4 recordings in the layout of 2025" in result.stdout
    wanted = {
        "n_classes": 2,
        "n_recordings": 4,
        "tail": 1.0,
        "difficulty": 1.0,
        "year": 2025,
        "seed": 7,
        "progress": True,
    }
    assert seen == wanted


def test_a_run_leaves_what_it_should(trained):
    names = {path.name for path in trained.iterdir()}
    wanted = (
        "recipe.toml history.csv history.png birds.safetensors birds.pkl per_class.csv per_class.png worst_pairs.csv"
    )
    wanted += " worst_pairs.png class_counts.png confusion.png summary.json data.json split.csv state.json best.pth"
    assert set(wanted.split()) <= names
    assert not {"models", "bad_files.csv"} & names
    summary = json.loads((trained / "summary.json").read_text())
    assert summary["n_train"] + summary["n_valid"] == 30
    assert summary["metrics"].keys() >= {"accuracy", "roc_auc", "cmap", "padded_cmap"}
    assert summary["lr"] == 5e-3
    assert {"birdfast", "torch", "fastai"} <= summary["versions"].keys()
    table = pd.read_csv(trained / "per_class.csv")
    assert table["train_recordings"].sum() == summary["n_train"]
    assert table["support"].sum() == summary["n_valid"]


def test_the_best_epoch_counts_from_1(trained):
    assert json.loads((trained / "summary.json").read_text())["best_epoch"] == 1
    assert pd.read_csv(trained / "history.csv")["epoch"].tolist() == [0]


def test_the_summary_is_the_last_line_of_the_history(trained):
    history = pd.read_csv(trained / "history.csv").iloc[-1]
    for name, value in json.loads((trained / "summary.json").read_text())["metrics"].items():
        assert history[name] == pytest.approx(value, abs=1e-5), name


def test_a_run_is_not_written_over_but_resumed(birdfast, tiny_birds, recipe_file, tmp_path):
    run = tmp_path / "run"
    train = ["train", tiny_birds, "--out", run, "--workers", 0]
    birdfast(*train, "--recipe", recipe_file)
    before = (run / "birds.safetensors").read_bytes()
    taken = birdfast(*train, "--recipe", recipe_file, code=1)
    assert "--resume" in taken.stderr
    assert "--out" in taken.stderr
    assert (run / "birds.safetensors").read_bytes() == before
    other = birdfast(*train, "--resume", "--lr", 0.1, code=1)
    assert "only --epochs may change; you changed lr (0.005 to 0.1)" in other.stderr
    others = tmp_path / "others"
    shutil.copytree(tiny_birds, others)
    (others / "species2").rename(others / "wren")
    kept = {file.name: file.read_bytes() for file in run.iterdir()}
    strange = birdfast("train", others, "--out", run, "--resume", "--epochs", 2, code=1)
    assert "was trained on other classes" in strange.stderr
    assert kept == {file.name: file.read_bytes() for file in run.iterdir()}
    birdfast(*train, "--resume", "--epochs", 2)
    assert pd.read_csv(run / "history.csv")["epoch"].tolist() == [0, 1]
    assert "epochs = 2" in (run / "recipe.toml").read_text()
    assert (run / "birds.safetensors").read_bytes() != before


def test_the_best_epoch_is_exported_when_asked(birdfast, tiny_birds, recipe_file, tmp_path, monkeypatch):
    from birdfast.scoring.bundle import load_bundle
    from birdfast.training.checkpoint import Checkpoints

    class Falls(Checkpoints):
        def after_epoch(self):
            if self.epoch >= self.start:
                self.recorder.log[self.recorder.metric_names.index("roc_auc")] = 0.9 - self.epoch / 10
            super().after_epoch()

    monkeypatch.setattr("birdfast.training.learner.Checkpoints", Falls)
    run = tmp_path / "run"
    train = ["train", tiny_birds, "--out", run, "--workers", 0]
    said = birdfast(*train, "--recipe", recipe_file, "--epochs", 2).stdout
    assert "exported: the last epoch, 2 of 2; the best by validation ROC-AUC was 1" in said
    last, summary = load_bundle(run / "birds.safetensors"), json.loads((run / "summary.json").read_text())
    assert (summary["exported"], summary["exported_epoch"], summary["best_epoch"]) == ("last", 2, 1)
    said = birdfast(*train, "--resume", "--export", "best").stdout
    assert "exported: the best epoch, 1 of 2" in said
    again = json.loads((run / "summary.json").read_text())
    assert (again["exported"], again["exported_epoch"]) == ("best", 1)
    assert again["seconds"] == summary["seconds"]  # nothing was trained
    best = load_bundle(run / "birds.safetensors")
    stored = torch.load(run / "best.pth", weights_only=True)
    assert all(torch.equal(best.model.state_dict()[name], value) for name, value in stored.items())
    assert not all(torch.equal(last.model.state_dict()[name], value) for name, value in stored.items())
    birdfast(*train, "--resume", "--epochs", 3)
    assert json.loads((run / "summary.json").read_text())["seconds"] > summary["seconds"]
    fewer = birdfast(*train, "--resume", "--epochs", 2, code=1)
    assert "has 3 epochs already and cannot go back to 2" in fewer.stderr
    assert "epochs = 3" in (run / "recipe.toml").read_text()
    assert "unknown weights to export 'bets'" in birdfast(*train, "--resume", "--export", "bets", code=1).stderr


def test_knobs_reach_the_recipe(birdfast, tiny_birds, recipe_file, tmp_path):
    run = tmp_path / "run"
    knobs = ["--set", "mixup_alpha=0", "--set", "pad=end", "--seed", 3, "--fold", 1, "--batch-size", 4, "--lr", "1e-3"]
    birdfast("train", tiny_birds, "-r", recipe_file, "--out", run, "--workers", 0, *knobs)
    from birdfast.recipe.recipe import Recipe

    recipe = Recipe.load(run / "recipe.toml")
    assert (recipe.mixup_alpha, recipe.pad, recipe.seed, recipe.fold) == (0, "end", 3, 1)
    assert (recipe.batch_size, recipe.lr, recipe.epochs) == (4, 1e-3, 1)


def test_columns_of_a_csv(birdfast, tiny_table, recipe_file, tmp_path):
    table = pd.DataFrame({"sound": tiny_table["path"], "bird": tiny_table["primary_label"], "by": tiny_table["author"]})
    table.to_csv(tmp_path / "labels.csv", index=False)
    columns = ["--file", "sound", "--label", "bird", "--author", "by"]
    report = json.loads(birdfast("doctor", tmp_path / "labels.csv", *columns, "-r", recipe_file, "--json").stdout)
    assert report["ok"]
    assert report["findings"][0]["details"]["authors"] == 5
    missing = birdfast("doctor", tmp_path / "labels.csv", "--file", "sound", "-r", recipe_file, code=1)
    assert "no column for the label" in missing.stdout


def test_doctor_source_and_run(birdfast, tiny_birds, recipe_file, trained):
    assert "passed" in birdfast("doctor", tiny_birds, "-r", recipe_file).stdout
    report = json.loads(birdfast("doctor", trained, "--json").stdout)
    assert report["kind"] == "run"
    assert "guessing among 3 classes" in report["findings"][0]["message"]


def test_doctor_looks_for_the_weights_of_the_backbone_named(birdfast, tiny_birds, recipe_file, tmp_path):
    words = ["doctor", tiny_birds, "-r", recipe_file, "--backbone"]
    assert "unknown backbone 'efficientnet_b99': did you mean" in birdfast(*words, "efficientnet_b99", code=1).stdout
    (tmp_path / "mine.pth").write_bytes(b"")
    said = birdfast(*words, "resnet18", "--weights", tmp_path / "mine.pth").stdout
    assert f"resnet18 starts from {tmp_path / 'mine.pth'}" in " ".join(said.split())
    assert "which does not exist" in birdfast(*words, "resnet18", "--weights", "none.pth", code=1).stdout


def test_evaluate_recordings(birdfast, trained, tiny_birds, tmp_path):
    every = birdfast("evaluate", trained, tiny_birds, "--out", tmp_path / "report").stdout
    assert "all 30 recordings" in every
    assert "including any the model was trained on" in every
    summary = json.loads((tmp_path / "report" / "summary.json").read_text())
    assert summary["rows"] == 30
    assert f"{summary['metrics']['roc_auc']:.4f}" in every
    assert {"per_class.csv", "worst_pairs.png", "per_class.png"} <= {p.name for p in (tmp_path / "report").iterdir()}


def test_evaluate_the_held_out_fold_gives_the_figures_of_training(birdfast, trained, tiny_birds, tmp_path):
    result = birdfast("evaluate", trained / "birds.safetensors", tiny_birds, "--fold", 0, "--out", tmp_path)
    assert "which the model held out" in result.stdout
    scored = json.loads((tmp_path / "summary.json").read_text())["metrics"]
    trained_to = json.loads((trained / "summary.json").read_text())["metrics"]
    assert scored == pytest.approx(trained_to, abs=1e-5)
    assert (
        "on all of which the model was trained: the figures are too good"
        in birdfast("evaluate", trained, tiny_birds, "--fold", 1).stdout
    )


def test_predict_and_its_list_of_errors(birdfast, trained, tiny_birds, tmp_path):
    (tmp_path / "zero.wav").write_bytes(b"")
    out = tmp_path / "scores.csv"
    result = birdfast("predict", trained, tiny_birds / "species0", tmp_path / "zero.wav", "--out", out, "--step", 0.5)
    table = pd.read_csv(out)
    assert list(table) == ["path", "start_time", "end_time", "species0", "species1", "species2"]
    assert len(table) == 30
    errors = pd.read_csv(tmp_path / "scores.errors.csv")
    assert errors["path"].tolist() == [str(tmp_path / "zero.wav")]
    assert "scores.errors.csv" in result.stderr
    birdfast("predict", trained, tiny_birds / "species0", "--out", out)
    assert not (tmp_path / "scores.errors.csv").exists()


def test_predict_into_a_folder(birdfast, trained, tiny_birds, tmp_path):
    (tmp_path / "zero.wav").write_bytes(b"")
    words = ["predict", trained, trained / "birds.safetensors", tiny_birds / "species0", tmp_path / "zero.wav"]
    options = ["--step", 0.5, "--average", "--keep", "species0,species1,wren", "--gap", 1, "--context", 0.1]
    forms = [word for form in ("csv", "events", "raven", "audacity", "wav") for word in ("--as", form)]
    result = birdfast(*words, "--out", tmp_path / "out", *options, *forms, "--threshold", 0.3)
    assert "10 recordings, 40 windows" in result.stdout and "1 recordings could not be read" in result.stdout
    assert "1 of 3 names to keep are no classes of the model and change nothing: wren" in result.stderr
    scores = pd.read_csv(tmp_path / "out" / "scores.csv")
    assert list(scores) == ["path", "start_time", "end_time", "species0", "species1"] and len(scores) == 40
    store = pd.read_parquet(tmp_path / "out" / "scores")
    assert len(store) == 30 and "species2" in store
    assert pd.read_csv(tmp_path / "out" / "errors.csv")["path"].tolist() == [str(tmp_path / "zero.wav")]
    events = pd.read_csv(tmp_path / "out" / "events.csv")
    cut = list((tmp_path / "out" / "segments").rglob("*.wav"))
    assert len(events) and len(cut) == len(events)
    again = birdfast(*words, "--out", tmp_path / "out", "--step", 0.5, "--strict", "--top-k", 1, "--no-merge")
    assert "10 recordings have their scores" in again.stderr and "30 windows, 30 events" in again.stdout


def test_training_fits_thresholds_that_predict_and_evaluate_use(birdfast, trained, tiny_birds, tmp_path):
    from birdfast.scoring.bundle import load_bundle

    stored = load_bundle(trained / "birds.safetensors").extra["calibration"]
    assert stored["method"] == "platt" and stored["thresholds"].keys() == {"f1", "precision"}
    birdfast("predict", trained, tiny_birds, "--out", tmp_path / "out", "--threshold", "f1", "--calibrate")
    result = birdfast("evaluate", trained, tiny_birds, "--fold", 0, "--out", tmp_path / "report")
    assert "as given" in result.stdout and "calibrated" in result.stdout
    summary = json.loads((tmp_path / "report" / "summary.json").read_text())
    assert 0 <= summary["calibration_error"]["calibrated"] <= 1
    assert (tmp_path / "report" / "reliability.png").stat().st_size > 5000


def test_export_from_a_pickle_warns_and_gives_the_same_scores(birdfast, trained, tiny_birds, tmp_path):
    file = next(tiny_birds.rglob("*.wav"))
    result = birdfast("export", trained / "birds.pkl", tmp_path / "birds.safetensors")
    assert "runs code" in result.stderr
    birdfast("export", trained, tmp_path / "copy.safetensors")
    for name in ("birds", "copy"):
        birdfast("predict", tmp_path / f"{name}.safetensors", file, "--out", tmp_path / f"{name}.csv")
    a, b = (pd.read_csv(tmp_path / f"{name}.csv").set_index("path") for name in ("birds", "copy"))
    np.testing.assert_allclose(a, b, atol=1e-5)
    birdfast("export", trained, tmp_path / "birds.pkl")
    assert (tmp_path / "birds.pkl").read_bytes() == (trained / "birds.pkl").read_bytes()


def test_a_pickle_that_needs_a_module_which_is_not_here(birdfast, tmp_path):
    (tmp_path / "ghost_module.py").write_text("class Ghost:\n    pass\n")
    script = "import torch, ghost_module; torch.save(ghost_module.Ghost(), 'ghost.pkl')"
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=True)
    result = birdfast("export", tmp_path / "ghost.pkl", tmp_path / "out.safetensors", code=1)
    assert "it needs the module 'ghost_module'" in result.stderr
