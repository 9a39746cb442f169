"""`birdfast folds`."""

from typer.testing import CliRunner

from birdfast.cli import app
from birdfast.recipe import Recipe


def test_folds_at_the_shell(tiny_birds, tiny_recipe, tmp_path):
    recipe = tmp_path / "tiny.toml"
    tiny_recipe.with_(epochs=1).save(recipe)
    words = ["folds", tiny_birds, "--recipe", recipe, "--out", tmp_path / "study", "--set", "n_folds=3"]
    run = CliRunner().invoke(app, [*map(str, words), "--folds", "0,2", "--workers", "0"])
    assert run.exit_code == 0, run.output
    assert "2 folds, 20 rows" in run.stdout
    assert "macro ROC-AUC" in run.stdout
    assert {p.name for p in (tmp_path / "study").glob("fold*")} == {"fold0", "fold2"}
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
    more = ["--rounds", 1, "--pseudo-how", "substitute", "--pseudo-power", 1.2, "--pseudo-mix", 0.4]
    run = CliRunner().invoke(app, [str(word) for word in [*words, *more]])
    assert run.exit_code == 0, run.output
    assert "round" in run.stdout
    made = Recipe.load(tmp_path / "study" / "round1" / "fold0" / "recipe.toml")
    assert (made.pseudo_how, made.pseudo_power, made.pseudo_mix, made.pseudo_label_sum) == (
        "substitute",
        1.2,
        0.4,
        0.75,
    )
