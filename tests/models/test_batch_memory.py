import sys

import pytest

from birdfast.models.batch_memory import keep_batch_memory


def test_it_can_be_switched_off(monkeypatch):
    assert keep_batch_memory(False) is False
    monkeypatch.setenv("BIRDFAST_KEEP_MEMORY", "0")
    assert keep_batch_memory() is False


@pytest.mark.skipif(sys.platform != "linux", reason="glibc only")
def test_glibc_takes_all_settings():
    assert keep_batch_memory(True) is True
