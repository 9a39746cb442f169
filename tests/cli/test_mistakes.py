"""A sentence for each mistake at the shell."""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from typer.testing import CliRunner

from birdfast.cli import app
from birdfast.errors import BirdfastError
from birdfast.scoring.header import open_seal, seal

RATE = 8000


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
    newer = whole.replace(b'\\"format\\": 1', b'\\"format\\": 9')
    (tmp_path / "newer.safetensors").write_bytes(re.sub(rb"birdfast-sha256:\w{64}", open_seal().encode(), newer))
    seal(tmp_path / "newer.safetensors")
    (tmp_path / "damaged.pkl").write_bytes(b"\x80\x04 nothing")
    (tmp_path / "empty").mkdir()
    (tmp_path / "half_a_run").mkdir()
    (tmp_path / "half_a_run" / "recipe.toml").write_text("")
    (tmp_path / "wrong.toml").write_text("lr = [")
    (tmp_path / "sample.csv").write_text("row_id,species0\nx_5,0\n")
    for file in ("study/study.json", "study/fold0/recipe.toml", "whole/fold0/birds.safetensors"):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).touch()
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
    "empty csv": ("train {bad}/empty.csv", r"empty.csv cannot be read as csv"),
    "files that are not there": (
        "train {bad}/gone.csv",
        r"none of the 30 files named exists.*--audio-root FOLDER .*columns=dict\(audio_root=FOLDER\)",
    ),
    "one class": ("train {bad}/one_class.csv", r"of one class, 'wren'"),
    "label outside the class list": ("train {bad}/foreign", r"unknown label 'species2': did you mean"),
    "rate below twice fmax": ("train {birds} --set sample_rate=8000", r"set fmax to 4000 or less"),
    "unknown backbone": (
        "train {birds} --backbone efficientnet_b99",
        r"unknown backbone 'efficientnet_b99': did you mean",
    ),
    "unknown tag": ("train {birds} --backbone test_vit.wrong", r"unknown tag .*: did you mean 'test_vit.\w+'"),
    "backbone of a run": ("doctor {run} --backbone resnet18", r"which has its own backbone: leave them out"),
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
    "lr in words": ("train {birds} --lr fast", r"--lr takes a number, auto or backbone, not 'fast'"),
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
        r"holds no birds.safetensors: train it to the end with birdfast train SOURCE --out",
    ),
    "damaged pickle": ("export {bad}/damaged.pkl {bad}/out.safetensors", r"damaged.pkl cannot be loaded"),
    "missing pickle": ("export {bad}/none.pkl {bad}/out.safetensors", r"no pickle at .*none.pkl"),
    "odd format": ("export {run} {bad}/out.pt", r"must end in one of .safetensors .*, .onnx .*, .xml .*, .pkl"),
    "pickle out of a bundle": ("export {run}/birds.safetensors {bad}/out.pkl", r"carries no learner"),
    "step of zero": (
        "predict {run} {birds} --step 0",
        r"step is the time from window to window in s and must be above 0",
    ),
    "last of no kind": ("predict {run} {birds} --last keep", r"unknown last 'keep'"),
    "only models": ("predict {run} {run}", r"no recordings are named, only models"),
    "models last": ("predict {run} {birds} {run}/birds.safetensors", r"name the models first"),
    "events into a csv": ("predict {run} {birds} --as raven", r"takes scores alone: give a folder"),
    "threshold for a csv": ("predict {run} {birds} --threshold 0.2", r"takes scores alone: give a folder"),
    "no such form": (
        "predict {run} {birds} --out {bad}/out --as ravne",
        r"unknown format 'ravne': did you mean 'raven'",
    ),
    "no such engine": ("predict {run} {birds} --out {bad}/out --engine spark", r"unknown engine 'spark'"),
    "out of predict is a file": ("predict {run} {birds} --out {bad}/wrong.toml", r"wrong.toml is a file"),
    "out of evaluate is a file": (
        "evaluate {bad}/none.safetensors {birds} --out {bad}/wrong.toml/report",
        r"wrong.toml is a file: give a folder for the report",
    ),
    "no such species": ("predict {run} {birds} --keep wren", r"none of the 1 names to keep \(wren\) is a class"),
    "a strict list": ("predict {run} {birds} --drop species0,wren --strict", r"1 of 2 names to drop are no classes"),
    "threshold in words": ("predict {run} {birds} --out {bad}/out --threshold often", r"--threshold takes a number"),
    "no top": ("predict {run} {birds} --out {bad}/out --top-k 0", r"top_k must be 1 or more, not 0"),
    "negative gap": ("predict {run} {birds} --out {bad}/out --gap=-1", r"gap is a time in s .* not -1"),
    "negative context": ("predict {run} {birds} --out {bad}/out --as wav --context=-1", r"context is the sound kept"),
    "species of a submission": (
        "predict {run} {birds} --submission {bad}/none.csv --keep species0",
        r"a submission is made of one folder",
    ),
    "unknown storage": ("predict {run} nowhere://x --out {bad}/out", r"nowhere://x cannot be opened"),
    "missing sample": ("predict {run} {birds} --submission {bad}/none.csv", r"no sample submission at .*none.csv"),
    "fold of evaluate": ("evaluate {run} {birds} --fold 7", r"--fold must lie between 0 and 4"),
    "columns of folders": (
        "train {birds} --author who",
        r"a folder per class, which has no columns: leave out author='who'",
    ),
    "columns of a BirdCLEF": (
        "train {bad}/foreign --label who",
        r"a BirdCLEF, whose columns are known: leave out label=",
    ),
    "root of folders": ("train {birds} --audio-root {bad}", r"its files lie there: leave out audio_root="),
    "folder of no cache": (
        "train {birds} --cache-dir {bad}/cache",
        r"--cache-dir .* add --cache waveform, or leave it out",
    ),
    "gap between what stays apart": (
        "predict {run} {birds} --out {bad}/x --gap 3 --no-merge",
        r"--gap joins windows, and --no-merge keeps them apart",
    ),
    "threshold of a table": (
        "predict {run} {birds} --out {bad}/x --as csv --threshold 0.9",
        r"--as csv takes scores alone: leave out --threshold",
    ),
    "average over gaps": (
        "predict {run} {birds} --out {bad}/x --average --step 60",
        r"at a step of 60 s .* leave gaps",
    ),
    "check of a copy": ("export {run} {bad}/x.safetensors --check {birds}", r"nothing is checked for .*x.safetensors"),
    "check of a pickle": ("export {run} {bad}/x.pkl --check {bad}/nowhere", r"nothing is checked for .*x.pkl"),
    "context of a table": (
        "predict {run} {birds} --out {bad}/x --context 1",
        r"context=1 keeps sound .* add flac or wav",
    ),
    "context of a csv": ("predict {run} {birds} --out {bad}/x.csv --context 1", r"--context is of the sound of events"),
    "fold of scores": (
        "evaluate {bad}/one_class.csv {birds} --fold 1 --workers 2",
        r"no model: leave out --fold, --workers$",
    ),
    "threshold of probabilities": (
        "predict {run} {birds} --submission {bad}/sample.csv --threshold 0.4",
        r"sample.csv asks for probabilities, which no threshold changes",
    ),
    "fitted threshold of a submission": (
        "predict {run} {birds} --submission {bad}/sample.csv --threshold f1",
        r"--threshold takes a number between 0 and 1, not 'f1'",
    ),
    "unfinished fold": (
        "predict {bad}/study/fold0 {birds}",
        r"holds no birds.safetensors: go on with the study in .*study$",
    ),
    "a whole study": ("evaluate {bad}/whole {birds}", r"it is a study, name its folds: .*whole/fold0$"),
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
def test_mistakes_are_told_in_a_sentence(birdfast, mistake, bad, trained, tiny_birds, recipe_file):
    words, sentence = MISTAKES[mistake]
    words = words.format(bad=bad, run=trained, birds=tiny_birds).split()
    if words[0] == "train" and not {"--recipe", "--resume"} & set(words) and mistake != "rate below twice fmax":
        words += ["--recipe", str(recipe_file)]
    if words[0] == "train" and "--out" not in words:
        words += ["--out", str(bad / "run")]
    result = birdfast(*words, code=1)
    lines = [line for line in result.stderr.splitlines() if line.startswith("birdfast: ")]
    assert re.search(sentence, lines[-1]), result.output


