import json
import os
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from toy_models import CLASSES, RATE, SIZE, expected
from typer.testing import CliRunner

from birdfast.audio.read import read_clip
from birdfast.cli import app
from birdfast.embedders.job import embed_into
from birdfast.embedders.load import load_embedder
from birdfast.embedders.store import read_embeddings
from birdfast.errors import BirdfastError
from birdfast.training.distill import load_teacher

STEP = 0.25


@pytest.fixture
def recordings(tmp_path):
    """Noise of 3.1, 0.2 and 130 s, the last longer than what is decoded in one go."""
    folder = tmp_path / "sound"
    folder.mkdir()
    for k, seconds in enumerate([3.1, 0.2, 130.0]):
        noise = np.random.default_rng(k).uniform(-0.5, 0.5, round(seconds * RATE))
        soundfile.write(folder / f"{k}.wav", noise, RATE)
    return folder


@pytest.fixture
def embedder(onnx_file):
    return load_embedder(onnx_file)


def embed(out, embedder, paths, **kwargs):
    return embed_into(out, embedder, paths, progress=False, **kwargs)


def test_every_window_has_its_embedding(recordings, embedder, weights, tmp_path):
    found = embed(tmp_path / "out", embedder, recordings, step=STEP, logits=True, workers=2).read()
    assert pd.Series(found.paths).str[-5:].value_counts().to_dict() == {"0.wav": 11, "1.wav": 1, "2.wav": 519}
    assert np.allclose(found.ends - found.starts, 0.5)
    for k in (0, 5, 10, 11, 12, 250, 530):
        clip = read_clip(found.paths[k], start_time=found.starts[k], duration=0.5, sample_rate=RATE)
        embedding, logits = expected(weights, clip[None])
        assert np.allclose(found.values[k], embedding[0], atol=1e-5)
        assert np.allclose(found.logits[k], logits[0], atol=1e-5)


def test_a_folder_is_read_as_it_lies(recordings, embedder, tmp_path):
    result = embed(tmp_path / "out", embedder, recordings)
    lying = read_embeddings(tmp_path / "out/embeddings")
    assert lying.logits is None and lying.values.shape == result.read().values.shape == (267, SIZE)
    manifest = json.loads((tmp_path / "out/manifest.json").read_text())
    assert manifest["embedder"] == "toy" and manifest["sha256"] == embedder.sha256 and manifest["step"] == 0.5
    with pytest.raises(BirdfastError, match="no embeddings in .*: give the folder that birdfast embed wrote into"):
        read_embeddings(tmp_path / "out")


class Counting:
    """An embedder that counts its windows, and fails after some."""

    def __init__(self, embedder, limit=10**9):
        self.embedder, self.limit, self.n = embedder, limit, 0

    def __getattr__(self, name):
        return getattr(self.embedder, name)

    def embed(self, waveforms):
        self.n += len(waveforms)
        if self.n > self.limit:
            raise KeyboardInterrupt
        return self.embedder.embed(waveforms)


def test_it_goes_on_where_it_was_stopped(recordings, embedder, tmp_path, capsys):
    with pytest.raises(KeyboardInterrupt):
        embed(tmp_path / "out", Counting(embedder, limit=150), recordings)
    assert {file.name[0] for file in (tmp_path / "out/embeddings").glob("*")} == {"0", "1"}
    counting = Counting(embedder)
    embed(tmp_path / "out", counting, recordings)
    assert counting.n == 260
    assert "2 recordings have their embeddings in" in capsys.readouterr().err
    counting = Counting(embedder)
    embed(tmp_path / "out", counting, recordings)
    assert counting.n == 0


