"""Distillation: learn besides the labels what another model, the teacher, said of the same sound, read from a file."""

from pathlib import Path

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from fastai.callback.core import Callback
from torch import nn

from birdfast.embedders.store import EMBEDDING
from birdfast.errors import BirdfastError
from birdfast.notes import note
from birdfast.spectrogram.functional import mix, union

_KEYS = ("path", "start_time", "end_time")


class Teacher:
    """A teacher's `values` (n, d) of windows, found by recording and start.

    A recording is known by its file and folder (``amecro/XC1.ogg``), so that the file of values may be made elsewhere.
    """

    def __init__(self, paths, starts, values, reach):
        self.values, self.reach = np.ascontiguousarray(values, np.float32), reach
        rows = pd.DataFrame({"name": [_short(path) for path in paths], "start": np.asarray(starts, float)})
        self.of = {name: (g["start"].to_numpy(), g.index.to_numpy()) for name, g in rows.groupby("name", sort=False)}

    def __contains__(self, path):
        return _short(path) in self.of

    def says(self, path, start):
        "The values (d,) of the window whose start is nearest; NaN if none starts less than `reach` s away"
        starts, rows = self.of.get(_short(path), (np.empty(0), None))
        if len(starts):
            nearest = np.abs(starts - start).argmin()
            if abs(starts[nearest] - start) < self.reach:
                return self.values[rows[nearest]]
        return self.unknown

    @property
    def unknown(self):
        return np.full(self.values.shape[1], np.nan, np.float32)


def _short(path):
    return "/".join(Path(path).parts[-2:])


def load_teacher(recipe, classes, paths):
    """The Teacher in the recipe's `distill`: an .npz with path, start_time, values (and classes), or a Parquet table.

    The table has a column for each value beside path and start_time, and may be a folder of Parquets: `scores` in what
    `birdfast predict` writes, `embeddings` in what `birdfast embed` writes. How many of the training `paths` it knows is
    said; none is an error.
    """
    paths_of, starts, values, names = _read(Path(recipe.distill))
    if recipe.distill_kind != "cosine":
        values = values[:, _columns(recipe.distill, names, classes)]
    teacher = Teacher(paths_of, starts, values, recipe.duration)
    _introduce(teacher, paths, recipe)
    return teacher


def check_teacher(file):
    "Raise where a file of a teacher's values is missing, or of another kind"
    if not file.exists():
        raise BirdfastError(f"no teacher at {file}: give distill an .npz or .parquet of values by path and start_time")
    if not file.is_dir() and file.suffix not in (".npz", ".parquet"):
        raise BirdfastError(f"a teacher's values are an .npz, a .parquet or a folder of Parquets, not {file.name}")


def _read(file):
    "Paths, starts, values and the names of the values, checked"
    check_teacher(file)
    read = _read_npz if file.suffix == ".npz" and not file.is_dir() else _read_parquet
    try:
        paths, starts, values, names = read(file)
    except (KeyError, ValueError, OSError) as error:
        raise BirdfastError(f"{file} cannot be read as a teacher's values by path and start_time: {error}") from error
    if values.ndim != 2 or not len(paths) == len(starts) == len(values):
        raise BirdfastError(f"{file} must hold a row of values for each path and start_time; it has {values.shape}")
    return paths, starts, values, names


def _read_npz(file):
    with np.load(file, allow_pickle=False) as arrays:
        names = arrays["classes"].tolist() if "classes" in arrays else None
        return arrays["path"].tolist(), arrays["start_time"], arrays["values"], names


def _read_parquet(file):
    table = pd.read_parquet(file).reset_index()
    if EMBEDDING in table:  # as birdfast embed writes them
        return table["path"].tolist(), table["start_time"].to_numpy(), np.stack(table[EMBEDDING]), None
    names = [name for name in table if name not in _KEYS and pd.api.types.is_numeric_dtype(table[name])]
    names = [name for name in names if name != "index"]
    return table["path"].tolist(), table["start_time"].to_numpy(), table[names].to_numpy(np.float32), names


def _columns(file, names, classes):
    "Where the classes' probabilities stand"
    missing = [name for name in classes if name not in (names or ())]
    if missing:
        raise BirdfastError(
            f"{file} holds no probabilities of {len(missing)} of {len(classes)} classes ({', '.join(missing[:3])}): name "
            "them in its columns (in an .npz, in classes), or distil embeddings with distill_kind='cosine'"
        )
    return [names.index(name) for name in classes]


