"""What must be where it is typed to be: told at once, before PyTorch is loaded and data are read."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from birdfast.errors import BirdfastError
from birdfast.files.places import is_url


def check_source(source: str) -> None:
    """BirdfastError where there is no file and no folder, nor a data set of that name on Kaggle."""
    if Path(source).expanduser().exists():
        return
    from birdfast.sources.birdclef import find_birdclef

    find_birdclef(source)


def check_recordings(paths: Sequence[str | Path]) -> None:
    """BirdfastError where a single path leads nowhere; among others it is one more recording that cannot be read."""
    if len(paths) == 1 and not is_url(paths[0]) and not Path(paths[0]).exists():
        raise BirdfastError(f"there is no recording and no folder at {paths[0]}")


def check_files(option: str, paths: Iterable[str | Path]) -> None:
    """BirdfastError where a file or a folder that was given with `option` is not there."""
    for path in paths:
        if not is_url(path) and not Path(path).exists():
            raise BirdfastError(
                f"{path}: cannot be opened, there is no such file (given with {option}): check the path"
            )


def check_report(out: str | Path) -> None:
    """BirdfastError where no folder for a report can be made."""
    place = Path(out).absolute()
    there = next(folder for folder in (place, *place.parents) if folder.exists())
    if not there.is_dir():
        raise BirdfastError(f"{there} is a file: give a folder for the report with --out")
    if not os.access(there, os.W_OK):
        raise BirdfastError(f"you may not write into {there}: give another folder for the report with --out")
