"""Does a large recordings table stay cheap? Seconds and memory from a csv of annotated calls to the first batch.

    python benchmarks/scaling.py [ROWS ...]

Fifty rows a file, as in annotated soundscapes; the files (2 s each, 16 KB) are made in a temporary folder. Each size runs in
a process of its own, so that its peak of memory is its own. Goal: linear, and 1,000,000 rows in 60 s and 3 GB.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import soundfile
from common import measure

ROWS = (1_000, 10_000, 100_000, 1_000_000)
PER_FILE, CLASSES, RATE = 50, 206, 8_000


def make_table(folder: Path, n_rows: int) -> Path:
    """A csv of `n_rows` calls, and its files: noise, so that no two are alike."""
    rng = np.random.default_rng(0)
    n_files = -(-n_rows // PER_FILE)
    for i in range(n_files):
        soundfile.write(folder / f"{i}.wav", 0.1 * rng.standard_normal(2 * RATE), RATE, subtype="ULAW")
    file = np.repeat(np.arange(n_files), PER_FILE)[:n_rows]
    start = rng.uniform(0, 1, n_rows).round(2)
    labels = (CLASSES * rng.power(3, n_rows)).astype(int)
    table = {"filename": [f"{i}.wav" for i in file], "primary_label": [f"species{i}" for i in labels],
             "author": [f"recordist{i // 5}" for i in file], "start_time": start, "end_time": start + 1.0}  # fmt: skip
    pd.DataFrame(table).to_csv(folder / "calls.csv", index=False)
    return folder / "calls.csv"


def steps(csv: Path) -> dict[str, float]:
    """Seconds of each step, in this process, and its peak of memory in GB."""
    from birdfast import RECIPES, bird_dls, read_source
    from birdfast.splits.folds import assign_folds
    from birdfast.splits.sampling import sampling_weights

    recipe = RECIPES["improved"].with_(sample_rate=RATE, fmax=4000.0, duration=1.0)
    out: dict[str, float] = {}

    def timed(name: str, step: Any) -> Any:
        started = time.perf_counter()
        result = step()
        out[name] = round(time.perf_counter() - started, 2)
        return result

    source = timed("read_s", lambda: read_source(csv))
    timed("folds_s", lambda: assign_folds(source.recordings))
    timed("weights_s", lambda: sampling_weights(source.recordings["primary_label"]))
    dls = timed("dls_s", lambda: bird_dls(source, recipe, device="cpu", num_workers=0))  # folds and weights once more
    timed("first_batch_s", dls.train.one_batch)
    out["total_s"] = round(out["read_s"] + out["dls_s"] + out["first_batch_s"], 2)
    out["peak_gb"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6, 2)
    return out


def run(rows: int) -> dict[str, Any]:
    """The steps for a table of `rows` rows, in a fresh process."""
    with tempfile.TemporaryDirectory() as folder:
        csv = make_table(Path(folder), rows)
        result = subprocess.run([sys.executable, __file__, "--steps", csv], capture_output=True, text=True, check=True)
        return json.loads(result.stdout.splitlines()[-1])


if __name__ == "__main__":
    if sys.argv[1:2] == ["--steps"]:
        print(json.dumps(steps(Path(sys.argv[2]))))
    else:
        sizes = [int(n) for n in sys.argv[1:]] or list(ROWS)
        print(measure("scaling", [{"rows": n} for n in sizes], run, command="python benchmarks/scaling.py"))
