"""Models and recordings in; a folder of results, one csv or a submission out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd

from birdfast.audio.read import window_starts
from birdfast.audio.windows import check_spacing
from birdfast.commands.predicting.view import ViewOptions, make_view, read_number
from birdfast.commands.shared.models import check_blend, find_bundle, find_predictor
from birdfast.errors import BirdfastError, unknown
from birdfast.files.places import absolute, is_url, printable
from birdfast.files.scratch import scratch
from birdfast.files.writing import check_place
from birdfast.notes import note
from birdfast.prediction.postprocess import PostProcess
from birdfast.prediction.run import ENGINES
from birdfast.prediction.submission import read_sample, submission_year
from birdfast.recipe.knobs import names_embedder
from birdfast.scoring.engines.load import KINDS
from birdfast.splits.run_files import BUNDLE, RECIPE

MODELS = (*KINDS, ".pkl")


@dataclass(frozen=True)
class PredictOptions:
    """How to score, besides what :class:`ViewOptions` say of how to look at it."""

    step: float | None = None
    last: str = "pad"
    engine: str = "local"
    batch_size: int = 4
    workers: int | None = None
    post: PostProcess | None = None
    blend: str = "mean"
    weights: Sequence[float] | None = None

    def check(self) -> None:
        """BirdfastError for a choice that there is not, before a model is loaded."""
        check_blend(self.blend)
        if self.engine not in ENGINES:
            raise unknown("engine", self.engine, ENGINES)
        window_starts(1.0, window=1.0, last=self.last)
        check_spacing(self.step)

    @property
    def of_ensemble(self) -> dict[str, Any]:
        """For :func:`~birdfast.prediction.ensemble.load_predictor`."""
        return {"blend": self.blend, "weights": self.weights}


def split_words(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Models and recordings: the models come first, and are told by their suffix or as folders of runs.

    Raises
    ------
    BirdfastError
        If there are no recordings, or a model stands among them.
    """
    n = next((i for i, word in enumerate(words) if i and not _is_model(word)), len(words))
    models, paths = list(words[:n]), list(words[n:])
    if not paths:
        raise BirdfastError(
            f"no recordings are named, only models ({', '.join(models)}): add files or folders of sound"
        )
    if late := [word for word in paths if word.endswith(MODELS)]:
        raise BirdfastError(f"{late[0]} is a model and stands among the recordings: name the models first")
    return models, paths


def _is_model(word: str) -> bool:
    runs = (Path(word) / name for name in (BUNDLE, RECIPE))
    return word.endswith(MODELS) or names_embedder(word) or (not is_url(word) and any(file.is_file() for file in runs))


def predict(
    models: str | Path | Sequence[str | Path],
    paths: Sequence[str | Path],
    out: str | Path,
    *,
    submission: str | Path | None = None,
    formats: Sequence[str] = (),
    context: float = 0.0,
    how: PredictOptions | None = None,
    view: ViewOptions | None = None,
) -> str:
    """Score recordings, and say what was written.

    Parameters
    ----------
    models
        A bundle or the folder of a run; several are an ensemble.
    out
        A folder, which holds the store and the `formats` of :mod:`birdfast.prediction.outputs.forms`; or a ``.csv``.
    submission
        A sample submission: the csv `out` gets its rows and columns; the recordings are one folder.
    """
    members = [models] if isinstance(models, (str, Path)) else models
    bundles, out = [find_bundle(member) for member in members], str(out)
    how, view = how or PredictOptions(), view or ViewOptions()
    how.check()
    if submission is not None:
        plain = (how.step is None or view.average) and how.last == "pad" and not formats and not context
        plain = plain and view == ViewOptions(threshold=view.threshold, average=view.average)
        threshold = None if view.threshold is None else read_number(view.threshold)
        return _submission(bundles, paths, out, submission, how, plain=plain, threshold=threshold, average=view.average)
    if not out.endswith(".csv"):
        return _folder(bundles, paths, out, formats or ("events",), context, how, view)
    if context:
        raise BirdfastError(f"--context is of the sound of events, --out {out} takes scores alone: give a folder")
    if formats or view.finds_events:
        raise BirdfastError(f"--out {out} takes scores alone: give a folder for events, labels and sound")
    check_place(out)
    return _one_csv(bundles, paths, out, how, view)


