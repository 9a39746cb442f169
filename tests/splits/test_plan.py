"""The plan of a training: made, printed and tested without PyTorch."""

import dataclasses
import subprocess
import sys

import numpy as np
import pytest

from birdfast.errors import BirdfastError
from birdfast.sources.read import read_source
from birdfast.splits.plan import plan_training
from birdfast.synthetic.synth import synth


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    """A small BirdCLEF with labelled soundscapes."""
    sizes = {"n_classes": 3, "n_recordings": 18, "n_labelled": 4, "n_unlabelled": 2, "n_test": 0}
    return read_source(synth(tmp_path_factory.mktemp("scenes"), **sizes, soundscape_duration=10.0))


def test_it_is_made_and_said_without_pytorch(tiny_birds):
    code = (
        "import sys; from birdfast.splits.plan import plan_training; from birdfast.sources.read import read_source\n"
        "from birdfast.recipe.presets import get_recipe\n"
        "recipe = get_recipe('baseline', sample_rate=8000, fmax=4000.0, duration=1.0, batch_size=8)\n"
        "print(plan_training(read_source(sys.argv[1]), recipe))\n"
        "assert not {'torch', 'fastai', 'timm'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tiny_birds)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "24 of kind 'recording' to train" in done.stdout and "3 classes, 30 recordings" in done.stdout


def test_each_row_is_of_a_kind(scenes, tiny_recipe):
    recipe = tiny_recipe.with_(duration=1.0, soundscape_share=0.25, soundscape_group="file", group="none")
    plan = plan_training(scenes, recipe)
    assert set(plan.clips["kind"]) == {"recording", "window"}
    assert any("labelled soundscapes" in line for line in plan.lines())
    only_mixed = plan_training(scenes, recipe.with_(soundscape_share=0.0, soundscape_mix=0.5))
    windows = only_mixed.clips["kind"] == "window"
    assert only_mixed.clips[windows]["is_valid"].all() and len(only_mixed.pools) == 1 and only_mixed.mixed_in()


def test_what_was_typed_is_kept_and_tables_are_not(tiny_birds, tiny_table, tiny_recipe):
    typed = plan_training(read_source(tiny_birds), tiny_recipe)
    assert typed.given == {"source": str(tiny_birds), "columns": {}, "pseudo": None}
    assert plan_training(read_source(tiny_table), tiny_recipe).given == {}


def test_weights_are_of_training_clips(tiny_table, tiny_recipe):
    plan = plan_training(read_source(tiny_table), tiny_recipe.with_(sampling_power=1.0))
    assert len(plan.weights) == len(plan.train) and plan.weights.sum() == pytest.approx(1)
    assert plan_training(read_source(tiny_table), tiny_recipe.with_(sampling_power=0.0)).weights is None


def test_a_batch_larger_than_the_training_set_shrinks(tiny_table, tiny_recipe, capsys):
    plan = plan_training(read_source(tiny_table), tiny_recipe.with_(batch_size=64))
    assert plan.recipe.batch_size == 16 <= len(plan.train)
    assert "batch_size=16 in place of 64" in capsys.readouterr().err


def test_it_is_frozen(tiny_table, tiny_recipe):
    plan = plan_training(read_source(tiny_table), tiny_recipe)
    with pytest.raises(dataclasses.FrozenInstanceError):
        plan.recipe = None


def test_the_same_plan_each_time(tiny_table, tiny_recipe):
    one, two = (plan_training(read_source(tiny_table), tiny_recipe) for _ in range(2))
    assert one.clips.equals(two.clips) and np.array_equal(one.weights, two.weights)


def test_nothing_to_validate_is_an_error(tiny_table, tiny_recipe):
    table = tiny_table.assign(author="one")
    with pytest.raises(BirdfastError, match="held out"):
        plan_training(read_source(table), tiny_recipe)
