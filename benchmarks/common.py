"""What the benchmarks share: rows appended to a csv as they are measured, finished ones not run twice."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fastai
import pandas as pd
import timm
import torch

import birdfast
from birdfast import bird_dls, bird_learner
from birdfast.training.progress import NoValidation

RESULTS = Path(__file__).parent / "results"

# The recipes compared: the plan's two, the second with the learning rate that lr_find suggests, and without MixUp.
# Hundreds of recordings, not tens of thousands: a batch of 16 gives all of them twice the steps of the default 32.
BATCH = {"batch_size": 16}
VARIANTS: dict[str, dict[str, Any]] = {
    "improved, lr=auto": {"recipe": "improved", "lr": "auto", **BATCH},  # what decides comes first
    "baseline": {"recipe": "baseline", **BATCH},
    "small": {"recipe": "small", **BATCH},
    "improved": {"recipe": "improved", **BATCH},
}


def versions() -> dict[str, str]:
    """What the figures were measured with."""
    device = (
        torch.cuda.get_device_name()
        if torch.cuda.is_available()
        else f"{platform.machine()} CPU, {torch.get_num_threads()} threads"
    )
    return {
        "birdfast": birdfast.__version__,
        "torch": torch.__version__,
        "fastai": fastai.__version__,
        "timm": timm.__version__,
        "device": device,
    }


def train(source: Any, **knobs: Any) -> Any:
    """A trained learner of `source`; `knobs` name the recipe and override it. Adds `.lr` and `.seconds`."""
    started = time.time()
    learn = bird_learner(bird_dls(source, **knobs))
    with learn.no_bar():
        learn.fit_recipe(cbs=[NoValidation()])
    learn.lr_used = float(max(learn.recorder.lrs))
    learn.seconds = time.time() - started
    return learn


def measure(name: str, keys: list[dict[str, Any]], run: Callable[..., dict[str, Any]], *, command: str) -> pd.DataFrame:
    """Run `run(**key)` for each key without a row in ``results/<name>.csv`` yet, appending its row at once."""
    path = RESULTS / f"{name}.csv"
    RESULTS.mkdir(exist_ok=True)
    table = pd.read_csv(path) if path.exists() else pd.DataFrame()
    for key in keys:
        if len(table) and (table[list(key)] == pd.Series(key)).all(axis=1).any():
            continue
        row = key | run(**key) | versions() | {"command": command}
        print(name, {k: v for k, v in row.items() if k not in versions() and k != "command"}, flush=True)
        table = pd.concat([table, pd.DataFrame([row])], ignore_index=True)
        table.to_csv(path, index=False)
    return table


def spread(table: pd.DataFrame, by: list[str], values: list[str]) -> pd.DataFrame:
    """Mean, standard deviation and count of `values`."""
    return table.groupby(by, sort=False)[values].agg(["mean", "std", "count"]).round(4)
