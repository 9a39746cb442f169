"""The list of bad files: one for all processes, and none on disk where nothing is listed."""

import multiprocessing
import tempfile
from pathlib import Path

import pytest

from birdfast.audio.bad_files import BadFiles
from birdfast.files import scratch


@pytest.fixture
def temporary(tmp_path, monkeypatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(scratch, "_mine", None)
    return tmp_path


def test_an_empty_list_leaves_no_file(temporary):
    bad = BadFiles()
    assert len(bad) == 0 and bad.n_bytes() == 0
    assert bad.table().empty and list(bad.table().columns) == ["path", "reason"]
    assert bad.clips() == set()
    assert not list(temporary.rglob("*.jsonl"))


def test_two_lists_of_one_process_are_apart(temporary):
    first, second = BadFiles(), BadFiles()
    first.add("a.ogg", "truncated")
    assert len(first) == 1 and first.n_bytes() > 0 and len(second) == 0
    assert [str(file) for file in temporary.rglob("*.jsonl")] == [first.path]


def add_many(bad: BadFiles, name: str) -> None:
    for i in range(50):
        bad.add(f"{name}{i}.ogg", "truncated", start_time=float(i))


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_processes_add_to_one_list_that_none_of_them_made(temporary, method):
    bad, context = BadFiles(), multiprocessing.get_context(method)
    workers = [context.Process(target=add_many, args=(bad, name)) for name in "ab"]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(bad) == 100
    assert ("b7.ogg", 7.0) in bad.clips()
