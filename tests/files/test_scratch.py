"""Nothing outlives a process but in the folders that somebody named."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

_RUN = """
import sys
from birdfast.audio.bad_files import BadFiles
bad = BadFiles()
bad.add("a.ogg", "it holds zero bytes")
print(bad.path, flush=True)
"""


def start(code: str, folder: Path) -> tuple[subprocess.Popen, Path]:
    """A process with `folder` for temporary files, and the path that it prints first."""
    env = os.environ | {"TMPDIR": str(folder), "TEMP": str(folder), "TMP": str(folder)}
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env
    )
    assert process.stdout is not None
    return process, Path(process.stdout.readline().strip())


def test_a_process_that_ends_leaves_nothing(tmp_path):
    process, listed = start(_RUN, tmp_path)
    process.communicate()
    assert process.returncode == 0 and tmp_path in listed.parents
    assert not list(tmp_path.iterdir())


def test_an_error_leaves_nothing(tmp_path):
    process, _ = start(_RUN + "sys.exit(3)", tmp_path)
    process.communicate()
    assert process.returncode == 3 and not list(tmp_path.iterdir())


@pytest.mark.skipif(os.name == "nt", reason="no SIGKILL here")
def test_what_a_killed_process_left_is_swept_by_the_next_and_what_lives_stays(tmp_path):
    waits = _RUN + "sys.stdin.read()"
    killed, left = start(waits, tmp_path)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert left.is_file()
    (tmp_path / "birdfast-scratch-somebody-else-s").mkdir()
    lives, held = start(waits, tmp_path)
    assert not left.exists() and not left.parent.exists()
    third, _ = start(_RUN, tmp_path)
    third.communicate()
    assert held.is_file()  # of a process that lives
    lives.communicate("")
    assert [place.name for place in tmp_path.iterdir()] == ["birdfast-scratch-somebody-else-s"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="workers are not forked here")
def test_a_worker_that_was_forked_leaves_its_parent_s_folder_alone(tmp_path):
    code = _RUN + "import os\nif os.fork() == 0: sys.exit(0)\nos.wait(); print(os.path.exists(bad.path))"
    process, _ = start(code, tmp_path)
    assert process.communicate()[0].strip() == "True" and not list(tmp_path.iterdir())
