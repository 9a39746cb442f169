"""Baseline: the notebook that did not learn. A constant learning rate, nothing against over-fitting or rare species.

    python recipes/baseline.py [DATA] [--out runs/baseline]

DATA is a BirdCLEF folder of any year, a folder per species or a csv; without it a small synthetic BirdCLEF is made in data/synth.
What each remedy does that is missing here: docs/remedies.md.

Expected (written by benchmarks/table.py from benchmarks/results):
<!-- figures: baseline -->
- this script with --epochs 10 --batch-size 16, on mini BirdCLEF (real): 0.694 in 69 s
- one model, ESC-10 (real), accuracy, 5 official folds: 89.2 % ± 4.0
- one model, mini BirdCLEF (real), macro ROC-AUC on soundscapes, 6 seeds: 0.713 ± 0.029
- one model, 206 synthetic species, accuracy, 3 seeds: 16.9 % ± 2.2
- one model, 206 synthetic species, macro ROC-AUC, 3 seeds: 0.813 ± 0.016
- one model, 206 synthetic species, accuracy on the rare third, 3 seeds: 0.0 % ± 0.0
- one model, 206 synthetic species, macro ROC-AUC on soundscapes, 3 seeds: 0.587 ± 0.052
- 3 min a model of esc10 (x86_64 CPU, 1 threads)
- 25 s a model of ladder_mini (x86_64 cpu, 2 threads)
- 7 min a model of ladder206 (x86_64 cpu, 2 threads)
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
    roc_auc,
    save_bundle,
    synth,
)

# ---- Setup

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("data", nargs="?", help="BirdCLEF folder, folder per species or csv; a synthetic one unless given")
parser.add_argument("--out", type=Path, default=Path("runs/baseline"))
parser.add_argument("--epochs", type=int, default=15)
parser.add_argument("--batch-size", type=int, default=16, help="of hundreds of recordings; 64 suits tens of thousands")
parser.add_argument("--backbone", default="tf_efficientnet_lite0", help="any CNN of timm; lite0 trains on a CPU")
parser.add_argument("--weights", default="pretrained", help="pretrained, random or a checkpoint")


def main(asked: argparse.Namespace) -> None:
    """Every step, from data to submission."""
    asked.out.mkdir(parents=True, exist_ok=True)
    data = asked.data or synth("data/synth", n_classes=20, n_recordings=300)
    recipe = get_recipe(
        "baseline", epochs=asked.epochs, batch_size=asked.batch_size, backbone=asked.backbone, weights=asked.weights
    )

    # ---- Data: read, split by recordist, batches of spectrograms

    dls = bird_dls(data, recipe)

    # ---- Model: an ImageNet backbone, a linear head, cross-entropy

    learn = bird_learner(dls, path=asked.out)

    # ---- Training: the recipe's constant rate

    learn.fit_recipe()

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
