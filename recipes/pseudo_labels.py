"""Pseudo-labels: teachers label the soundscapes that nobody labelled, students train on them; round after round while it helps.

    python recipes/pseudo_labels.py [DATA] [--out runs/pseudo_labels] [--rounds 3]

DATA is a BirdCLEF folder with unlabelled soundscapes (2024 on), or any data with --soundscapes FOLDER; without it a small
synthetic BirdCLEF is made in data/synth. The surest gain of 2024 to 2026: docs/remedies.md. Each round trains every fold, so a
GPU is wanted. A stopped study goes on where it was.

Expected (written by benchmarks/table.py from benchmarks/results):
<!-- figures: pseudo_labels -->
- this script with --epochs 10 --batch-size 16 --rounds 1, on mini BirdCLEF (real): 0.771 in 6 min
- one model, mini BirdCLEF (real), macro ROC-AUC on soundscapes, 6 seeds: 0.744 ± 0.025
- 26 s a model of ladder_mini (x86_64 cpu, 2 threads)
<!-- end of figures -->
"""

import argparse
from pathlib import Path

import pandas as pd

from birdfast import get_recipe, per_class_table, pseudo_label, read_source, roc_auc, synth

# ---- Setup

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("data", nargs="?", help="BirdCLEF folder, folder per species or csv; a synthetic one unless given")
parser.add_argument("--out", type=Path, default=Path("runs/pseudo_labels"))
parser.add_argument("--soundscapes", type=Path, help="folder of unlabelled soundscapes; the data's own unless given")
parser.add_argument("--recipe", default="small", help="of teachers and students")
parser.add_argument("--rounds", type=int, default=3, help="at most; one that does not help is not kept")
parser.add_argument("--folds", type=int, nargs="+", help="two or more; all of them unless given")
parser.add_argument("--lr", help="peak learning rate, or auto: what lr_find suggests; the recipe's, unless given")
parser.add_argument("--epochs", type=int, default=15)
parser.add_argument("--batch-size", type=int, default=16, help="of hundreds of recordings; 64 suits tens of thousands")
parser.add_argument("--backbone", default="tf_efficientnet_lite0", help="any CNN of timm; lite0 trains on a CPU")
parser.add_argument("--weights", default="pretrained", help="pretrained, random or a checkpoint")


def main(asked: argparse.Namespace) -> None:
    """Every step, from data to submission."""
    data = asked.data or synth("data/synth", n_classes=20, n_recordings=300, n_unlabelled=24)
    names = ("epochs", "batch_size", "backbone", "weights")
    recipe = get_recipe(asked.recipe, **{name: getattr(asked, name) for name in names})
    if asked.lr:
        recipe = recipe.with_(lr=asked.lr if asked.lr == "auto" else float(asked.lr))

    # ---- Data: read once, split by recordist into folds

    source = read_source(data)
    print(f"{source.layout}: {len(source.recordings)} recordings of {len(source.classes)} classes")

    # ---- Model and training: all folds, labels for the soundscapes, all folds anew; a window is labelled by models that
    # have not trained on it

    study = pseudo_label(source, recipe, asked.out, asked.soundscapes, rounds=asked.rounds, folds=asked.folds)
    print(study.rounds)

    # ---- Evaluation: each recording by the model that has not heard it, in the last round that was kept

    folds = study.folds
    targets, probabilities = folds.arrays()
    print(f"macro ROC-AUC out of fold: {roc_auc(targets, probabilities):.3f}")
    per_class_table(targets, probabilities, folds.classes).to_csv(asked.out / "per_class.csv")

    # ---- Inference: the folds together, and the submission where a competition asks for one

    predictor = study.ensemble()
    if source.test is None or source.sample_submission is None:
        print(f"{predictor} is in {asked.out}: predictor.predict(files) scores sound")
        return
    submission = predictor.submission(source.test, source.sample_submission, out=asked.out / "submission.csv")
    solution = source.root / "solution.csv"
    if solution.exists():  # of synthetic data
        scores = submission.set_index("row_id")
        truth = pd.read_csv(solution, index_col="row_id").loc[scores.index, scores.columns]
        print(f"macro ROC-AUC of the test soundscapes: {roc_auc(truth.to_numpy(), scores.to_numpy()):.3f}")


if __name__ == "__main__":
    main(parser.parse_args())
