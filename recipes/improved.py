"""Improved: the baseline with the remedies. SpecAugment, MixUp, weighted sampling, label smoothing, a rate that rises and falls.

    python recipes/improved.py [DATA] [--out runs/improved]

DATA is a BirdCLEF folder of any year, a folder per species or a csv; without it a small synthetic BirdCLEF is made in data/synth.
The learning rate is what lr_find suggests; for tens of thousands of recordings take the recipe's own: --lr 1e-4. For hundreds,
`--recipe small` leaves MixUp out. What each remedy does: docs/remedies.md.

Expected (written by benchmarks/table.py from benchmarks/results):
<!-- figures: improved -->
- this script with --epochs 10 --batch-size 16, on mini BirdCLEF (real): 0.644 in 2 min
- one model, ESC-10 (real), accuracy, 5 official folds: 93.0 % ± 3.3
- one model, mini BirdCLEF (real), macro ROC-AUC on soundscapes, 6 seeds: 0.702 ± 0.032
- one model, 206 synthetic species, accuracy, 3 seeds: 13.5 % ± 2.2
- one model, 206 synthetic species, macro ROC-AUC, 3 seeds: 0.790 ± 0.014
- one model, 206 synthetic species, accuracy on the rare third, 3 seeds: 5.1 % ± 2.6
- one model, 206 synthetic species, macro ROC-AUC on soundscapes, 3 seeds: 0.645 ± 0.035
- 4 min a model of esc10 (x86_64 CPU, 1 threads)
- 64 s a model of ladder_mini (x86_64 cpu, 2 threads)
- 14 min a model of ladder206 (x86_64 cpu, 1 threads)
<!-- end of figures -->
"""

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd

from birdfast import (
    Predictor,
    bird_dls,
    bird_learner,
    get_recipe,
    per_class_table,
    plot_confusion,
    plot_history,
    roc_auc,
    save_bundle,
    synth,
)

# ---- Setup

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("data", nargs="?", help="BirdCLEF folder, folder per species or csv; a synthetic one unless given")
parser.add_argument("--out", type=Path, default=Path("runs/improved"))
parser.add_argument("--recipe", default="improved", help="improved, or small for hundreds of recordings")
parser.add_argument("--epochs", type=int, default=15)
parser.add_argument("--lr", default="auto", help="peak learning rate; auto: what lr_find suggests")
parser.add_argument("--batch-size", type=int, default=16, help="of hundreds of recordings; 64 suits tens of thousands")
parser.add_argument("--backbone", default="tf_efficientnet_lite0", help="any CNN of timm; lite0 trains on a CPU")
parser.add_argument("--weights", default="pretrained", help="pretrained, random or a checkpoint")


def main(asked: argparse.Namespace) -> None:
    """Every step, from data to submission."""
    data = asked.data or synth("data/synth", n_classes=20, n_recordings=300)
    lr = asked.lr if asked.lr == "auto" else float(asked.lr)
    recipe = get_recipe(
        asked.recipe,
        epochs=asked.epochs,
        lr=lr,
        batch_size=asked.batch_size,
        backbone=asked.backbone,
        weights=asked.weights,
    )

    # ---- Data: read, split by recordist, rare species drawn more often, batches of masked spectrograms

    dls = bird_dls(data, recipe)

    # ---- Model: an ImageNet backbone, a linear head, cross-entropy of smoothed labels, MixUp as a callback

    learn = bird_learner(dls, path=asked.out)

    # ---- Training: one cycle; checkpoints and history in the folder, from which a stopped run goes on

    learn.fit_recipe(run=asked.out, resume=True)
    plot_history(pd.read_csv(asked.out / "history.csv"))
    plt.savefig(asked.out / "history.png", bbox_inches="tight")

    # ---- Evaluation: recordings by people who were not heard in training

    targets, probabilities = learn.recording_scores()
    print(f"macro ROC-AUC of held-out recordings: {roc_auc(targets, probabilities):.3f}")
    table = per_class_table(targets, probabilities, list(dls.vocab))
    table.to_csv(asked.out / "per_class.csv")
    print(table.sort_values("support", ascending=False).head(10).round(3))
    plot_confusion(targets, probabilities, list(dls.vocab))
    plt.savefig(asked.out / "confusion.png", bbox_inches="tight")

    # ---- Inference: one file without pickle, and the submission where a competition asks for one

    predictor = Predictor(save_bundle(learn, asked.out / "birds.safetensors"))
    source = dls.plan.source
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
