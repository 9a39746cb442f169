"""What is typed from the top level."""

import pydoc
import subprocess
import sys

import pytest

import birdfast


def test_dir_names_what_is_public():
    assert set(dir(birdfast)) == {*birdfast.__all__, "__version__"}
    with pytest.raises(AttributeError, match="no attribute 'bird_dsl'"):
        birdfast.bird_dsl  # noqa: B018


def test_help_begins_with_the_way_and_names_everything():
    text = pydoc.plaintext.document(birdfast)
    screen = text[: text.index("PACKAGE CONTENTS")].splitlines()
    three = [number for number, line in enumerate(screen) if "bird_dls(" in line or "import bird_dls" in line]
    assert three[0] < 8, "the three lines come first"
    named = [line.split()[0] for line in screen if line.startswith(" " * 8) and line.split()[0] in birdfast.__all__]
    assert sorted(named) == birdfast.__all__
    assert max(map(len, screen)) <= 100


def test_the_docstring_loads_nothing_heavy():
    script = "import sys, birdfast; assert 'bird_dls' in birdfast.__doc__; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    assert not {"torch", "fastai", "numpy", "pandas"} & set(loaded)
