"""Splits that cannot leak: no recording and no recordist on both sides, and every class is trained."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd

from birdfast.errors import BirdfastError, unknown
from birdfast.splits.leaks import LeakReport, leak_report, recording_ids

__all__ = ["LeakReport", "assign_folds", "leak_report", "official_folds", "split"]

ALWAYS_TRAIN = -1
UNGROUPED = "none"  # the group that stands for none: recordings alone


def assign_folds(
    recordings: pd.DataFrame,
    *,
    n_folds: int = 5,
    group: str = "author",
    seed: int = 0,
) -> np.ndarray:
    """The fold of each recording, int (n,); -1: always in training.

    An official `fold` column is taken as it is (numbered from 0 in order of its values). Otherwise folds are
    stratified by `primary_label` and grouped, so that a recording and a group lie in one fold.

    Parameters
    ----------
    group
        The column whose equal values stay together; a missing value is a group of its own. "none": recordings alone.

    Notes
    -----
    Classes with a single recording always train, as do classes that all lie in one group: otherwise a fold would have to
    know a class that it never heard. The rest of such a group may be held out: a recordist known from a class without
    validation cannot flatter the score.
    """
    official = official_folds(recordings)
    if official is not None:
        return official
    groups = _groups(recordings, group)
    labels = pd.factorize(recordings["primary_label"])[0]
    folds = np.full(len(recordings), ALWAYS_TRAIN)
    free = ~_rare(recordings, labels, groups, n_folds)
    if free.any():
        folds[free] = _stratified(labels[free], groups[free], n_folds, seed)
    return _train_every_class(folds, labels, groups)


def split(
    recordings: pd.DataFrame,
    *,
    n_folds: int = 5,
    fold: int = 0,
    group: str = "author",
    seed: int = 0,
) -> np.ndarray:
    """Which recordings validate in `fold`, bool (n,), see :func:`assign_folds`."""
    folds = assign_folds(recordings, n_folds=n_folds, group=group, seed=seed)
    is_valid = folds == fold
    if not is_valid.any():
        there = sorted({int(f) for f in folds if f != ALWAYS_TRAIN})
        raise BirdfastError(_no_validation(recordings, fold, there, group))
    return is_valid


def _no_validation(recordings: pd.DataFrame, fold: int, there: list[int], group: str) -> str:
    if there:
        return f"no recording falls into fold {fold}: take one of {', '.join(map(str, there))}, or fewer folds"
    n_groups = 0 if group == UNGROUPED else recordings[group].nunique(dropna=True)
    remedy = (
        f", or set group='none' to split by recording ({n_groups} different {group}s are too few)" if n_groups else ""
    )
    unit = "recording" if group == UNGROUPED else group
    return (
        f"no recording can be held out: every class has one recording only, or one {unit} only. Add recordings{remedy}"
    )


def official_folds(recordings: pd.DataFrame) -> np.ndarray | None:
    """The fold column, numbered from 0, if it holds two values or more; -1 stays what it is, see :func:`assign_folds`.

    Raises
    ------
    BirdfastError
        If some recordings have a fold and others have none.
    """
    if "fold" not in recordings or recordings["fold"].isna().all():
        return None
    if missing := int(recordings["fold"].isna().sum()):
        raise BirdfastError(
            f"{missing} of {len(recordings)} recordings have no fold: fill the column (-1: always in training), or leave "
            "it out with fold='none' (--fold-column none)"
        )
    values = recordings["fold"].to_numpy(int)
    if len(np.unique(values)) < 2:
        return None
    folds = np.unique(values[values != ALWAYS_TRAIN])
    return np.where(values == ALWAYS_TRAIN, ALWAYS_TRAIN, np.searchsorted(folds, values))


def _groups(recordings: pd.DataFrame, group: str) -> np.ndarray:
    """A number for what must stay together, int (n,): equal values of the column, and all rows of one recording."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    if group != UNGROUPED and group not in recordings:
        raise unknown("column to group by", group, recordings.columns)
    files = pd.factorize(recording_ids(recordings["path"]))[0]
    owners = pd.factorize(recordings[group])[0] if group != UNGROUPED else np.full(len(files), -1)
    known = owners >= 0
    n_files, n = files.max(initial=-1) + 1, files.max(initial=-1) + owners.max(initial=-1) + 2
    edges = coo_matrix((np.ones(known.sum()), (files[known], owners[known] + n_files)), shape=(n, n))
    return connected_components(edges, directed=False)[1][files]


