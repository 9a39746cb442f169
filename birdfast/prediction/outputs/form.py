"""What a form of output is: something that takes one recording after the other, and lists what it wrote."""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

import pandas as pd

from birdfast.prediction.listing import Listing

Sink = Callable[[str, pd.DataFrame, pd.DataFrame], None]  # takes path, scores and events of a recording


@dataclass(frozen=True)
class Work:
    """What is to be written: into the folder of `files`, of the recordings `paths`.

    Attributes
    ----------
    fmin, fmax
        Hz: what the model hears.
    context
        Seconds kept around an event's sound.
    """

    files: Listing
    paths: Collection[str]
    fmin: float
    fmax: float
    context: float = 0.0

    @property
    def everything(self) -> list[str]:
        """These recordings and those of earlier calls, whose names may be the same."""
        return [*self.paths, *self.files.beside(self.paths)]


class Form(Protocol):
    """A row of :data:`~birdfast.prediction.outputs.forms.FORMS`."""

    @property
    def of_events(self) -> bool:
        """Whether it shows events; else scores alone."""
        ...

    def open(self, name: str, work: Work) -> AbstractContextManager[Sink]:
        """Gives what writes this form, called `name`, as long as the context is open."""
        ...
