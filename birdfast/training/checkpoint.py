"""Callbacks that let a run be stopped, resumed and read: checkpoints, history, seeds, broken files."""

import json
import random
from contextlib import nullcontext
from hashlib import sha256
from pathlib import Path

import pandas as pd
import torch
from fastai.callback.core import Callback
from fastai.learner import load_model, save_model
from fastai.torch_core import get_model, rank_distrib, set_seed

from birdfast.errors import BirdfastError, unknown
from birdfast.recipe.recipe import changed_knobs
from birdfast.splits.clips import check_bad_share
from birdfast.splits.run_files import EXPORTS

BEST = "best.pth"


def seed_draws(dls, seed):
    "Seed the generators of Python, NumPy and torch, apart in each process, and the order in which items are drawn"
    set_seed(seed + 1_000_003 * rank_distrib())
    train = dls.train.__dict__.get("dl", dls.train)  # behind the share of one process lies the whole
    train.rng = random.Random(seed)


class SeedEpochs(Callback):
    "Seed every generator anew each epoch, so that an epoch draws the same numbers whether or not the run was resumed before it"

    order = -20

    def __init__(self, seed):
        self.seed = seed

    def before_train(self):
        seed_draws(self.learn.dls, self.seed * 10_007 + self.epoch)
        self.learn.recorder.smooth_loss.reset()  # the loss in the history is this epoch's alone


class StopOnBadFiles(Callback):
    "Stop at once when more than the recipe's share of files turns out unreadable"

    order = 70

    def before_fit(self):
        self.n_files, self.size = self.learn.dls.plan.n_files, -1

    def after_batch(self):
        size = self.learn.dls.plan.bad_files.n_bytes()
        if size != self.size:
            self.size = size
            check_bad_share(self.learn.dls.plan.bad_files, self.n_files, self.learn.dls.recipe.max_bad)


class Checkpoints(Callback):
    "The last and the best weights, the history and where the run stands, written each epoch so that a kill loses nothing"

    # `epoch` counts from 0 in history.csv and state.json, as in fastai; what people are shown counts from 1.

    order = 65  # after the Recorder (50) has logged the epoch

    def __init__(self, folder, monitor="roc_auc", history=(), state=None):
        self.folder, self.monitor = Path(folder), monitor
        self.rows, self.state = list(history), dict(state or {})
        self.start = self.state.get("epoch", -1) + 1
        self.folder.mkdir(parents=True, exist_ok=True)

    def after_epoch(self):
        if self.epoch < self.start or rank_distrib():
            return  # fastai runs through the epochs that a resumed run skips; of several processes the first writes
        row = dict(zip(self.recorder.metric_names, [self.epoch, *self.recorder.log[1:]], strict=False))
        row["lr"] = float(self.opt.hypers[-1]["lr"])
        self.rows = [r for r in self.rows if r["epoch"] < self.epoch] + [row]
        replace(self.folder / "history.csv", lambda path: pd.DataFrame(self.rows).to_csv(path, index=False))
        if row.get(self.monitor, -2.0) >= self.state.get("best", -1.0):  # a learner may have other metrics
            self.state["best"], self.state["best_epoch"] = row[self.monitor], self.epoch
            replace(self.folder / BEST, lambda path: save_model(path, self.learn.model, None, with_opt=False))
        with _as_trained(self.learn):
            self._save_last()

    def _save_last(self):
        # The state names the weights that belong to it and is written after them: a kill between leaves the old pair.
        name, more = f"last_{self.epoch:04d}.pth", f"more_{self.epoch:04d}.pth"
        replace(self.folder / name, lambda path: save_model(path, self.learn.model, self.opt))
        self.state |= {"epoch": self.epoch, "last": name, "epochs": self.learn.n_epoch}
        self.state.pop("more", None)
        if states := {cb.name: state for cb in _keepers(self.learn) if (state := cb.state()) is not None}:
            replace(self.folder / more, lambda path: torch.save(states, path))
            self.state["more"] = more
        replace(self.folder / "state.json", lambda path: path.write_text(json.dumps(self.state)))
        for old in [*self.folder.glob("last_*.pth"), *self.folder.glob("more_*.pth")]:
            if old.name not in (name, more):
                old.unlink()


