"""Recordings to windows to scores: a table, or a submission."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from birdfast.audio.read import window_starts
from birdfast.audio.recordings import Paths, find_recordings, read_durations
from birdfast.audio.windows import Job, check_spacing
from birdfast.files.places import printable
from birdfast.files.writing import check_place
from birdfast.notes import note
from birdfast.prediction.outputs.events import average_overlaps, check_average, mean_within
from birdfast.prediction.postprocess import PostProcess
from birdfast.prediction.scorer import Scorer
from birdfast.prediction.submission import (
    WINDOW,
    asked_classes,
    check_step,
    check_submission,
    check_varied,
    find_soundscapes,
    read_sample,
    submission_rows,
    submission_table,
    write_submission,
)


class Predictor(Scorer):
    """Scores recordings with a trained classifier, the same on every machine and in every engine, without fastai.

    Parameters
    ----------
    model
        The path of a bundle (PyTorch), of an ``.onnx`` (ONNX Runtime) or ``.xml`` (OpenVINO) that `birdfast export`
        wrote, a :class:`Bundle` or a learner; of several in a list, the mean of their probabilities (see
        :class:`~birdfast.prediction.ensemble.Ensemble` for others). A model is copied, never changed; another Predictor's
        is shared.
    batch_size
        Windows a pass of the model; changes speed and memory only. A CPU's cache likes few, a GPU takes more.
    workers
        Threads that decode ahead of the model; as many as there are processors, up to 8, unless given.
    device
        "cuda", "cpu", ... for PyTorch; the GPU where there is one, unless given.

    Attributes
    ----------
    classes, recipe, extra
        The classifier's.
    errors
        After each prediction: a table ``path, reason`` of the recordings that could not be read.
    """

    def predict(
        self,
        paths: Paths,
        *,
        step: float | None = None,
        last: Literal["pad", "drop", "shift"] = "pad",
        post: PostProcess | None = None,
        average: bool = False,
        progress: bool = True,
        max_bad: float | None = None,
    ) -> pd.DataFrame:
        """Probabilities of each window.

        Parameters
        ----------
        paths
            A recording, a folder (searched through), or several of either.
        step
            Seconds from one window to the next; the window's length unless given, less for overlap.
        last
            What becomes of the rest at a recording's end: "pad" scores it, filled up as the recipe says; "drop" not;
            "shift" scores a window that ends with the recording.
        post
            Shifted windows, smoothing over neighbours, scaling by the recording; nothing unless given.
        average
            A row a step in place of a row a window: the mean of the windows over its middle, see
            :func:`~birdfast.prediction.outputs.events.average_overlaps`.
        max_bad
            Share of unreadable recordings, 0 to 1, above which to stop at once; without it they are listed only.

        Returns
        -------
        Float32, a column a class, indexed ``(path, start_time, end_time)`` in s. An unreadable recording, also one
        that breaks off in the middle, has no rows; it is listed in :attr:`errors` with the reason.

        Raises
        ------
        BirdfastError
            If there is nothing to predict, or no recording can be read, or more than `max_bad` cannot; or `step` is
            longer than a window with `average`.
        """
        check_spacing(step)
        if average and step is not None:
            check_average(step, self.window)
        durations, broken = read_durations(find_recordings(paths), workers=self.workers)
        jobs = [Job(p, d, window_starts(d, window=self.window, step=step, last=last)) for p, d in durations.items()]
        scores = self.score_all(jobs, broken, post=post, progress=progress, max_bad=max_bad)
        table = pd.DataFrame(scores, index=_index(jobs, self.window), columns=self.classes)
        table = table[~table.index.isin(self.errors["path"], level="path")]
        return average_overlaps(table, step or self.window) if average else table

    def submission(
        self,
        folder: str | Path,
        sample_submission: str | Path,
        out: str | Path = "submission.csv",
        *,
        year: int | None = None,
        dry_run: str | Path | None = None,
        threshold: float = 0.5,
        step: float | None = None,
        average: bool = False,
        post: PostProcess | None = None,
        progress: bool = True,
    ) -> pd.DataFrame:
        """Write and return the submission for the soundscapes in `folder`, in the form of the sample.

        Rows and columns follow the sample. Where none of its rows names a file that is there (Kaggle's sample lists
        three of a made-up file), the rows are all 5 s windows of the files. Every row gets a score: a window beyond a
        file's end that of its last window, one of a missing or unreadable file the mean of all others; notes say how many.

        Parameters
        ----------
        year
            Of the competition, which decides the form of the row_id; recognised by the sample unless given.
        dry_run
            Soundscapes to use when `folder` is empty, as it is on Kaggle while a notebook is saved; unless given, the
            folder ``train_soundscapes`` or ``unlabeled_soundscapes`` beside it. A ``test_soundscapes`` that
            does not exist counts as empty, with a note; with `dry_run` any folder does.
        threshold
            Probability above which a class is called, where the form wants names or true and false (2021, 2022).
        step, average
            With `average`, files are scored as :meth:`predict` scores them with both, and a row is the mean of the
            stretches of `step` s within its 5 s.
        post
            As for :meth:`predict`; a file's windows are those that the rows ask for, with `average` those a step apart.

        Raises
        ------
        BirdfastError
            If the model does not know the sample's classes, there is no sound, the result is not fit to hand in, `out`
            cannot be written, or `step` is given without `average` or is longer than a row's 5 s.
        """
        check_place(out)
        if average or step is not None:
            step = check_step(min(self.window, WINDOW) if step is None else step, average=average)
        sample = read_sample(sample_submission)
        classes = asked_classes(sample, self.classes)
        files = [str(file) for file in find_soundscapes(folder, dry_run=dry_run)]
        durations, broken = read_durations(files, workers=self.workers)
        files = [printable(file) for file in files]
        rows = submission_rows(sample, files, durations, year=year)
        if step is None:
            asked = {path: reason for path, reason in broken.items() if path in set(rows["path"])}
            scores = self.score_windows(rows, durations, asked, post=post, progress=progress)
        else:
            scores = self._average_rows(rows, step, post=post, progress=progress)
        check_varied(scores[~scores.index.duplicated()].dropna().to_numpy())
        scores = self._complete(scores, there=rows["path"].notna().to_numpy())
        table = submission_table(rows["row_id"].tolist(), scores[classes], sample, threshold=threshold)
        check_submission(table, sample, n_rows=len(rows))
        write_submission(table, out)
        return table

    def score_windows(
        self,
        windows: pd.DataFrame,
        durations: Mapping[str, float],
        broken: Mapping[str, str],
        *,
        length: float = WINDOW,
        post: PostProcess | None = None,
        progress: bool = True,
    ) -> pd.DataFrame:
        """Probabilities of the windows that are named, and of no others.

        Parameters
        ----------
        windows
            `path` and `start_time` (s) of each; in any order, also twice. `post` acts on a file's windows in order.
        durations, broken
            Seconds of each file, or why it cannot be read, as :func:`~birdfast.audio.recordings.read_durations` gives them.
        length
            Seconds of each; a model that hears longer or shorter ones is given that around the middle, within the file.

        Returns
        -------
        Float32, a row a window in their order, a column a class; NaN of unreadable files, which :attr:`errors` lists.
        """
        starts = windows["start_time"].to_numpy(dtype=float)
        if abs(length - self.window) > 1e-6:
            end = windows["path"].map(durations).fillna(0.0).to_numpy()
            starts = np.clip(starts + (length - self.window) / 2, 0, np.maximum(end - self.window, 0))
        wanted = pd.DataFrame({"path": windows["path"].to_numpy(), "start": starts})
        of_path = {str(path): np.unique(group) for path, group in wanted.groupby("path", sort=False)["start"]}
        jobs = [Job(path, durations[path], starts) for path, starts in of_path.items() if path in durations]
        scores = self.score_all(jobs, dict(broken), post=post, progress=progress, max_bad=None)
        table = pd.DataFrame(scores, index=_index(jobs, self.window).droplevel("end_time"), columns=self.classes)
        return table.reindex(pd.MultiIndex.from_frame(wanted))

    def _average_rows(
        self, rows: pd.DataFrame, step: float, *, post: PostProcess | None, progress: bool
    ) -> pd.DataFrame:
        """Probabilities of each of the `rows` from overlapping windows; NaN of unreadable files."""
        paths = rows["path"].dropna().unique().tolist()
        return mean_within(self.predict(paths, step=step, post=post, average=True, progress=progress), rows, WINDOW)

    def _complete(self, filled: pd.DataFrame, *, there: np.ndarray) -> pd.DataFrame:
        """Rows of unreadable files, and those without a file, NaN so far, get the mean of all others."""
        empty = int(filled[there].isna().any(axis=1).sum())
        if empty:
            note(f"{empty:,} rows of {len(self.errors)} unreadable files hold the mean of all other rows")
        return filled.fillna(filled.mean())


def _index(jobs: list[Job], window: float) -> pd.MultiIndex:
    starts = np.concatenate([job.starts for job in jobs]) if jobs else np.empty(0)
    paths = np.repeat(np.array([job.path for job in jobs], dtype=object), [len(job.starts) for job in jobs])
    return pd.MultiIndex.from_arrays([paths, starts, starts + window], names=["path", "start_time", "end_time"])
