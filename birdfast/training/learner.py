"""A fastai Learner for bird calls: a timm backbone, the recipe's loss, schedule and callbacks."""

import importlib
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from fastai.callback.channelslast import ChannelsLast
from fastai.callback.progress import ProgressCallback
from fastai.callback.schedule import ParamScheduler, SchedCos
from fastai.learner import Learner, load_model
from fastai.optimizer import SGD
from fastai.torch_core import params, rank_distrib, to_detach
from fastcore.foundation import L

from birdfast.errors import BirdfastError
from birdfast.models.backbone import create_model, n_features
from birdfast.models.batch_memory import keep_batch_memory
from birdfast.models.defaults import backbone_lr, defaults_of, precision
from birdfast.models.embedding import EmbeddingModel
from birdfast.models.losses import create_loss
from birdfast.notes import note
from birdfast.splits.clips import windows_of
from birdfast.splits.run_folder import check_sides, describe_run
from birdfast.training.average import AverageWeights
from birdfast.training.checkpoint import (
    Checkpoints,
    SeedEpochs,
    StopOnBadFiles,
    check_epochs,
    check_same,
    epoch_file,
    load_average,
    load_last,
    more_epochs,
    read_state,
    run_key,
)
from birdfast.training.distill import create_distill
from birdfast.training.embeddings import HoldStart, ReadEmbeddings, start_head
from birdfast.training.gpu import FusedAdam, SmoothLoss, for_gpu, has_bf16
from birdfast.training.metrics import bird_metrics, of_classes, per_recording
from birdfast.training.mixup import MixUp
from birdfast.training.pools import AddWindow
from birdfast.training.rates import FindsRates
from birdfast.training.transforms import AudioToSpec, ReadClip


def bird_splitter(model):
    "Layer groups: the backbone, the head; of a head on a frozen embedder one"
    if isinstance(model, EmbeddingModel):
        return [params(model)]
    return [params(model.body), params(model.head)]


