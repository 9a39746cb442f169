"""Labels to targets, and how often a class is drawn."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd

from birdfast.errors import BirdfastError, unknown

SECONDARY = ("ignore", "weight", "mask")
REMEDY = "correct the labels, or give the right class list"


def class_list(labels: Iterable[str]) -> list[str]:
    """The distinct labels, sorted."""
    return sorted({str(label) for label in labels})


def check_labels(recordings: pd.DataFrame, classes: Sequence[str]) -> None:
    """Raise BirdfastError if there is nothing to learn, or a primary label is not in `classes`."""
    if len(recordings) == 0:
        raise BirdfastError("there are no recordings: check the path and the label file")
    labels = recordings["primary_label"]
    if "present" in recordings:  # a row without a call is no mistake
        labels = labels[(labels != "") | recordings["present"].isna()]
    outside = labels[~labels.isin(list(classes))]
    if len(outside):
        name = outside.iloc[0]
        path = recordings.loc[outside.index[0], "path"]
        error = unknown("label", name, classes)
        raise BirdfastError(
            f"{len(outside)} recordings bear a label outside the class list (first: {path}): {REMEDY}. {error}"
        )
    if labels.nunique() < 2:
        raise BirdfastError(
            f"all {len(recordings)} recordings are of one class, {labels.iloc[0]!r}: a classifier needs two or more: {REMEDY}"
        )


def targets(
    primary: str | None,
    secondary: Sequence[str],
    classes_index: Mapping[str, int],
    *,
    n_classes: int,
    secondary_mode: str = "ignore",
    secondary_weight: float = 0.5,
) -> np.ndarray:
    """The targets of one clip, float32 (n_classes,); NaN: unknown, left out of the loss.

    Parameters
    ----------
    primary
        The species heard best, or None for a clip without call.
    secondary
        Species heard besides; those without a place in `classes_index` are passed over.
    secondary_mode
        "ignore": 0; "weight": `secondary_weight`; "mask": NaN (BirdCLEF 2024, 3rd place).
    """
    if secondary_mode not in SECONDARY:
        raise unknown("treatment of secondary labels", secondary_mode, SECONDARY)
    row = np.zeros(n_classes, np.float32)
    if secondary_mode != "ignore":
        places = [classes_index[label] for label in secondary if label in classes_index]
        row[places] = np.nan if secondary_mode == "mask" else secondary_weight
    if primary is not None:
        if primary not in classes_index:
            raise unknown("label", primary, classes_index)
        row[classes_index[primary]] = 1.0
    return row


def present_targets(
    present: Sequence[str], unknown: Sequence[str], classes_index: Mapping[str, int], *, n_classes: int
) -> np.ndarray:
    """The targets of a row that names all that call, float32 (n_classes,): 1, of `unknown` NaN, 0 of all others."""
    row = np.zeros(n_classes, np.float32)
    row[[classes_index[label] for label in unknown if label in classes_index]] = np.nan
    row[[classes_index[label] for label in present if label in classes_index]] = 1.0
    return row
