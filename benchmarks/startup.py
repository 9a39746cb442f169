"""How long until something happens? `import birdfast`, `birdfast --help`, the first batch; each in a fresh process.

    python benchmarks/startup.py FOLDER

FOLDER takes 64 sound files of 60 s. Medians of five, the first of them (cold disk) left out of count.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from audio_set import recordings
from common import measure

FIRST_BATCH = """
import sys, pandas as pd
from birdfast import bird_dls
bird_dls(pd.read_csv(sys.argv[1]), device="cpu", num_workers=0).train.one_batch()
"""


def main(folder: Path) -> None:
    """Measure each."""
    folder.mkdir(parents=True, exist_ok=True)
    recordings(folder, 64).to_csv(folder / "startup.csv", index=False)
    words = {
        "python alone": ["-c", ""],
        "import birdfast": ["-c", "import birdfast"],
        "birdfast --help": ["-m", "birdfast", "--help"],
        "birdfast train --help": ["-m", "birdfast", "train", "--help"],
        "import fastai and timm": ["-c", "import fastai.vision.all, timm"],
        "first batch": ["-c", FIRST_BATCH, str(folder / "startup.csv")],
    }

    def run(what: str) -> dict[str, Any]:
        taken = []
        for _ in range(6):
            began = time.perf_counter()
            subprocess.run([sys.executable, *words[what]], check=True, capture_output=True)
            taken.append(time.perf_counter() - began)
        return {"seconds": round(statistics.median(taken[1:]), 3), "slowest": round(max(taken[1:]), 3)}

    print(measure("startup", [{"what": name} for name in words], run, command="python benchmarks/startup.py FOLDER"))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