def _introduce(teacher, paths, recipe):
    "Say how many training recordings the teacher knows; refuse if none"
    known = sum(path in teacher for path in paths)
    if not known:
        raise BirdfastError(
            f"{recipe.distill} knows none of the {len(paths)} training recordings: its paths must end as theirs, "
            f"{_short(paths[0])}; it has {next(iter(teacher.of), 'none')}"
        )
    note(f"distilling ({recipe.distill_kind}): {known} of {len(paths)} training recordings ({known / len(paths):.0%}) "
         "have a teacher; the others learn from their labels alone")  # fmt: skip


class Distill(Callback):
    """Add `weight` times the distance from the teacher to the training loss; clips without a teacher add nothing.

    "cosine": 1 - cosine between the teacher's embedding and a linear projection of the mean features, which is trained
    beside the model and is no part of it; "kl", "bce": between probabilities (Hinton et al. 2015). Under MixUp the
    teacher's values are mixed as the labels are. The loss of validation is without it.
    """

    order, hook, features = 4, None, None  # before MixUp (5)

    def __init__(self, kind, weight, projection=None):
        self.kind, self.weight, self.projection, self.values = kind, weight, projection, None

    def __getstate__(self):
        "Pickled without the projection: an exported learner has no teacher"
        return self.__dict__ | {"projection": None, "values": None, "features": None, "hook": None}

    def join(self, opt):
        "Have the optimiser train the projection, at the head's rate"
        if self.projection is not None:
            opt.param_lists[-1].extend(self.projection.parameters())

    def before_fit(self):
        if self.projection is not None and self.learn.is_shared:
            raise BirdfastError(
                "distill_kind='cosine' trains on one device: start without accelerate, or use 'bce' or 'kl'"
            )

    def before_train(self):
        self.hook = self.learn.model.body.register_forward_hook(self._keep) if self.projection is not None else None

    def after_train(self):
        if self.hook is not None:
            self.hook.remove()

    def _keep(self, body, inputs, features):
        self.features = features.float().mean((-2, -1))

    def before_batch(self):
        self.values = self.yb[1].as_subclass(torch.Tensor) if len(self.yb) == 2 else None
        self.learn.yb = self.yb[:1]

    def after_loss(self):
        if self.training and self.values is not None:
            self.learn.loss_grad = self.learn.loss_grad + self.weight * self._distance(self._mixed())
            self.learn.loss = self.learn.loss_grad.clone()

    def _mixed(self):
        values = F.normalize(self.values) if self.kind == "cosine" else self.values
        if not hasattr(self.learn, "mix_up"):
            return values
        mix_up = self.learn.mix_up
        lam, other = mix_up.drawn
        is_union = self.kind != "cosine" and mix_up.how == "union"  # embeddings have none
        return union(values, values[other]) if is_union else mix(values, values[other], lam)

    def _distance(self, values):
        known = ~values.isnan().any(1)
        each = _DISTANCES[self.kind](self._student(), values.nan_to_num())
        return (each * known).sum() / len(known)

    def _student(self):
        if self.kind != "cosine":
            return self.pred.float()
        with torch.autocast(self.features.device.type, enabled=False):
            return self.projection(self.features)

    def state(self):
        "What a run needs to go on"
        return None if self.projection is None else self.projection.state_dict()

    def load_state(self, state):
        "Go on from a `state`"
        if state is not None:
            self.projection.load_state_dict(state)


_DISTANCES = {
    "cosine": lambda found, wanted: 1 - F.cosine_similarity(found, wanted),
    "kl": lambda found, wanted: F.kl_div(
        found.log_softmax(1), wanted / wanted.sum(1, keepdim=True).clamp(min=1e-6), reduction="none"
    ).sum(1),
    "bce": lambda found, wanted: F.binary_cross_entropy_with_logits(found, wanted, reduction="none").mean(1),
}


def create_distill(recipe, teacher, n_features, device):
    "The callback that a recipe describes"
    width = teacher.values.shape[1]
    projection = nn.Linear(n_features, width).to(device) if recipe.distill_kind == "cosine" else None
    return Distill(recipe.distill_kind, recipe.distill_weight, projection)