def _rare(recordings: pd.DataFrame, labels: np.ndarray, groups: np.ndarray, n_folds: int) -> np.ndarray:
    """Rows of classes that cannot be held out, and all rows of the recordings that these rows are part of.

    Other classes are heard in such recordings, too: they take their group along, unless that leaves fewer groups than
    folds, or less than half of the rows, to hold out; the leak report tells then.
    """
    files = pd.factorize(recording_ids(recordings["path"]))[0]
    table = pd.DataFrame({"label": labels, "group": groups, "file": files})
    by_label = table.groupby("label")
    rare = (by_label["file"].transform("nunique") < 2) | (by_label["group"].transform("nunique") < 2)
    whole = table["file"].isin(table.loc[rare, "file"])
    along = whole | table["group"].isin(table.loc[whole & ~rare, "group"])
    enough = table.loc[~along, "group"].nunique() >= n_folds and along.mean() <= 0.5
    return (along if enough else whole).to_numpy()


def _stratified(labels: np.ndarray, groups: np.ndarray, n_folds: int, seed: int) -> np.ndarray:
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    if np.bincount(labels).max() < n_folds:  # scikit-learn refuses to stratify so few
        return _dealt(groups, n_folds, seed)
    n_groups = len(np.unique(groups))
    if n_groups < n_folds:
        raise BirdfastError(
            f"the recordings are of {n_groups} recordists or other groups that must stay together, too few for "
            f"n_folds={n_folds}: set n_folds to {max(n_groups, 2)}, or group='none' to split by recording"
        )
    folds = np.zeros(len(labels), int)
    alone = n_groups == len(groups)  # the same folds, without the search: seconds less for 28,000 rows
    splitter = (StratifiedKFold if alone else StratifiedGroupKFold)(n_folds, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The least populated class", category=UserWarning)
        for fold, (_, valid) in enumerate(splitter.split(labels, labels, None if alone else groups)):
            folds[valid] = fold
    return _renumbered(folds, n_folds, seed)


def _renumbered(folds: np.ndarray, n_folds: int, seed: int) -> np.ndarray:
    """Folds in an order drawn by lot, those of a fair size first: most people train fold 0 only.

    scikit-learn's own seed orders equal groups only, and with recordists it would change nothing.
    """
    fair = len(folds) / n_folds
    unfair = np.abs(np.bincount(folds, minlength=n_folds) - fair) // (0.2 * fair)
    order = sorted(np.random.default_rng(seed).permutation(n_folds), key=lambda fold: unfair[fold])
    return np.argsort(order)[folds]


def _dealt(groups: np.ndarray, n_folds: int, seed: int) -> np.ndarray:
    """Groups dealt out in random order, each to the fold with the fewest rows."""
    distinct, code, counts = np.unique(groups, return_inverse=True, return_counts=True)
    of_group = np.zeros(len(distinct), int)
    sizes = np.zeros(n_folds)
    for i in np.random.default_rng(seed).permutation(len(distinct)):
        of_group[i] = sizes.argmin()
        sizes[of_group[i]] += counts[i]
    return of_group[code]


def _train_every_class(folds: np.ndarray, labels: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """A class whose groups all fell into one fold would not be trained there: its smallest group always trains."""
    folds = folds.copy()
    sizes = np.bincount(groups)
    for label in np.unique(labels):
        mine = labels == label
        if folds[mine][0] != ALWAYS_TRAIN and len(np.unique(folds[mine])) == 1:
            smallest = min(np.unique(groups[mine]), key=lambda g: sizes[g])
            folds[groups == smallest] = ALWAYS_TRAIN
    return folds