class BirdLearner(FindsRates, Learner):
    "A Learner that knows its recipe"

    def fit_recipe(self, epochs=None, *, run=None, resume=False, cbs=None):
        """Train by the recipe's schedule; with a folder `run`, keep checkpoints and history there.

        `resume` goes on where the run in that folder stopped, by the same recipe on the same data; with more `epochs`, a
        finished run goes on to them. Another recipe or other classes are an error, as is a folder that holds a run
        without `resume`.
        """
        recipe = self.recipe
        epochs = (recipe if epochs is None else recipe.with_(epochs=epochs)).epochs
        state, history = read_state(run) if run else ({}, [])
        if resume and not run:
            raise BirdfastError("resume=True needs the folder of the run: fit_recipe(run='runs/first', resume=True)")
        if state and not resume:
            raise BirdfastError(f"{run} already holds a run: go on with it by resume=True, or give another folder")
        check_same(run, state, recipe, self.dls.vocab)
        start = state.get("epoch", -1) + 1
        check_epochs(run, start, epochs)
        if start:
            check_sides(run, self.dls.plan)
        if start == epochs:
            note(f"the run in {run} has its {start} epochs: give more to go on, {more_epochs(start)}")
            load_last(self, run, state)
            if hasattr(self, "average_weights"):
                self.average_weights.after_fit()  # as the run ended
            return
        if run and not rank_distrib():
            describe_run(run, self.dls.plan, recipe.with_(epochs=epochs), resume=start > 0)
        lr = state.get("lr") or self._agreed_lr()
        cbs = [*L(cbs), SeedEpochs(recipe.seed), StopOnBadFiles()]
        if run:
            cbs.append(Checkpoints(run, history=history, state=state | {"lr": lr} | run_key(recipe, self.dls.vocab)))
        if start:
            note(f"resuming after epoch {start} of {epochs}")
            load_last(self, run, state)
        self._fit_schedule(epochs, lr, cbs, start)

    def _fit_schedule(self, epochs, lr, cbs, start):
        recipe = self.recipe
        # a rate for each layer group, the backbone and the head
        lr = np.array([lr * recipe.body_lr, lr]) if recipe.body_lr != 1 else lr
        if recipe.schedule == "one_cycle":
            # div 25 and div_final 1e5 are fastai's
            self.fit_one_cycle(epochs, lr, pct_start=recipe.warmup, wd=recipe.weight_decay, cbs=cbs, start_epoch=start)
            return
        if recipe.schedule == "cosine":
            cbs = [*cbs, ParamScheduler({"lr": SchedCos(lr, lr * 1e-3)})]
        self.fit(epochs, lr, wd=recipe.weight_decay, cbs=cbs, start_epoch=start)

    def load_epoch(self, which, run):
        """Load the weights of the "last" or the "best" epoch of the folder `run`; gives that epoch, counted from 0.

        Of a recipe with `ema` or `swa` it is their average, which was validated.
        The best has the highest validation ROC-AUC. Of few validation recordings that score is noisy, and the best of
        many epochs looks better than it is.
        """
        file, epoch = epoch_file(run, which)
        load_model(file, self.model, None, with_opt=False, device=self.dls.device)
        if which == "last":
            load_average(self, run)
        return epoch

    def scores(self, dl=None):
        "Loss and metrics of a validation pass, by name"
        values = self.validate(dl=dl)
        return dict(zip(["valid_loss", *(m.name for m in self.metrics)], map(float, values)))

    def recording_scores(self):
        "(targets, probabilities) of the validation recordings, the windows of each averaged"
        with self.no_bar(), self.no_logging():
            probabilities, targets = self.get_preds(dl=self.dls.valid)
        scores = per_recording(targets.numpy(), probabilities.numpy(), self.dls.valid.items, self.dls.plan.bad_files)
        return of_classes(*scores) if self.recipe.no_call else scores

    @property
    def classes(self):
        "The classes that are predicted: the vocab, without the class of clips that hold no call"
        return list(self.dls.vocab)[: -1 if self.recipe.no_call else None]

    def probabilities(self, paths, step=None):
        """Probabilities of every scored window of files or of a folder, a DataFrame indexed (path, start_time, end_time).

        A file that cannot be read is an error.
        """
        windows = windows_of(paths, self.recipe.scored, step)
        with self.no_bar(), self.no_logging(), self._readers_without("bad_files"):
            values = self.get_preds(dl=self.dls.test_dl(windows, bs=2 * self.recipe.batch_size, num_workers=0))[0]
        index = pd.MultiIndex.from_frame(windows[["path", "start_time", "end_time"]])
        return pd.DataFrame(values.numpy()[:, : len(self.classes)], index=index, columns=self.classes)

    @contextmanager
    def _readers_without(self, *names):
        "The readers of clips without what they have of the run; without its list of bad files, a bad file is an error"
        readers = {id(t): t for dl in self.dls.loaders for t in dl.after_item.fs if isinstance(t, ReadClip)}.values()
        kept = [{name: getattr(reader, name) for name in names} for reader in readers]
        try:
            for reader in readers:
                vars(reader).update(dict.fromkeys(names))
            yield
        finally:
            for reader, mine in zip(readers, kept):
                vars(reader).update(mine)

    def predict(self, item):
        "(label, index, probabilities) of one recording: its windows averaged"
        probabilities = torch.tensor(self.probabilities(item).to_numpy()).mean(0)
        if self.recipe.task == "multi":
            called = probabilities > 0.5
            return [c for c, on in zip(self.classes, called) if on], called, probabilities
        best = probabilities.argmax()
        return self.dls.vocab[int(best)], best, probabilities

    def create_opt(self):
        super().create_opt()
        if hasattr(self, "distill"):
            self.distill.join(self.opt)

    def distrib_ctx(self, **kwargs):
        "Train on several devices, in each process of `accelerate launch`: `with learn.distrib_ctx(): learn.fit_recipe()`"
        import_distributed()
        return super().distrib_ctx(**kwargs)

    def to_distributed(self, sync_bn=True, **kwargs):
        "Add the callback that shares the training out; `distrib_ctx` takes it away again"
        self.add_cb(import_distributed().ShareTraining(sync_bn, **kwargs))
        return self.remove_cb(ProgressCallback) if rank_distrib() else self

    @contextmanager
    def no_bar(self):
        "fastai's, that puts back the bar there was and not its own"
        bars = [self.progress] if hasattr(self, "progress") else []
        with self.removed_cbs(bars):
            yield self

    @property
    def is_shared(self):
        "Whether several processes train, each on its share"
        return hasattr(self, "share_training")

    def to_detach(self, b, cpu=True, gather=True):
        "Detached tensors: of all processes while they share the work; left on the device in training, not to wait for it"
        return to_detach(b, cpu=cpu and not self.training, gather=gather and self.is_shared)

    def get_preds(self, *args, **kwargs):
        "fastai's, in every process for itself: shares that were gathered would come in another order"
        with self.removed_cbs([self.share_training] if self.is_shared else []):
            return super().get_preds(*args, **kwargs)

    @property
    def logmel(self):
        "The LogMel of the batches"
        return next(t.logmel for t in self.dls.valid.after_batch.fs if isinstance(t, AudioToSpec))

    def export(self, fname="export.pkl", **kwargs):
        "fastai's pickle, for `load_learner`; `save_bundle` writes the safe format"
        adders = [t for dl in self.dls.loaders for t in dl.after_item.fs if isinstance(t, AddWindow)]
        pools = [t.pools for t in adders]
        try:
            for adder in adders:
                adder.pools = []
            with self._readers_without("bad_files", "store", "teacher"):  # of no use elsewhere
                super().export(fname, **kwargs)
        finally:
            for adder, its in zip(adders, pools):
                adder.pools = its


