"""What keeps a GPU busy: one kernel for the optimiser, and no step that waits for the device to tell a number."""

import time

import torch
from fastai.callback.core import Callback
from fastai.callback.progress import ProgressCallback
from fastai.learner import AvgSmoothLoss
from fastai.optimizer import Optimizer
from torch.optim.adamw import adamw


class FusedAdam(Optimizer):
    """fastai's Adam (decoupled weight decay, none for norms and biases), a kernel for many tensors in place of ten for each.

    The state has fastai's names, so that a run can go on with either.
    """

    def __init__(self, params, lr, mom=0.9, sqr_mom=0.99, eps=1e-5, wd=0.01, **kwargs):
        super().__init__(params, [], lr=lr, mom=mom, sqr_mom=sqr_mom, eps=eps, wd=wd, **kwargs)

    @torch.no_grad()
    def step(self, closure=None):
        for params, hyper in self._groups():
            for decays in (True, False):
                some = [p for p in params if p.grad is not None and self.state[p].get("do_wd", True) == decays]
                if some:
                    self._update(some, hyper, hyper["wd"] if decays else 0.0)

    def _groups(self):
        return list(zip(self.param_lists, self.hypers))[self.frozen_idx :]

    def _update(self, params, hyper, wd):
        states = [self._state(p) for p in params]
        averages, squares, steps = ([s[name] for s in states] for name in ("grad_avg", "sqr_avg", "step"))
        adamw(params, [p.grad for p in params], averages, squares, [], steps, fused=True, amsgrad=False, maximize=False,
              beta1=hyper["mom"], beta2=hyper["sqr_mom"], lr=hyper["lr"], weight_decay=wd, eps=hyper["eps"])  # fmt: skip

    def _state(self, p):
        state = self.state[p]
        if "grad_avg" not in state:
            state["grad_avg"], state["sqr_avg"] = torch.zeros_like(p), torch.zeros_like(p)
        # A count of fastai's own is a number; the kernel wants it on the device.
        state["step"] = torch.as_tensor(state.get("step", 0.0), dtype=torch.float32, device=p.device)
        return state


class SmoothLoss(AvgSmoothLoss):
    "fastai's, that leaves the loss where it is"

    def accumulate(self, learn):
        loss = learn.to_detach(learn.loss.mean())
        self.count += 1
        self.val = torch.lerp(loss, self.val.to(loss.device, non_blocking=True), self.beta)


class LossesHome(Callback):
    "Fetch the losses of an epoch at its end, all at once"

    order = 51  # after the Recorder

    def after_train(self):
        losses = self.recorder.losses
        away = [i for i, loss in enumerate(losses) if loss.device.type != "cpu"]
        if away:
            for i, loss in zip(away, torch.stack([losses[i] for i in away]).cpu().unbind()):
                losses[i] = loss

    def after_cancel_fit(self):
        self.after_train()  # of lr_find, which draws them


class KeepScale(Callback):
    "Keep the factor that fp16 scales its gradients by, for a run that goes on; else the first steps look for it again"

    order = 11  # after MixedPrecision, which begins each fit with a new scaler
    kept = None

    def before_fit(self):
        if self.kept and self._scaler():
            self._scaler().load_state_dict(self.kept)
        self.kept = None

    def _scaler(self):
        return getattr(self.learn, "scaler", None)  # none after `learn.to_fp32()`

    def state(self):
        return self._scaler().state_dict() if self._scaler() else None

    def load_state(self, state):
        self.kept = state


class SparingProgress(ProgressCallback):
    "fastai's bar, that asks the device for the loss every second and not at every step"

    name = "progress"  # by which fastai finds the bar

    def before_fit(self):
        self.asked = 0.0
        super().before_fit()

    def after_batch(self):
        self.pbar.update(self.iter + 1)
        now = time.monotonic()
        if now - self.asked > 1 and hasattr(self, "smooth_loss"):
            self.asked, self.pbar.comment = now, f"{self.smooth_loss.item():.4f}"


def has_bf16():
    "Whether the GPU computes in bf16 itself; a T4 only emulates it, and slowly"
    return torch.cuda.is_bf16_supported(including_emulation=False)


def for_gpu(learn, precision):
    'Give a learner the callbacks above, and mixed precision: "bf16" or "fp16"; "fp32" is none'
    if hasattr(learn, "progress"):
        learn.remove_cb(learn.progress)
        learn.add_cb(SparingProgress())
    learn.add_cb(LossesHome())
    if precision == "fp16":
        learn.add_cb(KeepScale())
    torch.backends.cudnn.benchmark = True  # clips have one size
    return {"bf16": learn.to_bf16, "fp16": learn.to_fp16, "fp32": lambda: learn}[precision]()
