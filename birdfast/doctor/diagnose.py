"""`birdfast doctor RUN`: why is it not learning, and what to try next."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from birdfast.audio.bad_files import BadFiles
from birdfast.doctor.findings import Finding, Report
from birdfast.doctor.remedies import again, go_on, typed_source
from birdfast.doctor.run import Run, best, read_run
from birdfast.files.text import read_csv
from birdfast.prediction.noise import noise_line
from birdfast.recipe.advice import lr_too_low
from birdfast.splits.run_files import NOISE

OVERFIT = 0.1  # share by which the validation loss must rise above its lowest
EARLY = 3  # epochs before which nothing is certain
BEGUN_AUC = 0.75  # the least that an accuracy near chance must come with
RISES = 0.01  # gain of ROC-AUC over the last quarter that promises more
MANY = 10_000  # training recordings
SINGS = 0.01  # share of windows of noise in which a bird is called that needs a word
_AUGMENT = ("--set mixup_alpha=0.4", "--set time_masks=2", "--set freq_masks=2")
_BELOW = "see the advice below"


def diagnose(folder: str | Path) -> Report:
    """Read a run's history and say whether it learns; if not, the likely cause and what to try.

    Raises
    ------
    BirdfastError
        If the folder holds no history.
    """
    run = read_run(Path(folder))
    findings = [_describe(run), *_check_losses(run), _check_learned(run), *_check_later(run)]
    findings += [*_check_lr(run), *_check_labels(run), *_check_bad_files(run), *_check_silence(run), *_check_noise(run)]
    return Report("run", str(folder), [*findings, _advise(run, findings)])


def _describe(run: Run) -> Finding:
    done, planned = len(run.history), max(int(run.state.get("epochs") or run.recipe.epochs), len(run.history))
    text = f"{done} of {planned} epochs of {run.recipe.name!r}"
    if run.data.get("n_train"):
        text += f" on {run.data['n_train']} recordings"
    if not run.n_classes:
        return Finding("run", "warn", f"{text}; data.json is missing, so the level of chance is unknown")
    text += f"; guessing among {run.n_classes} classes gives an accuracy of {run.chance:.1%} and a ROC-AUC of 0.5"
    return Finding("run", "ok", text, details={"epochs": done, "n_classes": run.n_classes, "chance": run.chance})


def _check_losses(run: Run) -> Iterator[Finding]:
    train = run.column("train_loss")
    if run.diverged:
        where = np.flatnonzero(~np.isfinite(train + run.column("valid_loss")))
        how = f"rose from {train[0]:.3g} to {train[-1]:.3g}"
        if len(where):
            how = f"became NaN or infinite in epoch {where[0] + 1}"
        yield Finding("loss", "fail", f"the loss {how}: it diverged", "a lower learning rate")
    elif run.loss_fell:
        yield Finding("loss", "ok", f"the training loss fell from {train[0]:.3f} to {train[-1]:.3f}")
    elif len(train) < EARLY:
        yield Finding("loss", "ok", f"training loss {train[-1]:.3f} in epoch {len(train)}: too early to tell")
    else:
        yield Finding("loss", "fail", f"the training loss does not fall: {train[0]:.3f} to {train[-1]:.3f}", _BELOW)


def _check_learned(run: Run) -> Finding:
    accuracy, auc = best(run.column("accuracy")), best(run.column("roc_auc"))
    times = f" ({accuracy / run.chance:.1f} times chance)" if run.chance and not math.isnan(accuracy) else ""
    text = f"best validation accuracy {accuracy:.1%}{times}, ROC-AUC {auc:.3f}"
    if run.data.get("commonest", 0) > 2 * run.chance:
        text += f"; always naming the commonest class gives {run.data['commonest']:.1%}"
    text += _of_few(run, accuracy)
    details = {"accuracy": accuracy, "roc_auc": auc, "by_chance": run.by_chance, "n_valid": run.n_valid}
    if run.knows_nothing and len(run.history) < EARLY:
        return Finding("learned", "warn", f"{text}: no better than guessing, and early", details=details)
    if run.knows_nothing:
        return Finding("learned", "fail", f"{text}: no better than guessing", _BELOW, details)
    if run.blind or (run.guessed and auc < BEGUN_AUC):
        return Finding("learned", "warn", f"{text}: it has begun to learn, no more", details=details)
    return Finding("learned", "ok", text, details=details)


def _of_few(run: Run, accuracy: float) -> str:
    """What figures from a tiny validation set are worth."""
    if not run.tiny or math.isnan(run.by_chance):
        return ""
    right = f"{round(accuracy * run.n_valid)} of {run.n_valid} right, one recording is worth {1 / run.n_valid:.1%}"
    return f"; that is {right}, and guessing gets as far in {run.by_chance:.0%} of such runs"


def _check_later(run: Run) -> Iterator[Finding]:
    """Over-fitting, and whether more epochs would help."""
    if run.diverged or len(run.history) < EARLY:
        return
    valid, auc = run.column("valid_loss"), run.column("roc_auc")
    lowest = int(valid.argmin())
    if run.loss_fell and lowest < len(valid) - 1 and valid[-1] > (1 + OVERFIT) * valid[lowest]:
        text = (
            f"it over-fits: validation loss was lowest in epoch {lowest + 1} ({valid[lowest]:.3f}), now {valid[-1]:.3f}"
        )
        yield Finding("overfit", "warn", text, f"stop earlier (--epochs {lowest + 1}), or {_against_overfit(run)}")
    else:
        yield Finding("overfit", "ok", "the validation loss does not rise against the training loss")
    quarter = max(1, len(auc) // 4)
    gain = float(auc[-1] - auc[-1 - quarter]) if len(auc) > quarter else 0.0
    if gain > RISES and not run.knows_nothing and int(np.nanargmax(auc)) >= len(auc) - 2:
        text = f"still rising: ROC-AUC gained {gain:.3f} in the last {quarter} epoch{'s' if quarter > 1 else ''}"
        yield Finding("plateau", "warn", text, f"go on: {go_on(run, 2 * len(auc))}")
    elif len(auc):
        text = "ROC-AUC goes up and down" if abs(gain) > RISES else "ROC-AUC has settled"
        yield Finding("plateau", "ok", f"{text} ({gain:+.3f} in the last quarter)")


def _against_overfit(run: Run) -> str:
    if run.recipe.mixup_alpha or run.recipe.time_masks or run.recipe.freq_masks:
        return f"hold it back: {again(run, '--set dropout=0.5', '--set weight_decay=0.1')}"
    return f"augment: {again(run, *_AUGMENT)}"


def _check_lr(run: Run) -> Iterator[Finding]:
    """Too low or too high for this much data."""
    lr, n = _lr(run), run.data.get("n_train") or 0
    if run.diverged:
        yield Finding("lr", "fail", f"the learning rate {lr:.2g} is too high", again(run, f"--lr {lr / 10:.1g}"))
    elif n and lr_too_low(lr, n) and not (run.loss_fell and best(run.column("accuracy")) > 0.8):
        text = f"lr={lr:.2g} suits tens of thousands of recordings, these are {n}: it learns too slowly"
        yield Finding("lr", "warn", text, again(run, "--lr auto"))
    elif _jumps(run.column("train_loss")):
        text = f"the training loss jumps up and down at lr={lr:.2g}: too high"
        yield Finding("lr", "warn", text, again(run, f"--lr {lr / 3:.1g}"))
    else:
        yield Finding("lr", "ok", f"lr={lr:.2g}" + (f" for {n} training recordings" if n else ""))


def _jumps(loss: np.ndarray) -> bool:
    """Whether the loss goes up by more than 2 % in a third of the epochs or more."""
    return len(loss) > 3 and bool((np.diff(loss) > 0.02 * loss[:-1]).mean() >= 1 / 3)


def _lr(run: Run) -> float:
    """The peak learning rate: what was found where the recipe gives no number."""
    if run.state.get("lr"):
        return float(run.state["lr"])
    return best(run.column("lr")) if isinstance(run.recipe.lr, str) else float(run.recipe.lr)


def _check_labels(run: Run) -> Iterator[Finding]:
    """What is learned by heart and of no use elsewhere has the wrong name."""
    train = run.column("train_loss")
    if run.diverged or len(train) < 2 or run.tiny or not run.knows_nothing or train[-1] > 0.8 * train[0]:
        return
    text = (
        f"the training loss fell by {1 - train[-1] / train[0]:.0%}, and validation stays at chance: it learns "
        "by heart. Labels and files may be mixed up (rows shifted or sorted, a wrong column)"
    )
    yield Finding("labels", "fail", text, f"listen to ten recordings with their labels; {_doctor(run)}")


def _doctor(run: Run) -> str:
    return f"birdfast doctor {typed_source(run)}"


def _check_noise(run: Run) -> Iterator[Finding]:
    """Whether the model calls birds in noise, by what training wrote."""
    if not (run.folder / NOISE).is_file():
        return
    table = read_csv(run.folder / NOISE)
    share = float(np.average(table["called"], weights=table["windows"]))
    if share < SINGS:
        yield Finding("noise", "ok", noise_line(table), details={"called": share})
        return
    remedy = "give it clips without a call (--set no_call=true), or raise --threshold"
    yield Finding("noise", "warn", noise_line(table), remedy, {"called": share})


def _check_bad_files(run: Run) -> Iterator[Finding]:
    bad = len(BadFiles(run.folder / "bad_files.jsonl"))
    total = (run.data.get("n_train") or 0) + (run.data.get("n_valid") or 0)
    if not bad:
        yield Finding("files", "ok", "every file could be read")
        return
    share = f" of {total} recordings" if total else ""
    message = f"{bad}{share} could not be used, see {run.folder / 'bad_files.csv'}"
    yield Finding("files", "warn", message, f"mend or remove them; {_doctor(run)}")


def _check_silence(run: Run) -> Iterator[Finding]:
    """Where nothing was learned and the data is still here: is there sound in it?"""
    recordings = run.folder / "split.csv"
    if not run.knows_nothing or not recordings.is_file():
        return
    from birdfast.audio.read import read_headers
    from birdfast.doctor.sound import check_sound

    paths = pd.read_csv(recordings, dtype=str)["path"]
    headers = read_headers(paths.iloc[np.linspace(0, len(paths) - 1, min(100, len(paths))).round().astype(int)])
    if headers["error"].isna().any():
        yield check_sound(headers, sample=100)


def _advise(run: Run, findings: list[Finding]) -> Finding:
    """The likely cause, in order of how surely it explains the rest, and the command to type next."""
    bad = {finding.check: finding for finding in findings if finding.status != "ok"}
    if run.diverged:
        return Finding("advice", "fail", "the learning rate is too high", bad["lr"].remedy)
    if "sound" in bad and bad["sound"].status == "fail":
        return Finding("advice", "fail", "much of the data holds no usable sound", _doctor(run))
    if "labels" in bad:
        return Finding("advice", "fail", "labels and files are probably mixed up", _doctor(run))
    if run.knows_nothing or "loss" in bad:
        return _advise_blind(run)
    if "learned" in bad and _few_from_scratch(run):
        return Finding("advice", "warn", _few_from_scratch(run), again(run, "--weights pretrained"))
    for check, cause in (("overfit", "it over-fits"), ("lr", "the learning rate"), ("plateau", "it is not finished")):
        if check in bad:
            return Finding("advice", "warn", cause, bad[check].remedy)
    if "learned" in bad:
        return Finding("advice", "warn", "it learns slowly", go_on(run, 2 * len(run.history)))
    return Finding("advice", "ok", "it has learned; more epochs may add to it", go_on(run, 2 * len(run.history)))


def _advise_blind(run: Run) -> Finding:
    """Nothing learned, and the loss has not fallen far: too slow, too short, or too little data for the task."""
    lr = _lr(run)
    if len(run.history) < EARLY:
        return Finding("advice", "warn", "too early to tell", go_on(run, max(10, run.recipe.epochs)))
    if cause := _few_from_scratch(run):
        return Finding("advice", "fail", f"{cause}{_tiny(run, '; and ')}", again(run, "--weights pretrained"))
    if run.tiny and run.loss_fell:
        remedy = "add recordings, or train the other folds, too (--fold 1, ...), and judge by their mean"
        return Finding("advice", "fail", _tiny(run), remedy)
    if lr <= 3e-4 or run.recipe.lr != "auto":
        return Finding("advice", "fail", f"the learning rate {lr:.2g} does not suit the data", again(run, "--lr auto"))
    return Finding("advice", "fail", "labels, files or the split: look at the data", _doctor(run))


def _few_from_scratch(run: Run) -> str:
    """Random weights and too little data for them, as a cause; empty where it is none."""
    n = run.data.get("n_train") or 0
    few = run.recipe.weights == "random" and n < MANY
    return f"{n} recordings are too few to start from random weights" if few else ""


def _tiny(run: Run, joined: str = "") -> str:
    """A tiny validation set, as a cause; empty where it is none."""
    return f"{joined}{run.n_valid} validation recordings are too few to tell it from guessing" if run.tiny else ""