def _submission(
    models: list[Path],
    paths: Sequence[str | Path],
    out: str,
    sample: str | Path,
    how: PredictOptions,
    *,
    plain: bool,
    threshold: float | None,
    average: bool,
) -> str:
    if len(paths) != 1 or not plain or how.engine != "local":
        raise BirdfastError(
            "a submission is made of one folder of soundscapes, in windows and classes that the sample gives: leave out "
            "--step (unless with --average), --last, --as, --context, --engine, and what chooses species or events"
        )
    year = submission_year(read_sample(sample))
    predictor = find_predictor(models, batch_size=how.batch_size, workers=how.workers, **how.of_ensemble)
    if threshold is not None and year is None:
        raise BirdfastError(f"{sample} asks for probabilities, which no threshold changes: leave out --threshold")
    options = {} if threshold is None else {"threshold": threshold}
    predictor.submission(paths[0], sample, out, step=how.step, average=average, post=how.post, **options)
    _list_errors(predictor.errors, Path(out))
    return ""  # it has said so itself


def _folder(
    models: list[Path],
    paths: Sequence[str | Path],
    out: str,
    formats: Sequence[str],
    context: float,
    how: PredictOptions,
    options: ViewOptions,
) -> str:
    from birdfast.prediction.outputs.forms import check_outputs, write_outputs

    check_outputs(formats, context)
    if set(formats) == {"csv"} and options.finds_events:
        raise BirdfastError(
            "--as csv takes scores alone: leave out --threshold, --top-k, --gap and --no-merge, or add --as events, raven, ..."
        )
    if not is_url(out) and Path(out).is_file():
        raise BirdfastError(f"{out} is a file: give a folder with --out, or a name that ends in .csv")
    view, recipe = make_view(options, models, how.step)
    result = _job(out, models, paths, how)
    counts = write_outputs(result, out, formats, view, fmin=recipe.fmin, fmax=recipe.fmax, context=context)
    lines = [f"{len(result.done):,} recordings, {counts['windows']:,} windows, {counts['events']:,} events"]
    if len(result.errors):
        lines.append(f"{len(result.errors):,} recordings could not be read, they are listed in errors.csv")
    return "\n".join([*lines, f"everything is in {out}: scores/*.parquet, {', '.join(formats)}"])


def _one_csv(
    models: list[Path], paths: Sequence[str | Path], out: str, how: PredictOptions, options: ViewOptions
) -> str:
    """Through a store that is thrown away, so that memory stays bounded here too."""
    from birdfast.audio.recordings import find_recordings
    from birdfast.files.writing import appending

    view, _ = make_view(options, models, how.step)
    if how.blend == "rank":
        return _ranked_csv(models, paths, out, how, view)
    rows = 0
    with TemporaryDirectory(dir=scratch()) as folder:
        found = find_recordings(_one_or_all(paths))
        result = _job(folder, models, found, how)
        given = {printable(absolute(path)): printable(path) for path in found}
        with appending(out, index=True) as append:
            for table in result.tables():
                scores = view.scores(table.rename(index=given, level="path"))
                append(scores)
                rows += len(scores)
    _list_errors(result.errors.replace({"path": given}), Path(out))
    return f"wrote {rows} rows to {out}"


def _ranked_csv(models: list[Path], paths: Sequence[str | Path], out: str, how: PredictOptions, view: Any) -> str:
    """In memory: ranks compare all windows."""
    from birdfast.prediction.outputs.tables import write_csv

    if how.engine != "local":
        raise BirdfastError(
            "--blend rank compares the windows of all recordings: leave out --engine, or blend the mean"
        )
    predictor = find_predictor(models, batch_size=how.batch_size, workers=how.workers, **how.of_ensemble)
    options: dict[str, Any] = {"step": how.step, "last": how.last, "post": how.post}
    scores = view.scores(predictor.predict(_one_or_all(paths), **options))
    write_csv(scores, out)
    _list_errors(predictor.errors, Path(out))
    return f"wrote {len(scores)} rows to {out}"


def _job(out: str, models: list[Path], paths: Sequence[str | Path], how: PredictOptions) -> Any:
    from birdfast.prediction.run import predict_into

    return predict_into(
        out,
        models,
        _one_or_all(paths),
        step=how.step,
        last=how.last,  # type: ignore[arg-type]
        post=how.post,
        engine=how.engine,  # type: ignore[arg-type]
        batch_size=how.batch_size,
        workers=how.workers,
        **how.of_ensemble,
    )


def _one_or_all(paths: Sequence[str | Path]) -> str | Path | Sequence[str | Path]:
    """A single path that leads nowhere is an error; among others it is one more recording that cannot be read."""
    return paths[0] if len(paths) == 1 else paths


def _list_errors(errors: pd.DataFrame, out: Path) -> None:
    """The recordings that could not be read, in a csv beside the scores; an older one goes."""
    path = out.with_suffix(".errors.csv")
    path.unlink(missing_ok=True)
    if len(errors):
        errors.to_csv(path, index=False)
        note(f"{len(errors)} recordings could not be read, they are listed in {path}")
