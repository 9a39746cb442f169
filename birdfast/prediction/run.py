"""The prediction job: any number of recordings of any length into a :class:`Store`, going on where it stopped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from birdfast.audio.per_recording import Recording
from birdfast.audio.read import window_starts
from birdfast.audio.recordings import Paths, find_recordings
from birdfast.audio.windows import check_spacing
from birdfast.errors import BirdfastError, unknown
from birdfast.files.places import absolute, printable
from birdfast.notes import note
from birdfast.prediction.ensemble import Ensemble, each_model, load_predictor
from birdfast.prediction.fill import score_into
from birdfast.prediction.postprocess import PostProcess
from birdfast.prediction.predictor import Predictor
from birdfast.prediction.ray import score_on_ray
from birdfast.prediction.store import Settings, Store, digest_model
from birdfast.scoring.engines.ensemble import EnsembleEngine

ENGINES = ("local", "ray")


class NoneReadable(BirdfastError):
    """None of the recordings asked for can be read."""


@dataclass(frozen=True)
class Result:
    """What a prediction job leaves.

    Attributes
    ----------
    done
        The recordings that have scores, with the version of their files, in the order asked for.
    errors
        ``path, reason`` of those that cannot be read.
    """

    store: Store
    done: dict[str, str]
    errors: pd.DataFrame

    def tables(self) -> Iterable[pd.DataFrame]:
        """The scores of one recording after the other, as :meth:`Predictor.predict` gives them."""
        return self.store.tables(self.done)


def predict_into(
    out: str | Path,
    models: str | Path | Sequence[str | Path] | Ensemble,
    paths: Paths,
    *,
    step: float | None = None,
    last: Literal["pad", "drop", "shift"] = "pad",
    post: PostProcess | None = None,
    engine: Literal["local", "ray"] = "local",
    progress: bool = True,
    **options: Any,
) -> Result:
    """Score recordings into the folder `out`, one Parquet file each; what is there already is not scored again.

    A recording is scored anew if its file, a model or a setting has changed. Memory does not grow with the length or
    number of the recordings.

    Parameters
    ----------
    out
        A folder, or the URL of one on object storage.
    models
        A model's path; of several, the mean of the probabilities. Or an Ensemble of paths: its models and weights; what
        it runs on and its batch size are `options`.
    step, last, post
        As for :meth:`Predictor.predict`. With `post`, the scores of one recording are held in memory together.
    engine
        "ray": on the machines of a Ray cluster, which must all see the models, the recordings and `out`.
    options
        weights: of several models, see :class:`~birdfast.prediction.ensemble.Ensemble`. workers, device, batch_size: of
        the :class:`Predictor`; 4 windows a pass suit a CPU, a GPU takes more.

    Raises
    ------
    BirdfastError
        If there is nothing to predict, no recording can be read (NoneReadable), or the models do not go together.
    """
    if engine not in ENGINES:
        raise unknown("engine", engine, ENGINES)
    if isinstance(models, Ensemble):
        options = {"blend": models.blend, "weights": models.weights if len(models.models) > 1 else None} | options
    models, options = _paths_of(models), {"batch_size": 4} | options
    files = list(dict.fromkeys(absolute(path) for path in find_recordings(paths)))
    predictor = load_predictor(models, **options)
    store = Store(out, settings_of(predictor, models, step=step, last=last, post=post))
    done, waiting, gone = store.plan(files)
    _say(store, done, waiting)
    store.begin(str(model) for model in models)
    errors: dict[str, str] = {}
    if engine == "ray" and waiting:
        errors = score_on_ray(store, models, waiting, progress=progress, **options)
    elif waiting:
        errors = score_into(store, predictor, waiting, progress=progress)
    return _finish(store, files, done | {r.path: r.version for r in waiting}, errors, gone)


def _paths_of(models: Any) -> list[str | Path]:
    """The models' paths: by what the files hold it is told whether scores are still those of the models."""
    members = each_model(models.models if isinstance(models, Ensemble) else models)
    for member in members:
        if not isinstance(member, (str, Path)):
            raise BirdfastError(
                f"a {type(member).__name__} has no file by which a later run could tell it: save it, and give the path"
            )
    return members


def settings_of(
    predictor: Predictor,
    models: Sequence[str | Path],
    *,
    step: float | None,
    last: str,
    post: PostProcess | None = None,
) -> Settings:
    """All that decides the scores, for the store."""
    window = predictor.window
    check_spacing(step)
    window_starts(window, window=window, step=step, last=last)  # refuses what is no way to treat the last one
    if predictor.ranked:
        raise BirdfastError(
            "ranks compare the windows of all recordings, which are scored one after the other here: blend by the mean, "
            "or rank with Ensemble(...).predict, a csv or a submission"
        )
    digests = tuple(digest_model(model) for model in models)
    weights = predictor.engine.weights if isinstance(predictor.engine, EnsembleEngine) else ()
    unequal = weights if len(set(weights)) > 1 and len(models) > 1 else ()
    return Settings(
        digests, tuple(predictor.classes), window, float(step or window), last, post or PostProcess(), unequal
    )


def _say(store: Store, done: dict[str, str], waiting: list[Recording]) -> None:
    stale = sum(bool(recording.stale) for recording in waiting)
    if stale:
        note(f"{stale:,} recordings changed, or had scores by another model or other settings: they are scored anew")
    if done:
        note(f"{len(done):,} recordings have their scores in {store.place} already, {len(waiting):,} are to be scored")


def _finish(
    store: Store, files: list[str], scored: dict[str, str], errors: dict[str, str], gone: dict[str, str]
) -> Result:
    reasons = errors | gone
    done = {path: scored[path] for path in files if path not in reasons}
    broken = {printable(path): reasons[path] for path in files if path in reasons}
    if not done:
        path, reason = next(iter(broken.items()))
        raise NoneReadable(f"none of the {len(files)} recordings can be read; the first, {path}: {reason}")
    store.finish(done, broken, gone)
    if broken:
        path, reason = next(iter(broken.items()))
        note(f"{len(broken)} of {len(files)} recordings cannot be read; the first, {path}: {reason}")
    return Result(store, done, pd.DataFrame({"path": list(broken), "reason": list(broken.values())}, dtype=str))
