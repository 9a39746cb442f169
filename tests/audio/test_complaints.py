"""What an MP3's decoder writes to the terminal is counted and does not appear; everything else does."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import soundfile

from birdfast.audio.complaints import Complaints, complaints
from birdfast.audio.mp3 import count_frames
from birdfast.audio.read import AudioError, read_clip

FORKS = hasattr(os, "fork")


@pytest.fixture
def broken(tmp_path) -> Path:
    """An MP3 of 10 s of which every twentieth frame has side information of ones."""
    path = tmp_path / "broken.mp3"
    soundfile.write(path, 0.1 * np.random.default_rng(0).standard_normal(441_000), 44_100)
    content = bytearray(path.read_bytes())
    count = count_frames(bytes(content))
    sizes, at = count.stream.sizes(), count.runs[0][0]
    for k in range(count.n):
        size = sizes[bytes(content[at : at + 3])]
        if k % 20 == 7:
            content[at + 4 : at + 21] = b"\xff" * 17
        at += size
    path.write_bytes(content)
    return path


def test_broken_frames_are_counted_and_not_shown(broken, capfd):
    soundfile.read(broken)
    assert "big_values too large" in capfd.readouterr().err  # so there is something to catch
    complaints.forget(str(broken))
    for start in range(10):
        read_clip(broken, start_time=start, duration=1)
    assert capfd.readouterr().err == ""
    assert complaints.of(str(broken))["big_values too large!"] >= 10


def test_threads_say_nothing_either_and_others_are_heard(broken, capfd):
    def one(k: int) -> None:
        read_clip(broken, start_time=k, duration=1)
        os.write(2, f"line {k}\n".encode())

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(one, range(9)))
    assert sorted(capfd.readouterr().err.split("\n")) == ["", *(f"line {k}" for k in range(9))]


def test_what_comes_amid_a_decoder_s_lines_is_passed_on(capfd):
    mine = Complaints()
    with mine.caught("a.mp3"):
        os.write(
            2, b"\r 50%|##[src/libmpg123/layer3.c:INT123_do_layer3():1774] error: part2_3_length (800) too large\n"
        )
        os.write(2, b"\nWarning: Xing stream size off by more than 1%, fuzzy\nTraceback: a real error\n")
    assert capfd.readouterr().err == "\r 50%|##Traceback: a real error\n"
    assert dict(mine.of("a.mp3")) == {
        "part2_3_length (800) too large": 1,
        "Xing stream size off by more than 1%, fuzzy": 1,
    }
    os.write(2, b"[src/libmpg123/x] error: after\n")
    assert capfd.readouterr().err == "[src/libmpg123/x] error: after\n"  # nobody decodes: not ours to catch


def test_a_real_error_comes_through(capfd):
    mine = Complaints()
    with pytest.raises(ZeroDivisionError), mine.caught("a.mp3"):
        os.write(2, b"before it\n")
        raise ZeroDivisionError
    assert capfd.readouterr().err == "before it\n"


def test_a_file_that_breaks_off_says_what_the_decoder_said(broken, monkeypatch):
    monkeypatch.setattr(soundfile.SoundFile, "frames", 60 * 44_100)  # a length that nobody mended
    with pytest.raises(AudioError, match=r"can be read; its decoder says: big_values too large!: download"):
        read_clip(broken, start_time=0, duration=30)


@pytest.mark.skipif(not FORKS, reason="workers are not forked here")
def test_a_forked_worker_has_its_own_terminal(tmp_path):
    """Also when it is forked while the parent decodes."""
    code = (
        "import os, sys; from birdfast.audio.complaints import complaints\n"
        "with complaints.caught('a'):\n"
        "    pid = os.fork()\n"
        "    if pid == 0:\n"
        "        os.write(2, b'child speaks\\n')\n"
        "        with complaints.caught('b'): os.write(2, b'child decodes\\n')\n"
        "        os._exit(0)\n"
        "    os.waitpid(pid, 0); os.write(2, b'parent speaks\\n')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == "child speaks\nchild decodes\nparent speaks\n"


def test_doctor_has_one_line_of_it(broken, tmp_path, capfd):
    from birdfast.audio.read import read_headers
    from birdfast.doctor.sound import check_decoder, check_sound

    soundfile.write(tmp_path / "good.mp3", 0.1 * np.random.default_rng(1).standard_normal(441_000), 44_100)
    headers = read_headers([broken, tmp_path / "good.mp3"])
    check_sound(headers)
    (found,) = check_decoder(headers)
    assert found.message.startswith("1 files hold frames that cannot be decoded as they should")
    assert list(found.details["complaints"]) == [str(broken)]
    assert "[src/" not in capfd.readouterr().err
