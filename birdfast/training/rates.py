"""The learning rate: the recipe's, or what a look over many rates suggests."""

import time
from contextlib import contextmanager
from copy import deepcopy
from tempfile import TemporaryDirectory

from fastai.callback.schedule import valley
from fastai.learner import replacing_yield

from birdfast.files.scratch import scratch
from birdfast.models.defaults import backbone_lr
from birdfast.notes import note
from birdfast.training.augment import WaveMix
from birdfast.training.checkpoint import seed_draws
from birdfast.training.mixup import MixUp

LR_STEPS = 60  # of lr_find
# The most that lr="auto" takes. Where the loss stays flat until it diverges the edge is far out: on 206 species, with seeds of
# which lr_find suggested 5.6e-3 and 6.8e-3, nothing was learned (0.9 and 0.8 % right; 15.3 % with 1e-3, the third's).
MOST_LR = 2.5e-3


def edge(lrs, losses, num_it):
    """A suggestion for `lr_find`: a tenth of the largest rate at which the loss is within 2 % of its lowest.

    fastai's own look for a slope or the lowest point. Few steps on many species leave the curve flat until it
    diverges, and on the flat part those pick noise, which is about 0.5 % there (measured on 206 species: the lowest
    point suggests 2e-4, where nothing is learned; this one 3e-3. Where the curve is a valley they agree).
    """
    at = (losses <= losses.min() * 1.02).nonzero().max()
    return float(lrs[at]) / 10, (float(lrs[at]), float(losses[at]))


class FindsRates:
    "What a BirdLearner knows of learning rates"

    def _agreed_lr(self):
        "The rate of `find_lr`; of several processes the first looks for it, alone"
        if not self.is_shared:
            return self.find_lr()
        from birdfast.training.distributed import ShareTraining, from_first

        with self.removed_cbs([cb for cb in self.cbs if isinstance(cb, ShareTraining)]):
            return from_first(self.find_lr)

    def lr_find(self, start_lr=1e-5, end_lr=1.0, num_it=LR_STEPS, suggest_funcs=(edge, valley), **kwargs):
        "fastai's, over the rates that come into question for a pretrained backbone, suggesting the `edge` and its own `valley`"
        # fastai puts the weights aside in model_dir, and leaves that folder behind
        with TemporaryDirectory(dir=scratch()) as folder, contextmanager(replacing_yield)(self, "model_dir", folder):
            kept = deepcopy(self.distill.state()) if hasattr(self, "distill") else None  # trained beside the model
            model, before = self.model, deepcopy((self.model.state_dict(), self.opt and self.opt.state_dict()))
            try:
                return super().lr_find(start_lr, end_lr, num_it, suggest_funcs=suggest_funcs, **kwargs)
            except BaseException:  # fastai puts the weights back at the end alone
                self._as_before(model, *before)
                raise
            finally:
                if kept is not None:
                    self.distill.load_state(kept)

    def _as_before(self, model, weights, opt):
        self.model = model  # without what several devices wrap around it
        model.load_state_dict(weights)
        model.zero_grad()
        if opt is None:
            self.opt = None
        else:
            self.opt.load_state_dict(opt)
        for cb in self.cbs:
            cb.run = True  # those that lie still while a rate is looked for

    def find_lr(self):
        """The recipe's learning rate; for "auto" what lr_find suggests, but MOST_LR at most.

        It looks with the mixing off, whose noise hides the curve.
        """
        if self.recipe.lr == "backbone":
            return backbone_lr(self.recipe.backbone)
        if self.recipe.lr != "auto":
            return float(self.recipe.lr)
        note(f"looking for a learning rate: {LR_STEPS} steps")
        seed_draws(self.dls, self.recipe.seed)
        started = time.monotonic()
        mixups = [cb for cb in self.cbs if isinstance(cb, MixUp)]
        with self.no_logging(), self.removed_cbs(mixups), without_wave_mix(self.dls):
            found = self.lr_find(show_plot=False)
        capped = f"; {MOST_LR:g} is taken, rates above it learned nothing" if found.edge > MOST_LR else ""
        note(f"lr_find suggests {found.edge:.2g}{capped}, after {time.monotonic() - started:.0f} s")
        return min(float(found.edge), MOST_LR)


@contextmanager
def without_wave_mix(dls):
    "The batches of `dls` without WaveMix"
    mixers = {id(t): t for dl in dls.loaders for t in dl.after_batch.fs if isinstance(t, WaveMix)}.values()
    kept = [mixer.p_item for mixer in mixers]
    try:
        for mixer in mixers:
            mixer.p_item = 0.0
        yield
    finally:
        for mixer, p in zip(mixers, kept):
            mixer.p_item = p
