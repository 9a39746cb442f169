"""Scores of a window bettered by the rest of its recording: shifted windows, neighbours, the recording's best windows.

Everything here works on one recording at a time, never across. Macro ROC-AUC ranks the windows of all recordings class
by class, so what multiplies a class's column by one number everywhere changes nothing; these three do not: each moves
windows of a recording against each other, or recordings against each other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from birdfast.audio.windows import Job
from birdfast.errors import BirdfastError, unknown
from birdfast.files.text import read_csv
from birdfast.prediction.jobs import Scored, score
from birdfast.recipe.recipe import Recipe

KERNEL = (0.1, 0.2, 0.4, 0.2, 0.1)  # BirdCLEF 2024, 3rd place
_TICK = 6  # decimals of a second: starts that agree to here are one window
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class PostProcess:
    """Which of the switches are on, in the order in which they act; all are off unless given.

    Attributes
    ----------
    shift
        Seconds: each window's score is averaged with those of the windows that begin this much earlier and later, as far
        as they lie within the recording (see :func:`shifted_starts`). Half a window costs twice the time.
    smooth
        Weights of a window and its neighbours, the window's own in the middle (see :func:`smooth_neighbours`).
    groups, group_smooth
        The group of a class (see :func:`read_groups`), and the weights of a group in place of `smooth`; ``(1,)`` leaves
        a group as it is.
    file_top
        N: scores are multiplied by the mean of the class's N best windows in the recording, 1 by its maximum (see
        :func:`scale_by_file`).

    Raises
    ------
    BirdfastError
        For weights that cannot be meant.
    """

    shift: float = 0.0
    smooth: Sequence[float] = ()
    groups: Mapping[str, str] = field(default_factory=dict)
    group_smooth: Mapping[str, Sequence[float]] = field(default_factory=dict)
    file_top: int = 0

    def __post_init__(self) -> None:
        if not self.shift >= 0:
            raise BirdfastError(f"shift is a time in s, 0 (off) or more, not {self.shift}")
        if self.file_top < 0:
            raise BirdfastError(f"file_top is a number of windows, 0 (off) or more, not {self.file_top}")
        for kernel in (self.smooth, *self.group_smooth.values()):
            _check_kernel(kernel)
        for name in self.group_smooth:
            if name not in set(self.groups.values()):
                raise unknown("group to smooth", name, set(self.groups.values()))
        object.__setattr__(self, "smooth", tuple(self.smooth))
        object.__setattr__(self, "groups", dict(sorted(self.groups.items())) if self.group_smooth else {})
        kernels = {name: tuple(kernel) for name, kernel in sorted(self.group_smooth.items())}
        object.__setattr__(self, "group_smooth", kernels)

    def __bool__(self) -> bool:
        return bool(self.shift or self.smooth or self.group_smooth or self.file_top)

    def kernel_of(self, label: str) -> tuple[float, ...]:
        """The weights for a class; none where it is not smoothed."""
        return tuple(self.group_smooth.get(self.groups.get(label, ""), self.smooth))

    def on_file(self, scores: Floats, classes: Sequence[str]) -> Floats:
        """Smooth and scale the scores of one recording's windows in order ``(n, n_classes)``."""
        kernels: dict[tuple[float, ...], list[int]] = {}
        for column, label in enumerate(classes):
            kernels.setdefault(self.kernel_of(label), []).append(column)
        smoothed = scores.copy()
        for kernel, columns in kernels.items():
            if kernel:
                smoothed[:, columns] = smooth_neighbours(scores[:, columns], kernel)
        return scale_by_file(smoothed, self.file_top) if self.file_top else smoothed

    def on_table(self, scores: pd.DataFrame) -> pd.DataFrame:
        """Smooth and scale a table indexed ``(path, start_time, end_time)``, recording by recording.

        Raises
        ------
        BirdfastError
            If `shift` is on: it needs more windows than the table holds, hence the model.
        """
        if self.shift:
            raise BirdfastError("shifted windows have to be scored: give shift to predict, and the rest to on_table")
        values, classes = scores.to_numpy(np.float32, copy=True), [str(name) for name in scores]
        for rows in scores.groupby(level="path", sort=False).indices.values():
            order = rows[np.argsort(scores.index.get_level_values("start_time")[rows], kind="stable")]
            values[order] = self.on_file(values[order], classes)
        return pd.DataFrame(values, index=scores.index, columns=scores.columns)


