"""What does the spectrogram cache cost in score? Trained from files and from each cache, scored on the sound itself.

    python benchmarks/cache_score.py FOLDER

FOLDER is a BirdCLEF folder or any other source; the caches (a minute of sound is 3.8 MB as a waveform) go to a temporary one.
Scores are those of the held-out fold, read from the files, as the model will be used.
"""

from __future__ import annotations

import sys
import tempfile
from typing import Any

from common import BATCH, measure, spread, train

from birdfast import bird_dls

EPOCHS = 10


def main(source: str, cache_dir: str) -> None:
    """Measure each cache with each seed."""

    def run(cache: str, seed: int) -> dict[str, Any]:
        knobs: dict[str, Any] = {"recipe": "improved", "lr": "auto", "seed": seed, "epochs": EPOCHS, **BATCH}
        learn = train(source, **knobs, cache=None if cache == "files" else cache, cache_dir=cache_dir)
        scores = learn.scores(dl=bird_dls(source, **knobs).valid)
        return {"epochs": EPOCHS, **{name: round(scores[name], 4) for name in ("valid_loss", "accuracy", "roc_auc", "cmap")},
                "seconds": round(learn.seconds)}  # fmt: skip

    keys = [{"cache": cache, "seed": seed} for seed in range(3) for cache in ("files", "waveform", "spectrogram")]
    table = measure("cache_score", keys, run, command="python benchmarks/cache_score.py FOLDER")
    print(spread(table, ["cache"], ["valid_loss", "accuracy", "roc_auc", "cmap"]))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        main(sys.argv[1], folder)
