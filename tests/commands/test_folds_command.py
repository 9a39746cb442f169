"""`birdfast folds`."""

import pandas as pd
import pytest
from typer.testing import CliRunner

from birdfast.cli import app
from birdfast.recipe.recipe import Recipe
from birdfast.splits.pools import Pool


def test_folds_at_the_shell(tiny_birds, tiny_recipe, tmp_path):
    recipe = tmp_path / "tiny.toml"
    tiny_recipe.with_(epochs=1).save(recipe)
    words = ["folds", tiny_birds, "--recipe", recipe, "--out", tmp_path / "study", "--set", "n_folds=3"]
    words += ["--lr", "2e-3", "--batch-size", 4, "--backbone", "test_efficientnet", "--weights", "random"]
    run = CliRunner().invoke(app, [*map(str, words), "--folds", "0,2", "--workers", "0"])
    assert run.exit_code == 0, run.output
    assert "2 folds, 20 rows" in run.stdout
    assert "macro ROC-AUC" in run.stdout
    assert {p.name for p in (tmp_path / "study").glob("fold*")} == {"fold0", "fold2"}
    made = Recipe.load(tmp_path / "study" / "fold2" / "recipe.toml")
    assert (made.lr, made.batch_size, made.fold) == (2e-3, 4, 2)
    wrong = CliRunner().invoke(app, [*map(str, words), "--folds", "zero"])
    assert wrong.exit_code == 1
    assert "as in --folds 0,1, not 'zero'" in wrong.output


def test_pseudo_at_the_shell_refuses_where_there_are_no_soundscapes(tiny_birds, tmp_path):
    run = CliRunner().invoke(app, ["pseudo", str(tiny_birds), "--out", str(tmp_path / "study")])
    assert run.exit_code == 1
    assert "pseudo-labels without soundscapes" in run.output
    assert "--soundscapes" in run.output
    assert not (tmp_path / "study").exists()


def test_pseudo_at_the_shell(tiny_birds, tiny_recipe, tmp_path):
    recipe, folder = tmp_path / "tiny.toml", tmp_path / "soundscapes"
    tiny_recipe.with_(epochs=1, n_folds=2).save(recipe)
    folder.mkdir()
    for i in range(2):
        (folder / f"soundscape_{i}.wav").write_bytes((tiny_birds / "species0" / f"{i}.wav").read_bytes())
    words = [
        "pseudo",
        tiny_birds,
        "--recipe",
        recipe,
        "--out",
        tmp_path / "study",
        "--soundscapes",
        folder,
        "--workers",
        0,
    ]
    more = [
        "--lr",
        "2e-3",
        "--epochs",
        1,
        "--rounds",
        1,
        "--pseudo-how",
        "substitute",
        "--pseudo-power",
        1.2,
        "--pseudo-mix",
        0.4,
    ]
    run = CliRunner().invoke(app, [str(word) for word in [*words, *more]])
    assert run.exit_code == 0, run.output
    assert "round" in run.stdout
    made = Recipe.load(tmp_path / "study" / "round1" / "fold0" / "recipe.toml")
    assert made.lr == 2e-3
    assert (made.pseudo_how, made.pseudo_power, made.pseudo_mix, made.pseudo_label_sum) == (
        "substitute",
        1.2,
        0.4,
        0.75,
    )


@pytest.mark.parametrize("command", ["train", "folds"])
def test_pseudo_labels_train_at_the_shell(tiny_birds, tiny_recipe, tmp_path, command, monkeypatch):
    def shell(*words):
        return CliRunner().invoke(app, [str(word) for word in words])

    recipe, sound, labels = tmp_path / "tiny.toml", tmp_path / "soundscape_1.wav", tmp_path / "pseudo.parquet"
    tiny_recipe.with_(epochs=1, n_folds=3, pseudo_mix=1.0).save(recipe)
    sound.write_bytes((tiny_birds / "species0" / "0.wav").read_bytes())
    rows = [(str(sound), start, start + 1.0, 0.9, 0.1, 0.1) for start in (0.0, 1.0)]
    names = ["path", "start_time", "end_time", "species0", "species1", "species2"]
    pd.DataFrame(rows, columns=names).to_parquet(labels)
    drawn, real = [], Pool.draw
    monkeypatch.setattr(Pool, "draw", lambda pool, place: drawn.append(pool) or real(pool, place))
    words = [command, tiny_birds, "-r", recipe, "--out", tmp_path / "out", "--workers", 0]
    lacks = shell(*words)
    assert lacks.exit_code == 1 and "at the shell --pseudo FILE" in lacks.output
    run = shell(*words, "--pseudo", labels, *(["--folds", "0"] if command == "folds" else []))
    assert run.exit_code == 0, run.output
    assert drawn
    if command == "train":
        assert f"birdfast train {tiny_birds} --pseudo {labels} " in shell("doctor", tmp_path / "out").output.replace(
            "\n", " "
        )