def _keepers(learn):
    "The callbacks that have something to keep for a run that goes on"
    return [cb for cb in learn.cbs if hasattr(cb, "load_state")]


def _as_trained(learn):
    "The weights in their place, where an average of them was validated"
    return learn.average_weights.taken_out() if hasattr(learn, "average_weights") else nullcontext()


def replace(path, write):
    "Write beside `path`, then put in its place at once"
    temporary = path.with_name("." + path.name)
    write(temporary)
    temporary.replace(path)


def read_state(folder):
    "The state and the history of a run's folder; empty where there is none"
    folder = Path(folder)
    if not (folder / "state.json").exists():
        return {}, []
    try:
        state = json.loads((folder / "state.json").read_text())
    except json.JSONDecodeError as error:
        raise BirdfastError(
            f"{folder / 'state.json'} is damaged ({error}): start the run anew in another folder"
        ) from None
    history = pd.read_csv(folder / "history.csv")
    return state, history[history["epoch"] <= state.get("epoch", -1)].to_dict("records")


def run_key(recipe, classes):
    "What a run must have in common with one that goes on with it"
    return {"recipe": recipe.to_dict(), "classes": sha256("\n".join(classes).encode()).hexdigest()}


def check_same(folder, state, recipe, classes):
    "Refuse to go on with a run by another recipe, or with other classes, than it began with"
    mine = run_key(recipe, classes)
    if changed := changed_knobs(state.get("recipe", mine["recipe"]), mine["recipe"]):
        raise BirdfastError(
            f"the run in {folder} goes on with its own recipe, only epochs may change; you changed {changed}: give its "
            "recipe, or another folder"
        )
    if state.get("classes", mine["classes"]) != mine["classes"]:
        raise BirdfastError(f"the run in {folder} was trained on other classes: give its own data, or another folder")


def check_epochs(folder, done, epochs):
    "Refuse to go on to fewer epochs than a run has"
    if epochs < done:
        raise BirdfastError(
            f"the run in {folder} has {done} epochs already and cannot go back to {epochs}: give more to go on, "
            f"{more_epochs(done)}, or start anew in another folder"
        )


def more_epochs(done):
    "How to ask for more epochs, at the shell and in Python"
    return f"--epochs {done + 10} (in Python epochs={done + 10})"


def epoch_file(folder, which):
    """The file of a run's "last" or "best" weights and the epoch they are of, counted from 0 as in history.csv."""
    if which not in EXPORTS:
        raise unknown("weights of a run", which, EXPORTS)
    state, _ = read_state(folder)
    if "last" not in state:
        raise BirdfastError(f"{folder} holds no epoch that ended: train into it with fit_recipe(run={str(folder)!r})")
    if which == "best" and "best_epoch" not in state:
        raise BirdfastError(f"{folder} has no best epoch: its learner did not measure roc_auc; take the last")
    name, epoch = (state["last"], state["epoch"]) if which == "last" else (BEST, state.get("best_epoch"))
    file = Path(folder) / name
    if not file.exists():
        raise BirdfastError(f"{file} is gone, which holds the {which} weights of the run")
    return file, epoch


def load_last(learn, folder, state):
    "Weights and optimiser state of the last finished epoch, and what callbacks kept"
    file = _found(folder, state["last"])
    if learn.opt is None:
        learn.create_opt()
    load_model(file, learn.model, learn.opt, device=learn.dls.device)
    if "more" in state:
        states = torch.load(_found(folder, state["more"]), map_location=learn.dls.device, weights_only=True)
        for cb in _keepers(learn):
            cb.load_state(states.get(cb.name))


def load_average(learn, folder):
    "Put the average of the last finished epoch, where it has one, in the place of the weights"
    state, _ = read_state(folder)
    if "more" in state:
        more = torch.load(_found(folder, state["more"]), map_location=learn.dls.device, weights_only=True)
        if kept := more.get("average_weights"):
            get_model(learn.model).load_state_dict(kept["average"])


def _found(folder, name):
    file = Path(folder) / name
    if not file.exists():
        raise BirdfastError(
            f"{file} is gone, which {folder}/state.json names: the run cannot be resumed, start it in another folder"
        )
    return file