def _check_kernel(kernel: Sequence[float]) -> None:
    middle = kernel[len(kernel) // 2] if kernel else 1.0
    if (kernel and len(kernel) % 2 == 0) or not middle > 0 or not all(0 <= weight < np.inf for weight in kernel):
        raise BirdfastError(
            f"weights to smooth with are an odd number of numbers from 0 up, the middle one above 0, not {list(kernel)}"
        )


def smooth_neighbours(scores: Floats, kernel: Sequence[float] = KERNEL) -> Floats:
    """The weighted mean of each window ``(n, n_classes)`` and its neighbours in order; at the ends, of those there are.

    A bird that sings in one window likely sings in the next. BirdCLEF 2024 3rd place: [.1, .2, .4, .2, .1], +0.01 public;
    2026 1st place by group: thirds for amphibians and insects, whose choruses last, [.2, .6, .2] for others. 2026 2nd
    place found every smoothing neutral or worse: measure it.
    """
    half, n = len(kernel) // 2, len(scores)
    sums, weights = np.zeros(scores.shape, np.float64), np.zeros((n, 1))
    for offset, weight in enumerate(kernel, start=-half):
        to, of = slice(max(0, -offset), min(n, n - offset)), slice(max(0, offset), min(n, n + offset))
        if to.start < to.stop:
            sums[to] += weight * scores[of]
            weights[to] += weight
    return (sums / weights).astype(np.float32)


def scale_by_file(scores: Floats, top: int = 1) -> Floats:
    """Scores of one recording ``(n, n_classes)`` times the mean of each class's `top` highest: of 1 its maximum.

    A class that is nowhere sure of itself in a recording counts less in all of it. BirdCLEF 2025 2nd place: +0.005 to
    0.010, with the mean of the best N +0.011 by their paper; it adds nothing on top of shifted windows. Within a single
    recording it multiplies a class by one number, which no ranking notices.
    """
    best = np.sort(scores, axis=0)[-top:] if len(scores) else np.ones((1, scores.shape[1]), np.float32)
    return (scores * best.mean(axis=0, dtype=np.float64)).astype(np.float32)


def shifted_starts(
    starts: np.ndarray, *, duration: float, window: float, shift: float
) -> tuple[np.ndarray, NDArray[np.intp]]:
    """All windows to score so that each of the `starts` ``(n,)`` can be averaged with those `shift` s before and after.

    BirdCLEF 2025 2nd place (2.5 s of 5 s: single model .917 to .922 public, .910 to .918 private) and 2026 12th (private
    .9418 to .9517). A window that is wanted twice is scored once.

    Returns
    -------
    starts
        Rising, in s.
    places
        ``(n, 3)``: where each one, the earlier and the later one stand among them; -1 where it leaves the recording.
    """
    wanted = np.round(np.stack([starts, starts - shift, starts + shift], axis=1), _TICK)
    inside = (wanted >= 0) & (wanted + window <= duration + 10**-_TICK)
    inside[:, 0] = True
    everything, places = np.unique(wanted[inside], return_inverse=True)
    indices = np.full(wanted.shape, -1)
    indices[inside] = places
    return everything, indices


def average_places(scores: Floats, places: NDArray[np.intp]) -> Floats:
    """The mean of the scores ``(m, n_classes)`` at each row of `places` ``(n, k)``, -1 left out: ``(n, n_classes)``."""
    there = places >= 0
    sums = (scores[places] * there[:, :, None]).sum(axis=1, dtype=np.float64)
    return (sums / there.sum(axis=1, keepdims=True)).astype(np.float32)


@dataclass(frozen=True)
class _Wide(Job):
    """A job with the shifted windows among its own."""

    own: Job
    places: NDArray[np.intp]


def score_files(
    jobs: Iterable[Job],
    recipe: Recipe,
    run: Callable[[list[np.ndarray]], np.ndarray],
    *,
    post: PostProcess,
    window: float,
    classes: Sequence[str],
    **how: Any,
) -> Iterator[Scored]:
    """As :func:`~birdfast.prediction.jobs.score` with the options `how`, post-processed.

    What is switched on needs a recording's scores together: each is then given in one part, and held until it is whole.
    """
    if not post:
        yield from score(jobs, recipe, run, **how)
        return
    waiting: list[Scored] = []
    for part in score((_widen(job, window, post.shift) for job in jobs), recipe, run, **how):
        own = part.job.own  # type: ignore[attr-defined]
        waiting.append(part)
        if part.reason:
            waiting = []
            yield Scored(own, 0, part.scores, part.reason)
        elif part.first + len(part.scores) == len(part.job.starts):
            scores = average_places(np.concatenate([p.scores for p in waiting]), part.job.places)  # type: ignore[attr-defined]
            waiting = []
            yield Scored(own, 0, post.on_file(scores, classes))


def _widen(job: Job, window: float, shift: float) -> _Wide:
    if not shift:
        return _Wide(job.path, job.duration, job.starts, job, np.arange(len(job.starts))[:, None])
    starts, places = shifted_starts(job.starts, duration=job.duration, window=window, shift=shift)
    return _Wide(job.path, job.duration, starts, job, places)


def read_groups(taxonomy: str | Path) -> dict[str, str]:
    """The group of each class, by the columns ``primary_label`` and ``class_name`` (Aves, Amphibia, ...) of a csv.

    Raises
    ------
    BirdfastError
        If it has no such columns, as the eBird taxonomies of before 2025.
    """
    try:
        table = read_csv(taxonomy, dtype=str).dropna(subset=["primary_label", "class_name"])
    except FileNotFoundError:
        raise BirdfastError(f"no taxonomy at {taxonomy}: give BirdCLEF's taxonomy.csv") from None
    except KeyError as error:
        raise BirdfastError(f"{taxonomy} is no csv with the columns primary_label and class_name: {error}") from error
    return dict(zip(table["primary_label"], table["class_name"], strict=True))
