"""The command line: the whole way on a tiny set, and a sentence for each mistake."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from typer.testing import CliRunner

from birdfast import __version__
from birdfast.cli import app
from birdfast.errors import BirdfastError

COMMANDS = ["synth", "doctor", "train", "evaluate", "predict", "export"]
RATE = 8000


def birdfast(*words: object, code: int = 0):
    """Run a command; its output and errors. Never a traceback."""
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == code, result.output + repr(result.exception)
    assert "Traceback" not in result.output
    return result


@pytest.fixture(scope="session")
def recipe_file(tiny_recipe, tmp_path_factory) -> Path:
    file = tmp_path_factory.mktemp("recipe") / "tiny.toml"
    tiny_recipe.with_(epochs=1).save(file)
    return file


@pytest.fixture(scope="session")
def trained(tiny_birds, recipe_file, tmp_path_factory) -> Path:
    """The folder of a run of one epoch."""
    run = tmp_path_factory.mktemp("trained") / "run"
    result = birdfast("train", tiny_birds, "--recipe", recipe_file, "--out", run, "--workers", 0)
    assert "macro ROC-AUC" in result.stdout
    assert str(run) in result.stdout
    assert "the split does not leak" in result.stderr
    return run


# -- the way ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", COMMANDS)
def test_help_is_worth_reading(command):
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


def test_synth_passes_its_options_on(monkeypatch, tmp_path):
    seen = {}
    monkeypatch.setattr("birdfast.recordings.synth.synth", lambda out, **options: seen.update(options) or out)
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


def test_the_summary_is_the_last_line_of_the_history(trained):
    history = pd.read_csv(trained / "history.csv").iloc[-1]
    for name, value in json.loads((trained / "summary.json").read_text())["metrics"].items():
        assert history[name] == pytest.approx(value, abs=1e-5), name


def test_a_run_is_not_written_over_but_resumed(tiny_birds, recipe_file, tmp_path):
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
    strange = birdfast("train", others, "--out", run, "--resume", "--epochs", 2, code=1)
    assert "was trained on other classes" in strange.stderr
    birdfast(*train, "--resume", "--epochs", 2)
    assert pd.read_csv(run / "history.csv")["epoch"].tolist() == [0, 1]
    assert "epochs = 2" in (run / "recipe.toml").read_text()
    assert (run / "birds.safetensors").read_bytes() != before


def test_knobs_reach_the_recipe(tiny_birds, recipe_file, tmp_path):
    run = tmp_path / "run"
    knobs = ["--set", "mixup_alpha=0", "--set", "pad=end", "--seed", 3, "--fold", 1, "--batch-size", 4, "--lr", "1e-3"]
    birdfast("train", tiny_birds, "-r", recipe_file, "--out", run, "--workers", 0, *knobs)
    from birdfast.recipe import Recipe

    recipe = Recipe.load(run / "recipe.toml")
    assert (recipe.mixup_alpha, recipe.pad, recipe.seed, recipe.fold) == (0, "end", 3, 1)
    assert (recipe.batch_size, recipe.lr, recipe.epochs) == (4, 1e-3, 1)


def test_columns_of_a_csv(tiny_table, recipe_file, tmp_path):
    table = pd.DataFrame({"sound": tiny_table["path"], "bird": tiny_table["primary_label"], "by": tiny_table["author"]})
    table.to_csv(tmp_path / "labels.csv", index=False)
    columns = ["--file", "sound", "--label", "bird", "--author", "by"]
    report = json.loads(birdfast("doctor", tmp_path / "labels.csv", *columns, "-r", recipe_file, "--json").stdout)
    assert report["ok"]
    assert report["findings"][0]["details"]["authors"] == 5
    missing = birdfast("doctor", tmp_path / "labels.csv", "--file", "sound", "-r", recipe_file, code=1)
    assert "no column for the label" in missing.stdout


def test_doctor_source_and_run(tiny_birds, recipe_file, trained):
    assert "passed" in birdfast("doctor", tiny_birds, "-r", recipe_file).stdout
    report = json.loads(birdfast("doctor", trained, "--json").stdout)
    assert report["kind"] == "run"
    assert "guessing among 3 classes" in report["findings"][0]["message"]


def test_evaluate_recordings(trained, tiny_birds, tmp_path):
    every = birdfast("evaluate", trained, tiny_birds, "--out", tmp_path / "report").stdout
    assert "all 30 recordings" in every
    assert "including any the model was trained on" in every
    summary = json.loads((tmp_path / "report" / "summary.json").read_text())
    assert summary["rows"] == 30
    assert f"{summary['metrics']['roc_auc']:.4f}" in every
    assert {"per_class.csv", "worst_pairs.png", "per_class.png"} <= {p.name for p in (tmp_path / "report").iterdir()}


def test_evaluate_the_held_out_fold_gives_the_figures_of_training(trained, tiny_birds, tmp_path):
    result = birdfast("evaluate", trained / "birds.safetensors", tiny_birds, "--fold", 0, "--out", tmp_path)
    assert "which the model held out" in result.stdout
    scored = json.loads((tmp_path / "summary.json").read_text())["metrics"]
    trained_to = json.loads((trained / "summary.json").read_text())["metrics"]
    assert scored == pytest.approx(trained_to, abs=1e-5)
    assert "knows" in birdfast("evaluate", trained, tiny_birds, "--fold", 1).stdout


def test_predict_and_its_list_of_errors(trained, tiny_birds, tmp_path):
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


def test_export_from_a_pickle_warns_and_gives_the_same_scores(trained, tiny_birds, tmp_path):
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


def test_a_pickle_that_needs_a_module_which_is_not_here(tmp_path):
    (tmp_path / "ghost_module.py").write_text("class Ghost:\n    pass\n")
    script = "import torch, ghost_module; torch.save(ghost_module.Ghost(), 'ghost.pkl')"
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=True)
    result = birdfast("export", tmp_path / "ghost.pkl", tmp_path / "out.safetensors", code=1)
    assert "it needs the module 'ghost_module'" in result.stderr


# -- mistakes --------------------------------------------------------------------------------------------------------


@pytest.fixture
def bad(tiny_birds, tiny_table, tmp_path, trained) -> Path:
    """A folder with one of everything that cannot be used."""
    tiny_table[["path"]].to_csv(tmp_path / "unlabelled.csv", index=False)
    tiny_table.assign(primary_label="wren").to_csv(tmp_path / "one_class.csv", index=False)
    tiny_table.assign(path="gone/" + tiny_table["primary_label"]).to_csv(tmp_path / "gone.csv", index=False)
    (tmp_path / "empty.csv").write_text("")
    (tmp_path / "text.safetensors").write_text("this is no bundle at all")
    (tmp_path / "cut.safetensors").write_bytes((trained / "birds.safetensors").read_bytes()[:5000])
    whole = (trained / "birds.safetensors").read_bytes()
    assert whole.count(b'\\"format\\": 1') == 1
    (tmp_path / "newer.safetensors").write_bytes(whole.replace(b'\\"format\\": 1', b'\\"format\\": 9'))
    (tmp_path / "damaged.pkl").write_bytes(b"\x80\x04 nothing")
    (tmp_path / "empty").mkdir()
    (tmp_path / "half_a_run").mkdir()
    (tmp_path / "half_a_run" / "recipe.toml").write_text("")
    (tmp_path / "wrong.toml").write_text("lr = [")
    make_birdclef(tmp_path / "foreign", tiny_table, classes=["species0", "species1"])
    return tmp_path


def make_birdclef(folder: Path, table: pd.DataFrame, classes: list[str]) -> None:
    """A BirdCLEF folder of the recordings of `table`, with a taxonomy of `classes`."""
    (folder / "train_audio").mkdir(parents=True)
    for path, label in zip(table["path"], table["primary_label"], strict=True):
        (folder / "train_audio" / label).mkdir(exist_ok=True)
        os.link(path, folder / "train_audio" / label / Path(path).name)
    names = [f"{label}/{Path(path).name}" for path, label in zip(table["path"], table["primary_label"], strict=True)]
    pd.DataFrame({"filename": names, "primary_label": table["primary_label"]}).to_csv(folder / "train.csv", index=False)
    pd.DataFrame({"primary_label": classes}).to_csv(folder / "taxonomy.csv", index=False)


MISTAKES = {
    "missing folder": ("train {bad}/nowhere", r"nowhere"),
    "missing folder to predict": ("predict {run} {bad}/nowhere", r"no recording and no folder at .*nowhere"),
    "missing folder to evaluate": ("evaluate {run} {bad}/nowhere", r"nowhere"),
    "empty folder": ("train {bad}/empty", r"empty"),
    "no column": ("train {bad}/unlabelled.csv", r"unlabelled.csv has no column for the label"),
    "no such column": (
        "train {bad}/unlabelled.csv --label brid",
        r"unknown column of unlabelled.csv given as label 'brid'",
    ),
    "empty csv": ("train {bad}/empty.csv", r"empty.csv cannot be read as a csv"),
    "files that are not there": ("train {bad}/gone.csv", r"none of the 30 files named exists"),
    "one class": ("train {bad}/one_class.csv", r"of one class, 'wren'"),
    "label outside the class list": ("train {bad}/foreign", r"unknown label 'species2': did you mean"),
    "rate below twice fmax": ("train {birds} --set sample_rate=8000", r"set fmax to 4000 or less"),
    "fewer than a batch": ("train {birds} --batch-size 64", r"fewer than batch_size=64: give batch_size="),
    "unknown backbone": (
        "train {birds} --backbone efficientnet_b99",
        r"unknown backbone 'efficientnet_b99': did you mean",
    ),
    "missing weights": ("train {birds} --weights {bad}/none.pth", r"no weights at .*none.pth"),
    "unknown recipe": ("train {birds} --recipe improvd", r"unknown recipe 'improvd': did you mean 'improved'"),
    "missing recipe": ("train {birds} --recipe {bad}/none.toml", r"no recipe at .*none.toml"),
    "damaged recipe": ("train {birds} --recipe {bad}/wrong.toml", r"wrong.toml is not a recipe"),
    "unknown knob": (
        "train {birds} --set mixup_alfa=1",
        r"unknown knob of the recipe 'mixup_alfa': did you mean 'mixup_alpha'",
    ),
    "wrong value": (
        "train {birds} --set pad=repaet",
        r"unknown value for the recipe's pad 'repaet': did you mean 'repeat'",
    ),
    "wrong type": ("train {birds} --set n_mels=many", r"n_mels must be int, not 'many'"),
    "no value": ("train {birds} --set n_mels", r"--set takes knob=value"),
    "lr in words": ("train {birds} --lr fast", r"--lr takes a number or auto, not 'fast'"),
    "fold beyond the last": ("train {birds} --fold 9", r"fold must lie between 0 and n_folds - 1"),
    "nothing to resume": ("train {birds} --resume --out {bad}/nowhere", r"no run to resume in .*nowhere"),
    "out is a file": ("train {birds} --out {bad}/empty.csv", r"empty.csv is a file"),
    "missing bundle": ("evaluate {bad}/none.safetensors {birds}", r"no bundle at .*none.safetensors"),
    "not a bundle": ("predict {bad}/text.safetensors {birds}", r"text.safetensors is not a birdfast bundle"),
    "truncated bundle": ("predict {bad}/cut.safetensors {birds}", r"cut.safetensors is damaged or cut short"),
    "bundle of another version": ("predict {bad}/newer.safetensors {birds}", r"bundle of format 9 .* upgrade"),
    "pickle for a bundle": ("predict {run}/birds.pkl {birds}", r"birds.pkl is a pickle: .*birdfast export"),
    "unfinished run": (
        "predict {bad}/half_a_run {birds}",
        r"holds no birds.safetensors: train it to the end with --resume",
    ),
    "damaged pickle": ("export {bad}/damaged.pkl {bad}/out.safetensors", r"damaged.pkl cannot be loaded"),
    "missing pickle": ("export {bad}/none.pkl {bad}/out.safetensors", r"no pickle at .*none.pkl"),
    "odd format": ("export {run} {bad}/out.onnx", r"must end in .safetensors .* or .pkl"),
    "pickle out of a bundle": ("export {run}/birds.safetensors {bad}/out.pkl", r"carries no learner"),
    "step of zero": (
        "predict {run} {birds} --step 0",
        r"step is the time from window to window in s and must be above 0",
    ),
    "missing sample": ("predict {run} {birds} --submission {bad}/none.csv", r"no sample submission at .*none.csv"),
    "fold of evaluate": ("evaluate {run} {birds} --fold 7", r"--fold must lie between 0 and 4"),
    "missing truth": ("evaluate {run} {birds} --truth {bad}/none.csv", r"no truth at .*none.csv"),
    "labels of other data": (
        "evaluate {run} {bad}/one_class.csv",
        r"none of the labels .*wren.* is a class of the model",
    ),
    "missing scores": ("evaluate {bad}/none.csv {birds}", r"no file .*none.csv"),
    "half a run to the doctor": ("doctor {bad}/half_a_run", r"holds no history.csv"),
    "odd year": ("synth {bad}/new --year 1999", r"unknown year of BirdCLEF '1999'"),
    "folder of others": ("synth {birds}", r"holds files that synth did not write"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_are_told_in_a_sentence(mistake, bad, trained, tiny_birds, recipe_file):
    words, sentence = MISTAKES[mistake]
    words = words.format(bad=bad, run=trained, birds=tiny_birds).split()
    if words[0] == "train" and not {"--recipe", "--resume"} & set(words) and mistake != "rate below twice fmax":
        words += ["--recipe", str(recipe_file)]
    if words[0] == "train" and "--out" not in words:
        words += ["--out", str(bad / "run")]
    result = birdfast(*words, code=1)
    lines = [line for line in result.stderr.splitlines() if line.startswith("birdfast: ")]
    assert re.search(sentence, lines[-1]), result.output


def spoil(kind: str, path: Path) -> None:
    """Make an unusable recording of a kind."""
    noise = np.random.default_rng(0).standard_normal(2 * RATE).astype(np.float32) * 0.1
    if kind == "NaN":
        noise[::500] = np.nan
    if kind == "Inf":
        noise[::500] = np.inf
    soundfile.write(path, noise, RATE, subtype="FLOAT")
    if kind == "zero bytes":
        path.write_bytes(b"")
    if kind == "unreadable":
        path.write_bytes(b"no sound in here" * 100)


@pytest.mark.parametrize("kind", ["zero bytes", "unreadable", "NaN", "Inf"])
def test_too_many_broken_recordings_stop_the_run(kind, tiny_table, recipe_file, tmp_path):
    for i in range(4):
        spoil(kind, tmp_path / f"{i}.wav")
    rows = pd.DataFrame(
        {"path": [str(tmp_path / f"{i}.wav") for i in range(4)], "primary_label": "species0", "author": "x"}
    )
    pd.concat([tiny_table, rows]).to_csv(tmp_path / "labels.csv", index=False)
    run = tmp_path / "run"
    result = birdfast("train", tmp_path / "labels.csv", "-r", recipe_file, "--out", run, "--workers", 0, code=1)
    last = result.stderr.splitlines()[-1]
    assert last.startswith("birdfast: ")  # not what fastai puts before it
    assert "of 34 recordings cannot be read, more than the recipe's max_bad=5%" in last
    assert str(run / "bad_files.jsonl") in last


def test_a_few_broken_recordings_are_listed(tiny_table, recipe_file, tmp_path):
    spoil("NaN", tmp_path / "nan.wav")
    spoil("zero bytes", tmp_path / "zero.wav")
    rows = tiny_table[:2].assign(path=[str(tmp_path / "nan.wav"), str(tmp_path / "zero.wav")], author="x")
    pd.concat([tiny_table, rows]).to_csv(tmp_path / "labels.csv", index=False)
    train = ["train", tmp_path / "labels.csv", "-r", recipe_file, "--out", tmp_path / "run", "--workers", 0]
    birdfast(*train, "--set", "max_bad=0.2", "--set", "sampling_power=0", "--set", "batch_size=1")
    listed = pd.read_csv(tmp_path / "run" / "bad_files.csv").set_index("path")["reason"]
    assert "zero bytes" in listed[str(tmp_path / "zero.wav")]
    assert "NaN" in listed[str(tmp_path / "nan.wav")]
    assert "2 of" in birdfast("doctor", tmp_path / "run").stdout


def test_debug_shows_the_traceback(monkeypatch):
    result = CliRunner().invoke(app, ["--debug", "train", "nowhere"])
    assert isinstance(result.exception, BirdfastError)
    monkeypatch.setenv("BIRDFAST_DEBUG", "1")
    assert isinstance(CliRunner().invoke(app, ["train", "nowhere"]).exception, BirdfastError)


def test_faults_of_our_own_keep_their_traceback(monkeypatch):
    monkeypatch.setattr("birdfast.recordings.synth.synth", lambda *a, **k: 1 / 0)
    assert isinstance(CliRunner().invoke(app, ["synth", "x"]).exception, ZeroDivisionError)


def test_ctrl_c_says_how_to_resume(monkeypatch, tiny_birds, recipe_file, tmp_path):
    def stop(self, *args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr("birdfast.training.learner.BirdLearner.fit_recipe", stop)
    run = tmp_path / "my run"
    result = birdfast("train", tiny_birds, "-r", recipe_file, "--out", run, "--workers", 0, code=130)
    assert f"birdfast train {tiny_birds} --out '{run}' --resume" in result.stderr
    monkeypatch.setattr("birdfast.recordings.synth.synth", stop)
    assert "stopped" in birdfast("synth", tmp_path / "data", code=130).stderr


def test_the_default_folder_of_a_run():
    from birdfast.commands.options import default_out
    from birdfast.recipe import RECIPES

    assert (
        default_out("/data/birdclef-2026/", RECIPES["improved"]).as_posix().startswith("runs/birdclef-2026-improved-20")
    )