def import_distributed():
    "The module that needs Accelerate"
    try:
        return importlib.import_module("birdfast.training.distributed")
    except (ImportError, NameError) as error:  # fastai's module fails by name where Accelerate is missing
        raise BirdfastError("training on several devices needs Accelerate: pip install accelerate") from error


def _recipe_callbacks(recipe):
    "What a recipe adds to training"
    labels = "union" if recipe.task == "multi" else "interpolate"
    cbs = [MixUp(recipe.mixup_alpha, labels, recipe.no_call)] if recipe.mixup_alpha else []
    cbs += [HoldStart(recipe.hold)] if recipe.embeds and recipe.hold else []
    return [*cbs, AverageWeights(recipe.ema, recipe.swa)] if recipe.ema or recipe.swa else cbs


def bird_learner(
    dls, *, backbone=None, weights=None, metrics=None, cbs=None, path=None, keep_memory=None, compile=False, **kwargs
):
    """A BirdLearner for `dls` of :func:`bird_dls`.

    `backbone` (a convolutional one of timm's) and `weights` ("pretrained", "random", a checkpoint's path) override the recipe's.
    On CPU it trains channels-last and keeps batch memory (`keep_memory=False` leaves glibc alone); on a GPU in mixed precision.
    `compile` has torch.compile make kernels of the model, which takes minutes and pays in long runs on a GPU, not on CPU.
    """
    changes = {name: value for name, value in (("backbone", backbone), ("weights", weights)) if value is not None}
    recipe = dls.recipe.with_(**changes)
    cbs = [ChannelsLast(), *L(cbs), *_recipe_callbacks(recipe)]  # the first: twice as fast on CPU
    if recipe.lr == "backbone":
        rate, family = backbone_lr(recipe.backbone), defaults_of(recipe.backbone)
        note(f"lr={rate:g}, the default of {recipe.backbone}: {family.source}")
    device = torch.device(dls.device)
    if device.type == "cuda":
        kwargs.setdefault("opt_func", FusedAdam)
    if recipe.optimizer == "sgd":
        kwargs.setdefault("opt_func", SGD)
    torch.manual_seed(recipe.seed)  # the head's first weights
    learn = BirdLearner(
        dls, create_model(recipe, len(dls.vocab) - recipe.no_call), loss_func=create_loss(recipe), splitter=bird_splitter,
        metrics=bird_metrics() if metrics is None else metrics, cbs=cbs, wd=recipe.weight_decay, path=path or Path(), **kwargs,
    )  # fmt: skip
    if recipe.embeds:
        reader = next(t for t in dls.after_item.fs if isinstance(t, ReadEmbeddings))
        start_head(learn.model, recipe, dls.plan.source, reader.store)
    teacher = next((t.teacher for t in dls.after_item.fs if isinstance(t, ReadClip)), None)
    if teacher is not None:
        learn.add_cb(create_distill(recipe, teacher, n_features(learn.model.body, recipe), device))
    learn.recipe, learn.recorder.smooth_loss = recipe, SmoothLoss()
    if compile:
        learn.model.compile()
    if device.type == "cuda":
        kind = precision(recipe.backbone, has_bf16=has_bf16())
        for_gpu(learn, kind)
        note(f"training on {torch.cuda.get_device_name(device)} in {kind}")
    else:
        keep_batch_memory(keep_memory)
        note(f"training on {device.type}, {torch.get_num_threads()} threads")
    return learn
