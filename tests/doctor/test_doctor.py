"""The doctor sees what is wrong with data."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from birdfast.audio.read import read_headers
from birdfast.doctor import examine, sound
from birdfast.doctor.sound import check_readable, check_sound
from birdfast.recipe.recipe import Recipe
from birdfast.sources.read import read_source

RATE = 8000


@pytest.fixture
def recipe(tiny_recipe) -> Recipe:
    return tiny_recipe.with_(batch_size=3)


def write(path: Path, samples: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, RATE, subtype="FLOAT")
    return path


@pytest.fixture
def sick(tiny_birds, tmp_path) -> Path:
    """30 sound recordings and one of each illness."""
    root = tmp_path / "sick"
    shutil.copytree(tiny_birds, root)
    noise = np.random.default_rng(0).standard_normal(2 * RATE).astype(np.float32) * 0.1
    (root / "species0" / "zero.wav").write_bytes(b"")
    broken = noise.copy()
    broken[100] = np.nan
    write(root / "species0" / "nan.wav", broken)
    write(root / "species1" / "silent.wav", np.zeros(2 * RATE, np.float32))
    write(root / "species1" / "clipped.wav", np.clip(noise * 50, -1, 1))
    write(root / "species1" / "short.wav", noise[:4000])
    write(root / "species3" / "single.wav", noise)
    shutil.copy(root / "species0" / "0.wav", root / "species0" / "copy.wav")
    shutil.copy(root / "species0" / "1.wav", root / "species2" / "contradiction.wav")
    return root


def test_healthy_data_passes(tiny_table, recipe):
    report = examine(tiny_table, recipe=recipe)
    assert report.ok
    assert {f.status for f in report.findings} == {"ok"}, report.text()
    assert "30 recordings of 3 classes" in report["data"].message
    assert report["rates"].message.startswith("8000 Hz (30); mono (30)")
    assert report["balance"].details["counts"] == {"species0": 10, "species1": 10, "species2": 10}
    assert "random weights" in report["weights"].message
    assert report.verdict().endswith("passed")


def test_every_illness_is_found_and_named(sick, recipe):
    report = examine(sick, recipe=recipe)
    assert "1 of 38 files cannot be read" in report["readable"].message
    assert "zero.wav" in report["readable"].message
    faults = {Path(f["path"]).name: f["kind"] for f in report["sound"].details["faults"]}
    assert faults == {"nan.wav": "damaged", "silent.wav": "silent", "clipped.wav": "clipped"}
    assert [Path(p).name for p in report["durations"].details["short"]] == ["short.wav"]
    assert report["rare"].details["single"] == ["species3"]
    assert "2 files are copies" in report["duplicates"].message
    assert "species2" in report["contradictions"].message
    assert "species0" in report["contradictions"].message
    assert all(f.remedy for f in report.findings if f.status != "ok"), report.text()
    assert report.ok  # few enough to train all the same
    strict = examine(sick, recipe=recipe.with_(max_bad=0.0))
    assert strict["readable"].status == "fail"
    assert not strict.ok


def test_long_recordings_are_heard_in_blocks(tmp_path, monkeypatch):
    """What is wrong with the last seconds is found, and no more than two minutes are held at once."""
    quiet = np.full(200 * RATE, 0.5, np.float32)
    parts = {"silent": 0.5, "clipped": 1.0, "damaged": np.nan, "sound": 0.6}
    for name, value in parts.items():
        samples = quiet.copy()
        samples[-5 * RATE :] = value
        write(tmp_path / f"{name}.wav", samples)
    soundfile.write(tmp_path / "whole.flac", np.random.default_rng(0).normal(0, 0.1, 200 * RATE), RATE)
    whole = (tmp_path / "whole.flac").read_bytes()
    (tmp_path / "cut.flac").write_bytes(whole[: len(whole) * 3 // 4])
    lengths, read = [], sound.read_clip
    monkeypatch.setattr(sound, "read_clip", lambda *args, **how: lengths.append(read(*args, **how)) or lengths[-1])
    headers = read_headers(sorted(tmp_path.iterdir()))
    found = check_sound(headers)
    faults = {Path(fault["path"]).stem: (fault["kind"], fault["reason"]) for fault in found.details["faults"]}
    kinds = {name: kind for name, (kind, _) in faults.items()}
    assert kinds == {"silent": "silent", "clipped": "clipped", "damaged": "damaged"}
    assert "2% of its samples" in faults["clipped"][1]
    assert "cut.flac: its header says 200.00 s, 14" in sound.check_lengths(headers).message
    assert max(map(len, lengths)) < 120 * RATE and sum(map(len, lengths)) > 3 * 200 * RATE


def test_missing_files_are_counted_and_named(tiny_table, recipe):
    paths = [p.replace("/0.wav", "/gone.wav") for p in tiny_table["path"]]
    report = examine(tiny_table.assign(path=paths), recipe=recipe)
    assert report["paths"].status == "fail"
    assert "3 of 30 files do not exist" in report["paths"].message
    assert "gone.wav" in report["paths"].message
    assert report["readable"].status == "ok"


def test_a_source_that_is_not_there(tmp_path, recipe):
    report = examine(tmp_path / "nowhere", recipe=recipe)
    assert not report.ok
    assert "nowhere" in report["data"].message
    assert "device" not in report, "PyTorch is not loaded for it"


def test_labels_outside_the_class_list(tiny_table, recipe):
    report = examine(tiny_table, recipe=recipe, columns={"classes": ["species0", "species1"]})
    assert report["labels"].status == "fail"
    assert "species2" in report["labels"].message


def test_labels_of_soundscapes_outside_the_class_list(tiny_table, recipe):
    source = read_source(tiny_table)
    source.foreign = ("gull", "a,b")
    found = examine(source, recipe=recipe)["labels"]
    assert found.status == "warn" and "2 labels of soundscapes are outside the class list" in found.message
    assert "gull, a,b" in found.message and "correct the labels" in found.remedy
    assert found.details == {"foreign": ["gull", "a,b"]}


def test_a_damaged_birdclef_fails(tmp_path, recipe):
    (tmp_path / "train_audio").mkdir()
    (tmp_path / "train.csv").write_text("")
    report = examine(tmp_path, recipe=recipe)
    assert report["data"].status == "fail" and str(tmp_path / "train.csv") in report["data"].message
    assert "take a fresh copy" in report["data"].message


def test_one_class_only(tiny_table, recipe):
    report = examine(tiny_table.assign(primary_label="wren"), recipe=recipe)
    assert report["labels"].status == "fail"
    assert "one class" in report["labels"].message


def test_a_leak_by_the_fold_column_is_shown(tiny_table, recipe, tmp_path):
    table = tiny_table.assign(fold=np.arange(len(tiny_table)) % 2)  # each recordist on both sides
    report = examine(table, recipe=recipe.with_(n_folds=2))
    assert report["split"].status == "warn"
    assert "recordist0" in report["split"].message
    assert "--fold-column none" in report["split"].remedy
    table.to_csv(tmp_path / "birds.csv")
    again = examine(tmp_path / "birds.csv", recipe=recipe.with_(n_folds=2), columns={"fold": "none"})
    assert again["split"].status == "ok"


def test_windows_without_a_call_are_split_by_site(tiny_table, recipe, tmp_path):
    names = [f"BC2026_Train_{i:04d}_S{i % 3:02d}_20250227_010002.wav" for i in range(6)]
    rng = np.random.default_rng(0)
    paths = [str(write(tmp_path / name, rng.normal(0, 0.1, RATE))) for name in names]
    source = read_source(tiny_table)
    source.soundscapes = pd.DataFrame({"path": paths, "start_time": 0.0, "end_time": 1.0, "labels": [()] * 6})
    found = examine(source, recipe=recipe.with_(n_folds=3, no_call=True))["split"]
    assert found.status == "ok" and found.details["shared_sites"] == []


def test_unknown_recordists_are_a_warning_with_the_remedy(tiny_birds, recipe):
    found = examine(tiny_birds, recipe=recipe)["split"]
    assert found.status == "warn"
    assert "cannot be told" in found.message and "does not leak" not in found.message
    assert "--author" in found.remedy and "group=COLUMN" in found.remedy


def test_train_set_smaller_than_the_batch(tiny_birds, recipe):
    report = examine(tiny_birds, recipe=recipe.with_(batch_size=64))
    assert report["batch"].status == "fail"
    assert "--batch-size" in report["batch"].remedy


def test_few_steps_an_epoch_are_a_warning(tiny_birds, recipe):
    few = examine(tiny_birds, recipe=recipe.with_(batch_size=20))["batch"]
    assert few.status == "warn"
    assert few.message.startswith("1 step an epoch, 4 of 24 clips left out each time")
    assert few.remedy.startswith("--batch-size 2,")
    assert examine(tiny_birds, recipe=recipe)["batch"].message == "8 steps an epoch (batch_size=3)"


def test_small_data_and_a_low_rate_advise_lr_auto(tiny_birds, recipe):
    assert examine(tiny_birds, recipe=recipe.with_(lr=1e-4))["lr"].remedy == "train with --lr auto, or --recipe small"
    assert examine(tiny_birds, recipe=recipe.with_(lr="auto"))["lr"].status == "ok"


def test_a_front_end_above_the_recordings(tiny_birds, recipe):
    high = recipe.with_(sample_rate=32_000, fmax=16_000.0)
    report = examine(tiny_birds, recipe=high)
    assert report["rates"].status == "warn"
    assert "fmax=4000" in report["rates"].remedy


def test_unreadable_files_are_a_share_of_files_not_of_rows(recipe, tmp_path):
    (tmp_path / "zero.wav").write_bytes(b"")
    paths = [str(tmp_path / "zero.wav"), *["sound.wav"] * 30]
    headers = pd.DataFrame({"path": paths, "error": ["empty"] + [None] * 30})
    found = check_readable(headers, recipe.with_(max_bad=0.05))
    assert found.status == "fail"
    assert "1 of 2 files" in found.message


def test_backbone_and_weights(tiny_birds, recipe, tmp_path):
    unknown = examine(tiny_birds, recipe=recipe.with_(backbone="efficientnet_b99"))["weights"]
    assert unknown.status == "fail"
    assert "did you mean" in unknown.message
    missing = examine(tiny_birds, recipe=recipe.with_(weights=str(tmp_path / "none.pth")))["weights"]
    assert missing.status == "fail"
    (tmp_path / "w.pth").write_bytes(b"")
    (tmp_path / "w.recipe.toml").write_text("n_mels = 99")
    other = examine(tiny_birds, recipe=recipe.with_(weights=str(tmp_path / "w.pth")))["weights"]
    assert other.status == "fail"
    assert "n_mels 99" in other.message
    remote = examine(tiny_birds, recipe=recipe.with_(backbone="test_vit", weights="pretrained"))["weights"]
    assert remote.status in ("ok", "warn")


def test_imbalance_is_a_warning_where_nothing_is_done_about_it(tiny_birds, recipe):
    files = sorted(Path(tiny_birds).rglob("*.wav"))
    labels = ["common"] * 22 + ["b", "c", "d", "e"] * 2
    table = pd.DataFrame({"path": [str(f) for f in files], "label": labels})
    assert examine(table, recipe=recipe.with_(sampling_power=0.0))["balance"].status == "ok"  # 22 to 2
    table["label"] = ["common"] * 26 + ["b", "c", "d", "e"]
    assert examine(table, recipe=recipe.with_(sampling_power=0.0))["balance"].status == "warn"
    assert examine(table, recipe=recipe.with_(sampling_power=0.5))["balance"].status == "ok"


def test_the_report_is_json(sick, recipe):
    text = json.dumps(examine(sick, recipe=recipe).to_dict(), allow_nan=False)
    report = json.loads(text)
    assert report["kind"] == "source"
    assert {"check", "status", "message", "remedy", "details"} == set(report["findings"][0])


def test_only_a_sample_is_decoded(tiny_birds, recipe):
    assert examine(tiny_birds, recipe=recipe, sample=5)["sound"].message.startswith("5 of 30 files")


def test_the_same_sound_in_another_format_on_both_sides_is_a_leak(tiny_table, recipe, tmp_path):
    table = tiny_table.assign(author=[f"by{i}" for i in range(len(tiny_table))], fold=np.arange(len(tiny_table)) % 2)
    clean = examine(table, recipe=recipe.with_(n_folds=2))["split"]
    assert clean.status == "ok"
    sound, rate = soundfile.read(table["path"][0], dtype="int16")
    soundfile.write(tmp_path / "copy.flac", sound, rate)
    copy = table[:1].assign(path=str(tmp_path / "copy.flac"), fold=1, author="another")
    found = examine(pd.concat([table, copy], ignore_index=True), recipe=recipe.with_(n_folds=2))["split"]
    assert found.status == "warn" and "1 pair of the same sound on both sides" in found.message
    assert "copy.flac" in found.message and "remove the copies" in found.remedy


def test_headers_are_read_once(tiny_birds, recipe, monkeypatch):
    def read_again(path):
        raise AssertionError(f"the header of {path} was read a second time")

    monkeypatch.setattr("birdfast.splits.leaks._shape", read_again)
    assert examine(tiny_birds, recipe=recipe)["split"].details["same_audio"] == []
