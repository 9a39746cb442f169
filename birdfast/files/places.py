"""Files on this machine, or on object storage by a URL that fsspec opens (``s3://``, ``gs://``, ``memory://``, ...)."""

from __future__ import annotations

from pathlib import Path
from typing import Any, BinaryIO, cast

from birdfast.errors import BirdfastError


def is_url(place: str | Path) -> bool:
    """Whether `place` is a URL rather than a path. Keep URLs as text: a ``Path`` makes one slash of two."""
    return "://" in str(place)


def absolute(place: str | Path) -> str:
    """One name for one file, from whichever folder it is named."""
    return str(place) if is_url(place) else str(expanded(place).absolute())


def expanded(place: str | Path) -> Path:
    """A path whose ~ is the user's home; one that merely begins with ~ stays."""
    try:
        return Path(place).expanduser()
    except RuntimeError:
        return Path(place)


# Folders that systems and programs make beside people's: of macOS's zip files, Synology, Windows, Linux, Jupyter.
NOBODYS = frozenset(
    {
        "__macosx",
        "@eadir",
        "#recycle",
        "$recycle.bin",
        "recycler",
        "system volume information",
        "lost+found",
        "__pycache__",
    }
)


def is_nobodys(name: str) -> bool:
    """Whether a file or folder of this name is none that a person made: hidden, or a system's own (``__MACOSX``)."""
    return name.startswith(".") or name.lower() in NOBODYS


def file_name(place: str) -> str:
    """The last part of a path or URL."""
    return place.rstrip("/").rpartition("/")[2] if is_url(place) else Path(place).name


def printable(place: str | Path) -> str:
    r"""`place` as a table or a screen takes it: bytes of a name that are not UTF-8 are spelt out (``K\xfcste.wav``)."""
    return str(place).encode(errors="surrogateescape").decode(errors="backslashreplace")


def below(folder: str, *names: str) -> str:
    """A place below a folder."""
    return "/".join([folder.rstrip("/"), *names]) if is_url(folder) else str(Path(folder, *names))


def list_files(folder: str, *, recurse: bool = False) -> list[str]:
    """The files below a folder, sorted; none where there is no folder."""
    if not is_url(folder):
        return sorted(str(file) for file in Path(folder).glob("**/*" if recurse else "*") if file.is_file())
    fs, path = _connect(folder)
    found = fs.find(path, maxdepth=None if recurse else 1)
    return sorted(fs.unstrip_protocol(name) for name in found)


def version_of(place: str) -> str:
    """Text that changes when the file does: size and time of change, or what the object storage has in their stead.

    Raises
    ------
    OSError
        If there is no such file.
    """
    if is_url(place):
        fs, path = _connect(place)
        return str(fs.ukey(path))
    status = Path(place).stat()
    return f"{status.st_size} {status.st_mtime_ns}"


def open_url(url: str) -> BinaryIO:
    """The object at a URL, read by ranges as it is sought through."""
    fs, path = _connect(url)
    return cast(BinaryIO, fs.open(path, "rb"))


def put(file: Path, url: str) -> None:
    """Copy a file to a URL, where it appears whole."""
    fs, path = _connect(url)
    fs.makedirs(path.rpartition("/")[0], exist_ok=True)
    fs.put_file(str(file), path)


def remove(place: str) -> None:
    """Remove a file, if it is there."""
    if not is_url(place):
        Path(place).unlink(missing_ok=True)
        return
    fs, path = _connect(place)
    if fs.exists(path):
        fs.rm_file(path)


def _connect(url: str) -> tuple[Any, str]:
    """The file system of a URL and the path in it."""
    from fsspec.core import url_to_fs

    try:
        fs, path = url_to_fs(url)
    except (ImportError, ValueError) as error:
        raise BirdfastError(f"{url} cannot be opened: {error}") from error
    return fs, str(path)
