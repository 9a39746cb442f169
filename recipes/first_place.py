"""First place: labelled soundscapes train, too; every fold is trained, the folds predict together, in shifted windows.

    python recipes/first_place.py [DATA] [--out runs/first_place]

DATA is a BirdCLEF folder of any year, a folder per species or a csv; without it a small synthetic BirdCLEF is made in data/synth.
Data without labelled soundscapes train without. A stopped study goes on where it was. A GPU is wanted: there are as many
trainings as folds. What each remedy does, and who won with it: docs/remedies.md. The next step: recipes/pseudo_labels.py.

Expected (written by benchmarks/table.py from benchmarks/results):
<!-- figures: first_place -->
- this script with --epochs 10 --batch-size 16, on mini BirdCLEF (real): 0.829 in 5 min
- one model, mini BirdCLEF (real), macro ROC-AUC on soundscapes, 6 seeds: 0.720 ± 0.015
- one model, 206 synthetic species, accuracy, 3 seeds: 14.3 % ± 1.7
- one model, 206 synthetic species, macro ROC-AUC, 3 seeds: 0.805 ± 0.021
- one model, 206 synthetic species, accuracy on the rare third, 3 seeds: 6.8 % ± 3.7
- one model, 206 synthetic species, macro ROC-AUC on soundscapes, 3 seeds: 0.636 ± 0.028
- 20 s a model of ladder_mini (x86_64 cpu, 2 threads)
- 7 min a model of ladder206 (x86_64 cpu, 2 threads)
<!-- end of figures -->
"""

import argparse
from pathlib import Path

import pandas as pd

from birdfast import PostProcess, get_recipe, per_class_table, read_source, roc_auc, synth, train_folds

# ---- Setup

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("data", nargs="?", help="BirdCLEF folder, folder per species or csv; a synthetic one unless given")
parser.add_argument("--out", type=Path, default=Path("runs/first_place"))
parser.add_argument("--folds", type=int, nargs="+", help="those to train; all of them unless given")
parser.add_argument("--epochs", type=int, help="the recipe's, unless given")
parser.add_argument("--batch-size", type=int, help="the recipe's, unless given")
parser.add_argument("--backbone", help="any CNN of timm; the recipe's, unless given")
parser.add_argument("--weights", help="pretrained, random or a checkpoint; the recipe's, unless given")


def main(asked: argparse.Namespace) -> None:
    """Every step, from data to submission."""
    data = asked.data or synth("data/synth", n_classes=20, n_recordings=300)
    names = ("epochs", "batch_size", "backbone", "weights")
    knobs = {name: getattr(asked, name) for name in names if getattr(asked, name) is not None}

    # ---- Data: read once, split by recordist into folds

    source = read_source(data)
    print(f"{source.layout}: {len(source.recordings)} recordings of {len(source.classes)} classes")
    labelled = source.soundscapes is not None and len(source.soundscapes)
    recipe = get_recipe("first_place" if labelled else "small", **knobs)

    # ---- Model and training: a run a fold, in out/fold0 and so on; finished folds are not trained again

    folds = train_folds(source, recipe, asked.out, asked.folds)

    # ---- Evaluation: each recording by the model that has not heard it

    targets, probabilities = folds.arrays()
    print(f"macro ROC-AUC out of fold: {roc_auc(targets, probabilities):.3f}")
    table = per_class_table(targets, probabilities, folds.classes)
    table.to_csv(asked.out / "per_class.csv")
    print(table.sort_values("support", ascending=False).head(10).round(3))

    # ---- Inference: the folds together, and the submission where a competition asks for one

    predictor = folds.ensemble()
    if source.test is None or source.sample_submission is None:
        print(f"{predictor} is in {asked.out}: predictor.predict(files) scores sound")
        return
    half = PostProcess(shift=recipe.scored / 2)  # windows half a window earlier and later count, too
    submission = predictor.submission(
        source.test, source.sample_submission, out=asked.out / "submission.csv", post=half
    )
    solution = source.root / "solution.csv"
    if solution.exists():  # of synthetic data
        scores = submission.set_index("row_id")
        truth = pd.read_csv(solution, index_col="row_id").loc[scores.index, scores.columns]
        print(f"macro ROC-AUC of the test soundscapes: {roc_auc(truth.to_numpy(), scores.to_numpy()):.3f}")


if __name__ == "__main__":
    main(parser.parse_args())
