import json
import pickle
import signal
import subprocess
import sys

import numpy as np
import pytest

from birdfast.audio import store as store_module
from birdfast.audio.store import Stamp, Store, stamp
from birdfast.errors import BirdfastError

WAVES = {"kind": "waveform", "dtype": "int16", "width": 1, "sample_rate": 8000}
LEVELS = {"kind": "spectrogram", "dtype": "float16", "width": 4}


def numbers(n: int, first: int = 0) -> np.ndarray:
    return np.arange(first, first + n, dtype=np.int16)


def filled(root, names="abc", settings=WAVES) -> Store:
    store = Store(root, settings)
    with store.writer() as add:
        for i, name in enumerate(names):
            add(name, numbers(10 + i, 100 * i), 1.0, Stamp(i, i))
    return store


def test_what_goes_in_comes_out(tmp_path):
    filled(tmp_path)
    store = Store(tmp_path, WAVES)
    assert store.rows(store.get("b"), 0, 99).tolist() == list(range(100, 111))
    assert store.rows(store.get("c"), 2, 5).tolist() == [202, 203, 204]
    assert store.get("d") is None
    assert json.loads((store.folder / "settings.json").read_text())["sample_rate"] == 8000


def test_rows_may_be_wide(tmp_path):
    store = Store(tmp_path, LEVELS)
    with store.writer() as add:
        add("a", np.arange(12, dtype=np.float16).reshape(3, 4), 1.0, Stamp(0, 0))
        add("b", np.ones((2, 4), np.float16), 1.0, Stamp(0, 0))
    assert store.rows(store.get("a"), 1, 2).tolist() == [[4, 5, 6, 7]]
    assert store.rows(store.get("b"), 0, 9).shape == (2, 4)


def test_other_settings_are_another_store(tmp_path):
    filled(tmp_path)
    assert Store(tmp_path, {**WAVES, "sample_rate": 16000}).get("a") is None


def test_the_wrong_type_is_refused(tmp_path):
    with pytest.raises(BirdfastError, match="holds int16, not float32"), Store(tmp_path, WAVES).writer() as add:
        add("a", np.zeros(3, np.float32), 1.0, Stamp(0, 0))


def test_a_file_that_is_full_is_followed_by_another(tmp_path, monkeypatch):
    monkeypatch.setattr(store_module, "SHARD_BYTES", 50)
    store = filled(tmp_path, "abcdef")
    assert len(list(store.folder.glob("*.bin"))) == 4  # of 42, 50, 28 and 30 bytes
    store = Store(tmp_path, WAVES)
    assert [int(store.rows(store.get(name), 0, 1)[0]) for name in "abcdef"] == [0, 100, 200, 300, 400, 500]


def test_a_changed_file_is_told_from_a_missing_one(tmp_path):
    old, new = tmp_path / "old", tmp_path / "new"
    old.write_text("1")
    new.write_text("1")
    store = Store(tmp_path / "cache", WAVES)
    with store.writer() as add:
        add(str(old), numbers(3), 1.0, stamp(old))
    assert store.sort([str(old), str(new)]) == ([], [str(new)])
    old.write_text("22")
    assert store.sort([str(old)]) == ([str(old)], [])
    old.unlink()
    assert store.sort([str(old)]) == ([str(old)], [])


def test_a_torn_index_and_a_tail_of_unknown_bytes_are_dropped(tmp_path):
    store = filled(tmp_path)
    with (store.folder / "index.jsonl").open("a") as index:
        index.write('["d", 0, 33, 1')
    with (store.folder / "00000.bin").open("ab") as file:
        file.write(b"half of an array")
    again = Store(tmp_path, WAVES)
    assert sorted(again.index) == ["a", "b", "c"]
    with again.writer() as add:
        add("d", numbers(4, 7), 1.0, Stamp(0, 0))
    last = Store(tmp_path, WAVES)
    assert last.rows(last.get("d"), 0, 9).tolist() == [7, 8, 9, 10]
    assert last.rows(last.get("c"), 0, 1).tolist() == [200]


def test_arrays_whose_file_was_cut_are_made_anew(tmp_path, capsys):
    store = filled(tmp_path)
    with (store.folder / "00000.bin").open("r+b") as file:
        file.truncate(30)
    assert sorted(Store(tmp_path, WAVES).index) == ["a"]
    assert "2 recordings" in capsys.readouterr().err


def test_a_store_can_be_sent_to_a_worker(tmp_path):
    store = filled(tmp_path)
    store.rows(store.get("a"), 0, 1)
    sent = pickle.loads(pickle.dumps(store))
    assert sent.rows(sent.get("c"), 0, 1).tolist() == [200]


KILLED = """
import os, signal, sys
import numpy as np
from birdfast.audio.store import Stamp, Store
store = Store(sys.argv[1], {settings})
with store.writer() as add:
    for i in range(70):
        add(str(i), np.full(500, i, np.int16), 1.0, Stamp(i, i))
        if i == 69:
            os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_writer_leaves_what_it_had_finished(tmp_path):
    code = KILLED.format(settings=WAVES)
    result = subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    assert result.returncode == -signal.SIGKILL
    store = Store(tmp_path, WAVES)
    assert len(store.index) == 64  # two commits of 32
    with store.writer() as add:  # the lock was given back
        add("x", numbers(3, 9), 1.0, Stamp(0, 0))
    assert store.rows(store.get("x"), 0, 9).tolist() == [9, 10, 11]
    assert all((store.rows(store.get(str(i)), 0, 500) == i).all() for i in range(64))
