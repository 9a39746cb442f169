"""`birdfast folds`."""

from typer.testing import CliRunner

from birdfast.cli import app


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
