"""A source as it is typed at the shell."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any


def source_words(source: str, columns: Mapping[str, Any]) -> str:
    """A source and the options that name its columns, as they are typed."""
    flags = {"fold": "fold-column", "audio_root": "audio-root", "cache_dir": "cache-dir"}
    words = [source]
    for name, value in columns.items():
        words += [f"--{flags.get(name, name)}", str(value)]
    return shlex.join(words)
