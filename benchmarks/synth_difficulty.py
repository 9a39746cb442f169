"""Is the default synthetic BirdCLEF neither trivial nor hopeless?

On held-out recordists a nearest mean spectrum must stay below 25 %, and the `baseline` recipe land between 10 and 60 %.

    python benchmarks/synth_difficulty.py <empty folder for the data> [--baseline] [--seed 0]

The default difficulty was set with these two figures alone, before `improved` was scored on it; it stays.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from common import measure, train

from birdfast import LogMel, get_recipe, read_clip, read_source, synth
from birdfast.splits.folds import assign_folds

MOST_BY_SPECTRUM = 0.25
LEAST_BY_BASELINE, MOST_BY_BASELINE = 0.10, 0.60
N_FOLDS = 5


def mean_spectra(paths: list[str]) -> np.ndarray:
    """The mean over time of each recording's normalised log-mel spectrogram, (n, n_mels)."""
    recipe = get_recipe("baseline")
    logmel = LogMel.from_recipe(recipe)
    with torch.no_grad():
        waveforms = (torch.from_numpy(read_clip(path, sample_rate=recipe.sample_rate)) for path in paths)
        return torch.stack([logmel(waveform).mean(-1) for waveform in waveforms]).numpy()


def _euclid(spectra: np.ndarray, means: np.ndarray) -> np.ndarray:
    return np.linalg.norm(spectra[:, None] - means[None], axis=2)


def _correlation(spectra: np.ndarray, means: np.ndarray) -> np.ndarray:
    """1 - Pearson's correlation, after the mean of all classes, which all recordings share, is taken off."""
    centre = means.mean(0)
    a, b = spectra - centre, means - centre
    a, b = a - a.mean(1, keepdims=True), b - b.mean(1, keepdims=True)
    return 1 - (a / np.linalg.norm(a, axis=1, keepdims=True)) @ (b / np.linalg.norm(b, axis=1, keepdims=True)).T


DISTANCES: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {"euclid": _euclid, "correlation": _correlation}


def nearest_mean(folder: Path) -> dict[str, float]:
    """Accuracy of the nearest class mean on held-out recordists, all folds together; the better distance counts."""
    recordings = read_source(folder).recordings
    folds = assign_folds(recordings, n_folds=N_FOLDS)
    labels, spectra = recordings["primary_label"].to_numpy(), mean_spectra(list(recordings["path"]))
    right: dict[str, list[np.ndarray]] = {name: [] for name in DISTANCES}
    for fold in range(N_FOLDS):
        valid, classes = folds == fold, np.unique(labels[folds != fold])
        means = np.stack([spectra[(folds != fold) & (labels == name)].mean(0) for name in classes])
        for name, distance in DISTANCES.items():
            right[name].append(classes[distance(spectra[valid], means).argmin(1)] == labels[valid])
    scores = {name: float(np.concatenate(hits).mean()) for name, hits in right.items()}
    commonest = pd.Series(labels[folds >= 0]).value_counts(normalize=True).iloc[0]
    best = {"accuracy": max(scores.values()), **scores}
    return {**best, "commonest_class": float(commonest), "n": int((folds >= 0).sum())}


def baseline(folder: Path, seed: int) -> dict[str, float]:
    """Accuracy of the baseline recipe on the recordists of fold 0."""
    learn = train(folder, recipe="baseline", seed=seed)
    with learn.no_bar():
        scores = learn.scores()
    return {"accuracy": scores["accuracy"], "roc_auc": scores["roc_auc"], "seconds": round(learn.seconds)}


def main() -> None:
    """Synthesise the default set, score it, and say whether both figures lie where they should."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--baseline", action="store_true", help="train the baseline too (minutes on a CPU)")
    parser.add_argument("--seed", type=int, default=0, help="of the data set and of the training")
    args = parser.parse_args()
    synth(args.folder, seed=args.seed, progress=True)

    def run(method: str, seed: int) -> dict[str, float]:
        return nearest_mean(args.folder) if method == "nearest mean spectrum" else baseline(args.folder, seed)

    methods = ["nearest mean spectrum", *(["baseline"] if args.baseline else [])]
    keys = [{"method": method, "seed": args.seed} for method in methods]
    table = measure("synth_difficulty", keys, run, command="python benchmarks/synth_difficulty.py FOLDER --baseline")
    check(table)


def check(table: pd.DataFrame) -> None:
    """Exit with an error if a figure lies outside its bounds."""
    bounds = {"nearest mean spectrum": (0.0, MOST_BY_SPECTRUM), "baseline": (LEAST_BY_BASELINE, MOST_BY_BASELINE)}
    failed = False
    for row in table.itertuples():
        low, high = bounds[row.method]
        ok = low <= row.accuracy < high
        failed |= not ok
        verdict = "ok" if ok else "OUTSIDE"
        print(f"{row.method}, seed {row.seed}: {row.accuracy:.1%}, wanted {low:.0%} to {high:.0%}: {verdict}")
    if failed:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
