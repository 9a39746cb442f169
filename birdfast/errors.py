"""Errors meant for the person at the keyboard: what is wrong, where, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class BirdfastError(ValueError):
    """A mistake the user can mend. The message names the thing and the remedy; the shell shows it without a traceback."""


def unknown(kind: str, given: object, options: Iterable[str]) -> BirdfastError:
    """The error for a name that does not exist: says the nearest ones.

    Examples
    --------
    >>> str(unknown("recipe", "improvd", ["baseline", "improved"]))
    "unknown recipe 'improvd': did you mean 'improved'? There are: baseline, improved"
    """
    names = sorted(str(option) for option in options)
    near = get_close_matches(str(given), names, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}? " if near else ""
    shown = 5 if near and len(names) > 60 else 60  # timm alone has over a thousand
    listed = join_names(names[:shown]) + (f", ... ({len(names)} in all)" if len(names) > shown else "")
    return BirdfastError(f"unknown {kind} {str(given)!r}: {hint}There are: {listed}")


def join_names(names: Iterable[str]) -> str:
    """Names with commas between, those that hold a comma in quotes.

    Examples
    --------
    >>> join_names(["improved", "improved, lr=auto", "small"])
    "improved, 'improved, lr=auto', small"
    """
    return ", ".join(repr(name) if "," in name else name for name in names)
