"""The same job on Ray Data: recordings are the rows, each actor loads the models once and writes into the same store.

Ray does the scheduling. Only what became of each recording comes back; the scores never pass through the driver.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
from tqdm.auto import tqdm

from birdfast.audio.per_recording import Recording
from birdfast.errors import BirdfastError
from birdfast.files.places import absolute
from birdfast.prediction.ensemble import load_predictor
from birdfast.prediction.fill import score_into
from birdfast.prediction.store import Settings, Store

FILES = (
    16  # recordings at most that an actor takes at once: enough to fill batches across them, few enough to share out
)
_CORES = 4  # of an actor: more speed up a small network little


class _Actor:
    """An actor: the models, loaded once, and the store."""

    def __init__(self, place: str, settings: Settings, models: Sequence[str], options: dict[str, Any]) -> None:
        self.store, self.predictor = Store(place, settings), load_predictor(models, **options)

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, list[str]]:
        rows = zip(batch["path"], batch["version"], batch["stale"])
        recordings = [Recording(str(path), str(version), tuple(str(stale).split())) for path, version, stale in rows]
        errors = score_into(self.store, self.predictor, recordings, progress=False)
        return {"path": [r.path for r in recordings], "reason": [errors.get(r.path, "") for r in recordings]}


def score_on_ray(
    store: Store, models: Sequence[str | Path], recordings: Sequence[Recording], *, progress: bool, **options: Any
) -> dict[str, str]:
    """Score recordings into a store on the cluster that Ray is connected to; gives the reasons of the unreadable ones.

    Without a cluster (``RAY_ADDRESS``, or ``ray.init`` before), Ray starts on this machine.
    """
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise BirdfastError(f"engine='ray' needs Ray ({error}): pip install 'ray[data]'") from error
    if not ray.is_initialized():
        ray.init(log_to_driver=False, configure_logging=False)
    logging.getLogger("ray.data").setLevel(logging.WARNING)
    ray.data.DataContext.get_current().enable_progress_bars = False  # it has one a stage; ours counts recordings
    # A name of a store's file holds no space.
    rows = [{"path": r.path, "version": r.version, "stale": " ".join(r.stale)} for r in recordings]
    cores, gpus, actors = _share(ray.nodes(), len(rows))
    blocks = max(ceil(len(rows) / FILES), min(len(rows), 4 * actors))
    scored = ray.data.from_items(rows, override_num_blocks=blocks).map_batches(
        _Actor,
        fn_constructor_args=(store.place, store.settings, [absolute(model) for model in models], options),
        batch_size=None,  # a block
        compute=ray.data.ActorPoolStrategy(size=actors),
        num_cpus=cores,
        num_gpus=gpus,
    )
    watched = tqdm(scored.iter_rows(), total=len(rows), desc="recordings", unit="", disable=not progress)
    return {row["path"]: row["reason"] for row in watched if row["reason"]}


def _share(nodes: Sequence[dict[str, Any]], n_rows: int) -> tuple[int, int, int]:
    """Cores and GPUs of an actor, and how many actors there may be."""
    alive = [node["Resources"] for node in nodes if node["Alive"]]
    cores = max(1, min([_CORES, *(int(node["CPU"]) for node in alive if node.get("CPU", 0) >= 1)]))
    gpus = sum(int(node.get("GPU", 0)) for node in alive)
    actors = gpus or sum(int(node.get("CPU", 0)) // cores for node in alive)
    return cores, 1 if gpus else 0, max(1, min(actors, n_rows))
