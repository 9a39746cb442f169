"""What a person may give where a trained model is wanted."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from birdfast.errors import BirdfastError, unknown
from birdfast.recipe.knobs import names_embedder
from birdfast.splits.run_files import BUNDLE, RECIPE


def find_bundle(model: str | Path) -> Path:
    """The bundle meant by its own path or by the folder of a run.

    Raises
    ------
    BirdfastError
        If there is none: for a run, that its training has not ended; for a pickle, how to make a bundle of it.
    """
    path = Path(model)
    if path.is_dir():
        if not (path / BUNDLE).is_file():
            raise BirdfastError(f"{path} holds no {BUNDLE}{_remedy(path)}")
        return path / BUNDLE
    if path.suffix == ".pkl" and path.is_file():
        out = path.with_suffix(".safetensors")
        raise BirdfastError(f"{path} is a pickle: make a bundle of it first, birdfast export {path} {out}")
    return path


def _remedy(folder: Path) -> str:
    """What to do about a folder without a bundle: of a fold, a run, or a whole study."""
    if (folder / RECIPE).is_file():
        if (folder.parent / "study.json").is_file():
            return f": go on with the study in {folder.parent}"
        return f": train it to the end with birdfast train SOURCE --out {folder} --resume"
    bundles = sorted(folder.glob(f"fold*/{BUNDLE}"))
    return f": it is a study, name its folds: {' '.join(str(file.parent) for file in bundles)}" if bundles else ""


def check_models(models: Iterable[str | Path]) -> None:
    """BirdfastError for one that is not there, before PyTorch is loaded for the others."""
    for path in map(find_bundle, models):
        if not path.exists() and not names_embedder(str(path)):
            from birdfast.scoring.engines.load import load_engine

            load_engine(path)  # says what is missing, and what to give


def find_predictor(models: Any, **options: Any) -> Any:
    """The predictor of a bundle, its path or the folder of a run, the ensemble of several or of an Ensemble."""
    from birdfast.prediction.ensemble import each_model, load_predictor

    found = [find_bundle(model) if isinstance(model, (str, Path)) else model for model in each_model(models)]
    return load_predictor(found, **options)


def check_blend(blend: str) -> None:
    """BirdfastError for a way to blend models that there is not."""
    from birdfast.scoring.engines.ensemble import BLENDS

    if blend not in BLENDS:
        raise unknown("blend", blend, BLENDS)
