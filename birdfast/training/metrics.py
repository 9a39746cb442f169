"""evaluation.metrics as fastai metrics: over the whole epoch, per recording, never NaN."""

import numpy as np
import torch
from fastai.learner import Metric

from birdfast.evaluation import metrics as M
from birdfast.evaluation.report import average_by


class RecordingMetric(Metric):
    "`func(targets, probabilities)` over an epoch; windows of one recording are averaged first where the items name it"

    def __init__(self, func, name=None):
        self.func, self._name = func, name or func.__name__
        self.reset()

    def reset(self):
        self.probabilities, self.targets, self.items, self.bad = [], [], None, None

    def accumulate(self, learn):
        activation = getattr(learn.loss_func, "activation", torch.nn.Identity())
        self.probabilities.append(learn.to_detach(activation(learn.pred.float())).as_subclass(torch.Tensor))
        self.targets.append(learn.to_detach(learn.y).as_subclass(torch.Tensor))
        self.items, self.bad = getattr(learn.dl, "items", None), getattr(learn.dls, "bad_files", None)

    @property
    def value(self):
        if not self.targets:
            return None
        targets, probabilities = torch.cat(self.targets).numpy(), torch.cat(self.probabilities).numpy()
        return self.func(*per_recording(targets, probabilities, self.items, self.bad))

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


def bird_metrics():
    "accuracy, top-5, macro ROC-AUC, cmAP, padded cmAP and macro F1"
    functions = {"accuracy": M.accuracy, "top5": M.top_k_accuracy, "roc_auc": M.roc_auc, "cmap": M.cmap,
                 "padded_cmap": M.padded_cmap, "macro_f1": M.macro_f1}  # fmt: skip
    return [RecordingMetric(func, name) for name, func in functions.items()]
