"""evaluation.metrics as fastai metrics: over the whole epoch, per recording, never NaN."""

import numpy as np
import torch
from fastai.learner import Metric

from birdfast.evaluation import metrics as M
from birdfast.evaluation.report import average_by


class EpochScores:
    "Targets and probabilities of a validation epoch, kept once for all metrics, on the device until they are asked for"

    def __init__(self):
        self.reset()

    def reset(self):
        self.probabilities, self.targets, self.seen, self.found = [], [], None, None
        self.items = self.bad = self.dl = None
        self.no_call = False

    def add(self, learn):
        if learn.pred is self.seen:
            return  # another metric has added this batch
        activation = getattr(learn.loss_func, "activation", torch.nn.Identity())
        self.probabilities.append(activation(learn.pred.float()).detach().as_subclass(torch.Tensor))
        self.targets.append(learn.y.detach().as_subclass(torch.Tensor))
        self.seen, self.found, self.dl = learn.pred, None, learn.dl
        self.items, self.bad = (
            getattr(learn.dl, "items", None),
            getattr(getattr(learn.dls, "plan", None), "bad_files", None),
        )
        self.no_call = getattr(getattr(learn.dls, "recipe", None), "no_call", False)

    def arrays(self):
        "Targets and probabilities a recording, of all processes; None before the first batch"
        if self.found is None and self.targets:
            targets, probabilities = (torch.cat(part).cpu().numpy() for part in (self.targets, self.probabilities))
            if hasattr(self.dl, "mine"):
                targets, probabilities = _in_order(self.dl.mine, targets, probabilities)
            found = per_recording(targets, probabilities, self.items, self.bad)
            self.found = of_classes(*found) if self.no_call else found
        return self.found


def _in_order(places, targets, probabilities):
    "The shares of all processes as one, in the order of the items; the last may be doubled to make the shares equal"
    from birdfast.training.distributed import gathered

    shares = gathered((np.asarray(places[: len(targets)]), targets, probabilities))
    places, targets, probabilities = (np.concatenate(part) for part in zip(*shares))
    first = np.unique(places, return_index=True)[1]
    return targets[first], probabilities[first]


class RecordingMetric(Metric):
    "`func(targets, probabilities)` over an epoch; windows of one recording are averaged first where the items name it"

    def __init__(self, func, name=None, scores=None):
        self.func, self._name, self.scores = func, name or func.__name__, scores or EpochScores()

    def reset(self):
        self.scores.reset()

    def accumulate(self, learn):
        self.scores.add(learn)

    @property
    def value(self):
        found = self.scores.arrays()
        return None if found is None else self.func(*found)

    @property
    def name(self):
        return self._name


def per_recording(targets, probabilities, items=None, bad_files=None):
    "Average the windows of each recording, leaving out windows that could not be read; as given where items name no recording"
    if "recording" not in getattr(items, "columns", ()) or len(items) != len(targets):
        return targets, probabilities
    keys = items["recording"].to_numpy()
    if bad_files is not None and len(bad_files):
        bad = bad_files.clips()
        good = np.array([key not in bad for key in zip(items["path"], items["start_time"])])
        keys, targets, probabilities = keys[good], targets[good], probabilities[good]
    first = np.unique(keys, return_index=True)[1]
    return targets[np.sort(first)], average_by(keys, probabilities)[1]


def of_classes(targets, probabilities):
    "Scores without the last class, which stands for no call and is not predicted, and without clips that have just it"
    if targets.ndim == 2:
        return targets[:, :-1], probabilities[:, :-1]
    heard = targets < probabilities.shape[1] - 1
    return targets[heard], probabilities[heard, :-1]


def bird_metrics():
    "accuracy, top-5, macro ROC-AUC, cmAP, padded cmAP and macro F1"
    functions = {"accuracy": M.accuracy, "top5": M.top_k_accuracy, "roc_auc": M.roc_auc, "cmap": M.cmap,
                 "padded_cmap": M.padded_cmap, "macro_f1": M.macro_f1}  # fmt: skip
    scores = EpochScores()
    return [RecordingMetric(func, name, scores) for name, func in functions.items()]
