"""`birdfast predict`: a model and recordings in, a csv out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from birdfast.commands.models import find_bundle
from birdfast.errors import BirdfastError
from birdfast.notes import note


def predict(
    model: str | Path,
    paths: Sequence[str | Path],
    out: str | Path,
    *,
    step: float | None = None,
    submission: str | Path | None = None,
    batch_size: int = 32,
    workers: int | None = None,
) -> pd.DataFrame:
    """Score recordings and write the csv `out`; those that cannot be read are listed beside it, in ``.errors.csv``.

    Parameters
    ----------
    model
        A bundle, or the folder of a run.
    step
        Seconds from window to window, where not the window's length.
    submission
        A sample submission: `out` gets its rows and columns; `paths` is then one folder.
    """
    from birdfast.inference.predictor import Predictor
    from birdfast.inference.writers import write_csv

    if submission is not None and (len(paths) != 1 or step is not None):
        raise BirdfastError(
            "a submission is made of one folder of soundscapes, in windows that the sample gives: no --step"
        )
    predictor = Predictor(find_bundle(model), batch_size=batch_size, workers=workers)
    if submission is not None:
        table = predictor.submission(paths[0], submission, out)
    else:
        table = predictor.predict(paths[0] if len(paths) == 1 else paths, step=step)
        write_csv(table, out)
    _list_errors(predictor.errors, Path(out))
    return table


def _list_errors(errors: pd.DataFrame, out: Path) -> None:
    """The recordings that could not be read, in a csv beside the scores; an older one goes."""
    path = out.with_suffix(".errors.csv")
    path.unlink(missing_ok=True)
    if len(errors):
        errors.to_csv(path, index=False)
        note(f"{len(errors)} recordings could not be read, they are listed in {path}")
