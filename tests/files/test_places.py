"""Files by path and by URL behave alike."""

import time

import fsspec
import pytest

from birdfast.audio.read import AudioError, read_header
from birdfast.errors import BirdfastError
from birdfast.files.places import absolute, below, file_name, is_url, list_files, open_url, put, remove, version_of


def test_a_name_may_begin_as_a_home_does(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/wren")
    assert absolute("~tawny.wav") == str(tmp_path / "~tawny.wav")
    assert absolute("~/a.wav") == "/home/wren/a.wav"


@pytest.fixture(params=["path", "url"])
def folder(request, tmp_path):
    if request.param == "path":
        yield str(tmp_path)
        return
    yield "memory://places"
    memory = fsspec.filesystem("memory")
    if memory.exists("/places"):
        memory.rm("/places", recursive=True)


def write(place: str, text: str, tmp_path) -> None:
    source = tmp_path / "source" if is_url(place) else tmp_path / place
    source.parent.mkdir(parents=True, exist_ok=True)
    source.write_text(text)
    if is_url(place):
        put(source, place)


def test_files_are_listed_told_apart_and_removed(folder, tmp_path):
    assert list_files(below(folder, "none")) == []
    a, b = below(folder, "new", "a.txt"), below(folder, "new", "deep", "b.txt")
    write(a, "one", tmp_path)
    write(b, "two", tmp_path)
    assert [file_name(f) for f in list_files(below(folder, "new"))] == ["a.txt"]
    assert [file_name(f) for f in list_files(below(folder, "new"), recurse=True)] == ["a.txt", "b.txt"]
    before, other = version_of(a), version_of(b)
    assert before == version_of(a) and (before, a) != (other, b)
    time.sleep(0.01)
    write(a, "three", tmp_path)
    assert version_of(a) != before
    remove(a)
    remove(a)
    with pytest.raises(FileNotFoundError):
        version_of(a)


def test_names(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert absolute("a.wav") == str(tmp_path / "a.wav") and absolute("s3://b/a.wav") == "s3://b/a.wav"
    assert file_name("s3://b/deep/") == "deep" and below("s3://b/", "x", "y") == "s3://b/x/y"
    with pytest.raises(BirdfastError, match="nowhere://x cannot be opened: Protocol not known"):
        open_url("nowhere://x")


def test_sound_that_is_not_there():
    with pytest.raises(AudioError, match="cannot be opened"):
        read_header("memory://places/none.wav")