HASTY = {
    "pseudo-labels without soundscapes": ("--set pseudo_mix=1", "pseudo_mix=1 needs pseudo-labels"),
    "missing pseudo-labels": ("--set pseudo_mix=1 --pseudo {gone}/p.parquet", "no pseudo-labels at .*p.parquet"),
    "a share of no window": ("--set soundscape_share=0.01", "soundscape_share=0.01 of batch_size=8 is 0 windows"),
    "attention to one frame": ("--set pooling=sed --set duration=0.4", "pooling='sed' weighs moments"),
    "rate of no family": ("--lr backbone", "no default learning rate is known for test_efficientnet"),
    "unknown cache": ("--cache wavform", "unknown cache 'wavform': did you mean 'waveform'"),
    "missing teacher": ("--set distill={gone}/t.npz", "no teacher at .*t.npz"),
    "missing background": ("--set background={gone}/noise", "background='.*noise' is no folder"),
}


@pytest.mark.parametrize("command", ["train", "folds", "pseudo"])
@pytest.mark.parametrize("mistake", HASTY)
def test_what_no_data_can_mend_is_told_before_they_are_read(birdfast, mistake, command, recipe_file, tmp_path):
    options, sentence = HASTY[mistake]
    if command == "pseudo" and ("pseudo" in options or "distill" in options):
        pytest.skip("it makes its own pseudo-labels, and takes no teacher's values")
    (tmp_path / "nothing").mkdir()  # a source that would be refused as it is read
    words = [*options.format(gone=tmp_path).split(), "--recipe", recipe_file, "--out", tmp_path / "out"]
    result = birdfast(command, tmp_path / "nothing", *words, code=1)
    assert re.search(sentence, result.stderr.splitlines()[-1]), result.output
    assert not (tmp_path / "out").exists()


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
def test_too_many_broken_recordings_stop_the_run(birdfast, kind, tiny_table, recipe_file, tmp_path):
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


