"""`birdfast ladder`."""

import pandas as pd

from birdfast.commands.ladder import DEFAULT
from birdfast.studies import ladder as module
from birdfast.studies.rungs import MAIN, RUNGS, split_names


def told(source, recipe, **options):
    score = 0.5 + 0.01 * recipe.seed + (0.1 if recipe.mixup_alpha else 0.0)
    return {"accuracy": score, "roc_auc": score, "seconds_per_epoch": float(recipe.epochs), "lr": 1e-3}


def test_a_ladder_is_measured_and_shown(birdfast, tiny_birds, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "train_and_score", told)
    out = tmp_path / "ladder"
    words = ["ladder", tiny_birds, "--out", out, "--seeds", 2, "--epochs", 3, "--set", "n_mels=32"]
    text = birdfast(*words, "--rungs", "baseline,improved, lr=auto").stdout
    assert "| improved, lr=auto |" in text and "over baseline | pays" in text and "| 3.0 |" in text
    assert "ladder.png" in text
    assert len(pd.read_csv(out / "ladder.csv")) == 4
    text = birdfast(*words, "--ablate", "improved", "--score", "accuracy").stdout
    assert "improved without masks" in text and "improved without mixup_alpha" in text
    assert "| +0.100 ± 0.000 | pays |" in text
    assert "without spectrogram (n_mels=128)" in text  # what --set adds is taken away, too


def test_mistakes_are_told(birdfast, tiny_birds, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "train_and_score", told)
    words = ["ladder", tiny_birds, "--out", tmp_path / "none"]
    assert "did you mean 'small'" in birdfast(*words, "--rungs", "smal", code=1).stderr
    assert "unknown recipe" in birdfast(*words, "--ablate", "imprved", code=1).stderr
    both = birdfast(*words, "--ablate", "small", "--rungs", "improved", code=1).stderr
    assert "--ablate makes its own rungs: leave out --rungs, or --ablate" in both
    assert "no rung to measure" in birdfast(*words, "--rungs", "", code=1).stderr  # of a variable that is not set
    assert "unknown recipe ''" in birdfast(*words, "--ablate", "", code=1).stderr
    hasty = birdfast("ladder", tmp_path / "nowhere", *words[2:], "--cache", "wavform", code=1).stderr
    assert "did you mean 'waveform'" in hasty  # before the data are looked for
    assert "knob" in birdfast(*words, "--set", "n_mel=3", code=1).stderr
    assert not (tmp_path / "none").exists()


def test_the_help_says_where_the_rungs_are(birdfast):
    text = " ".join(birdfast("ladder", "--help").stdout.replace("│", " ").split())
    assert "docs/remedies.md" in text and "--list" in text
    named = birdfast("ladder", "--list").stdout.splitlines()  # without data, without a folder
    assert [line.partition(": ")[0] for line in named] == list(RUNGS)
    assert '("baseline,improved,' in text and split_names(DEFAULT) == [rung.name for rung in MAIN]


def test_a_stopped_ladder_says_how_it_goes_on(birdfast, tiny_birds, tmp_path, monkeypatch):
    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "train_and_score", stop)
    assert "the same command goes on" in birdfast("ladder", tiny_birds, "--out", tmp_path / "l", code=130).stderr