def test_what_changed_is_embedded_anew(recordings, embedder, tmp_path, capsys):
    embed(tmp_path / "out", embedder, recordings)
    first = recordings / "0.wav"
    soundfile.write(first, np.full(round(3.1 * RATE), 0.25), RATE)
    os.utime(first, ns=(time.time_ns(), time.time_ns() + 10**9))
    counting = Counting(embedder)
    found = embed(tmp_path / "out", counting, recordings).read()
    assert counting.n == 6 and np.ptp(found.values[:6], axis=0).max() < 1e-5
    assert "1 recordings changed" in capsys.readouterr().err
    counting = Counting(embedder)
    embed(tmp_path / "out", counting, recordings, step=STEP)
    assert counting.n == 531
    assert len(list((tmp_path / "out/embeddings").glob("*.parquet"))) == 3


def test_a_broken_recording_is_listed_and_the_others_go_on(recordings, embedder, tmp_path):
    (recordings / "3.wav").write_bytes(b"RIFF")
    content = (recordings / "2.wav").read_bytes()
    (recordings / "4.wav").write_bytes(content[: len(content) * 3 // 4])  # breaks off after a piece was embedded
    os.truncate(recordings / "4.wav", len(content) * 3 // 4)
    result = embed(tmp_path / "out", embedder, [recordings, recordings / "gone.wav"])
    names = {Path(path).name for path in result.errors}
    assert {"3.wav", "gone.wav"} <= names and {Path(path).name for path in result.done} >= {"0.wav", "2.wav"}
    listed = pd.read_csv(tmp_path / "out/errors.csv")
    assert set(listed["path"]) == set(result.errors)
    with pytest.raises(BirdfastError, match="none of the 1 recordings can be read"):
        embed(tmp_path / "other", embedder, recordings / "3.wav")


@pytest.mark.parametrize(
    ("how", "says"),
    [({"step": 0}, "step is the time"), ({"last": "no"}, "unknown last 'no'"), ({"pad": "no"}, "unknown pad 'no'")],
)
def test_settings_that_cannot_be(recordings, embedder, tmp_path, how, says):
    with pytest.raises(BirdfastError, match=says):
        embed(tmp_path / "out", embedder, recordings, **how)


def test_a_damaged_file_of_embeddings_is_told(recordings, embedder, tmp_path):
    embed(tmp_path / "out", embedder, recordings)
    file = next((tmp_path / "out/embeddings").glob("0-*"))
    file.write_bytes(b"PAR1")
    with pytest.raises(BirdfastError, match="is damaged or holds no embeddings .*: remove it and embed again"):
        read_embeddings(file)


def test_distillation_reads_what_the_command_wrote(recordings, onnx_file, embedder, tiny_recipe, tmp_path):
    result = CliRunner().invoke(
        app, ["embed", str(recordings), "--with", str(onnx_file), "--out", str(tmp_path / "out")]
    )
    assert result.exit_code == 0, result.output + repr(result.exception)
    assert "3 recordings are embedded by toy in" in result.stdout
    recipe = tiny_recipe.with_(distill=str(tmp_path / "out/embeddings"), distill_kind="cosine")
    first = str(recordings / "0.wav")
    teacher = load_teacher(recipe, CLASSES, [first])
    clip = read_clip(first, start_time=1.0, duration=0.5, sample_rate=RATE)
    assert np.allclose(teacher.says(first, 1.1), embedder.embed(clip[None])[0], atol=1e-6)


def test_the_command_takes_a_table_and_tells_mistakes(tiny_table, onnx_file, tmp_path):
    tiny_table.drop(columns="secondary_labels").to_csv(tmp_path / "birds.csv", index=False)
    words = ["embed", str(tmp_path / "birds.csv"), "--with", str(onnx_file), "--out", str(tmp_path / "out"), "--logits"]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output + repr(result.exception)
    found = read_embeddings(tmp_path / "out/embeddings")
    assert len(set(found.paths)) == 30 and found.logits.shape == (120, len(CLASSES))
    result = CliRunner().invoke(app, [*words[:3], "nothing", *words[4:]])
    assert result.exit_code == 1 and "unknown embedder 'nothing'" in result.stderr