def test_a_few_broken_recordings_are_listed(birdfast, tiny_table, recipe_file, tmp_path):
    spoil("NaN", tmp_path / "nan.wav")
    spoil("zero bytes", tmp_path / "zero.wav")
    rows = tiny_table[:2].assign(path=[str(tmp_path / "nan.wav"), str(tmp_path / "zero.wav")], author="x")
    pd.concat([tiny_table, rows]).to_csv(tmp_path / "labels.csv", index=False)
    train = ["train", tmp_path / "labels.csv", "-r", recipe_file, "--out", tmp_path / "run", "--workers", 0]
    birdfast(
        *train, "--set", "max_bad=0.2", "--set", "sampling_power=0", "--set", "mixup_alpha=0", "--set", "batch_size=1"
    )
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
    monkeypatch.setattr("birdfast.synthetic.synth.synth", lambda *a, **k: 1 / 0)
    assert isinstance(CliRunner().invoke(app, ["synth", "x"]).exception, ZeroDivisionError)


def test_ctrl_c_says_how_to_resume(birdfast, monkeypatch, tiny_birds, recipe_file, tmp_path):
    def stop(self, *args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr("birdfast.training.learner.BirdLearner._fit_schedule", stop)
    run = tmp_path / "my run"
    result = birdfast("train", tiny_birds, "-r", recipe_file, "--out", run, "--workers", 0, code=130)
    assert f"birdfast train {tiny_birds} --out '{run}' --resume" in result.stderr
    monkeypatch.setattr("birdfast.synthetic.synth.synth", stop)
    assert "stopped" in birdfast("synth", tmp_path / "data", code=130).stderr


def test_the_default_folder_of_a_run():
    from birdfast.commands.shared.typed import default_out
    from birdfast.recipe.presets import RECIPES

    assert (
        default_out("/data/birdclef-2026/", RECIPES["improved"]).as_posix().startswith("runs/birdclef-2026-improved-20")
    )


@pytest.mark.parametrize("command", ["predict", "evaluate", "budget"])
def test_threads_are_one_or_more(command):
    result = CliRunner().invoke(app, [command, "birds.onnx", "x", "--workers", "0"])
    assert result.exit_code == 2 and "--workers" in result.output and "equal to 1" in result.output
