"""The rungs of the ladder as plain data: what each adds, to what, by which knobs of the recipe."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from birdfast.errors import BirdfastError, join_names, unknown
from birdfast.recipe.presets import BASELINE, get_recipe
from birdfast.recipe.recipe import Recipe


@dataclass(frozen=True, kw_only=True)
class Rung:
    """One recipe of a ladder, and the one that it is measured against.

    Attributes
    ----------
    name, adds
        What tables call it, and a few words on what it adds to the rung that it is `over`.
    recipe, changes
        A preset's name, the file of a recipe or a Recipe, and the knobs that differ from it.
    over
        The name of the rung that it is compared with; the one before it in the list unless given.
    removes
        It takes something away from `over`: what it loses is what that was worth.
    """

    name: str
    adds: str = ""
    recipe: str | Path | Recipe = "baseline"
    changes: Mapping[str, Any] = field(default_factory=dict)
    over: str | None = None
    removes: bool = False

    def get_recipe(self, **knobs: Any) -> Recipe:
        """The recipe of this rung; `knobs` are every rung's, its own changes come on top.

        Raises
        ------
        BirdfastError
            A knob or a value that the recipe does not know, with the nearest one that it does.
        """
        try:
            return get_recipe(self.recipe, **{**knobs, **self.changes}).with_(name=self.name)
        except BirdfastError as error:
            raise BirdfastError(f"the rung {self.name!r}: {error}") from None


def _on_small(name: str, adds: str, *, over: str = "small", **changes: Any) -> Rung:
    return Rung(name=f"small + {name}", adds=adds, recipe="small", changes=changes, over=over)


# What the model without them says of unlabelled soundscapes, sharpened as 2025 1st did, in each clip that got no labelled window.
_PSEUDO: dict[str, Any] = {"pseudo_mix": 1.0, "pseudo_power": 1 / 0.65}
_SIGMOID: dict[str, Any] = {"activation": "sigmoid"}
# Each class by itself: smoothing would call all absent ones half present.
_EACH: dict[str, Any] = {**_SIGMOID, "label_smoothing": 0.0}
_MULTI: dict[str, Any] = {"task": "multi", "loss": "bce", "over": "small + bce", **_EACH}

MAIN = [
    Rung(name="baseline", adds="a constant learning rate of 1e-3, no remedy"),
    Rung(name="improved", adds="SpecAugment, MixUp, weighted sampling, label smoothing, one-cycle at 1e-4",
         recipe="improved"),
    Rung(name="improved, lr=auto", adds="the learning rate that lr_find suggests", recipe="improved",
         changes={"lr": "auto"}),
    Rung(name="small", adds="a learning rate of 2e-3, no MixUp", recipe="small"),
    Rung(name="first_place", recipe="first_place",
         adds="labelled soundscapes mixed into a quarter of the clips (2026 1st)"),
    Rung(name="first_place + pseudo-labels", adds="what first_place says of unlabelled soundscapes (2025 1st)",
         recipe="first_place", changes=_PSEUDO),
]  # fmt: skip

TECHNIQUES = [
    _on_small("ce, read by sigmoid", "cross-entropy, read by sigmoid (2024 1st, 2025 1st)", loss="ce", **_SIGMOID),
    _on_small("bce", "binary cross-entropy", loss="bce", **_EACH),
    _on_small("focal", "focal loss (Lin et al. 2017)", loss="focal", **_EACH),
    _on_small("bce_focal", "binary cross-entropy and focal loss", loss="bce_focal", **_EACH),
    _on_small("asymmetric", "asymmetric loss (Ridnik et al. 2021)", loss="asymmetric", **_EACH),
    _on_small("soft_auc_bce", "a smooth ROC-AUC and binary cross-entropy", loss="soft_auc_bce", **_EACH),
    _on_small("secondary, masked", "secondary labels left out of the loss (2024 3rd)", secondary="mask", **_MULTI),
    _on_small("secondary, 0.5", "secondary labels as targets of 0.5", secondary="weight", **_MULTI),
    _on_small("secondary, 1", "secondary labels as targets of 1 (2025 1st)", secondary="weight", secondary_weight=1.0,
              **_MULTI),
    _on_small("wave mix", "half the clips mixed as sound, labels united (2023 1st, 2025 1st)", wave_mix=0.5),
    _on_small("wave mix, drawn shares", "the same in shares from Beta(0.4, 0.4), labels by share", wave_mix=0.5,
              wave_mix_alpha=0.4, wave_mix_labels="interpolate"),
    _on_small("filter", "a random equaliser on half the clips (2023 1st, 2025 2nd)", filter_p=0.5),
    _on_small("gain", "loudness changed by up to 6 dB", gain_db=6.0),
    _on_small("min-max", "spectrograms between 0 and 1, in place of zero mean and unit variance (2025 1st)", normalize="minmax"),
    _on_small("mixup", "MixUp of spectrograms (Zhang et al. 2018)", mixup_alpha=0.4),
    _on_small("gem", "generalised-mean pooling (Radenović et al. 2019)", pooling="gem"),
    _on_small("sed", "a head that hears where the song is (Kong et al. 2020)", pooling="sed"),
    _on_small("sed, gem", "the same, with generalised-mean pooling of frequency", pooling="sed", sed_frequency="gem"),
    _on_small("10 s", "10 s of sound around each scored 5 s (2024 1st)", duration=10.0, window=5.0),
    _on_small("drop path", "stochastic depth of 0.15 (2025 1st)", drop_path=0.15),
    _on_small("ema", "the moving average of the weights", ema=0.99),
    _on_small("constant rate", "a learning rate that neither rises nor falls", schedule="constant"),
    _on_small("constant rate + swa", "the mean of the weights of the last half (Izmailov et al. 2018)", swa=0.5,
              schedule="constant", over="small + constant rate"),
    _on_small("body lr", "a tenth of the learning rate below the head", body_lr=0.1),
    _on_small("even sampling", "every species equally often", sampling_power=1.0),
    _on_small("soundscapes", "labelled soundscapes: an eighth of a batch, and mixed into half the clips (2026 1st)",
              soundscape_share=0.125, soundscape_mix=0.5),
    _on_small("pseudo-labels", "what the model without them says of unlabelled soundscapes (2025 1st)", **_PSEUDO),
    _on_small("pseudo-labels, substituted", "the same in place of half the clips (2026 2nd)",
              **_PSEUDO | {"pseudo_mix": 0.5, "pseudo_how": "substitute"}),
    _on_small("pseudo-labels, read by sigmoid", "pseudo-labels by sigmoid, whose sum need not be 1",
              over="small + ce, read by sigmoid", loss="ce", **_SIGMOID, **_PSEUDO),
    Rung(name="first_place + min-max", adds="spectrograms between 0 and 1 (2025 1st)", recipe="first_place",
         changes={"normalize": "minmax"}, over="first_place"),
    Rung(name="first_place + wave mix, drawn shares", adds="wave mix in drawn shares", recipe="first_place",
         changes={"wave_mix": 0.5, "wave_mix_alpha": 0.4, "wave_mix_labels": "interpolate"}, over="first_place"),
]  # fmt: skip

RUNGS: dict[str, Rung] = {rung.name: rung for rung in (*MAIN, *TECHNIQUES)}
ALL = "all"

# What is taken away together, for one knob of a group means nothing without the others: how their names begin.
GROUPS: dict[str, tuple[str, ...]] = {
    "masks": ("time_mask", "freq_mask", "mask_p"),
    "sampling": ("sampling_",),
    "secondary labels": ("secondary",),
    "soundscapes": ("soundscape_",),
    "pseudo-labels": ("pseudo_",),
    "loss": ("loss",),
    "wave mix": ("wave_mix",),
    "filter": ("filter_",),
    "background": ("background",),
    "distillation": ("distill",),
    "pooling": ("pooling", "sed_"),
    "spectrogram": ("duration", "window", "pad", "sample_rate", "n_fft", "win_length", "hop_length", "n_mels", "fmin", "fmax",
                    "power", "top_db", "mel_", "normalize"),
    "backbone": ("backbone", "weights"),
    "schedule": ("schedule", "warmup"),
}  # fmt: skip
# Not techniques: how long, on what, how labels are read.
_FIXED = {
    "name", "epochs", "batch_size", "seed", "n_folds", "fold", "group", "max_windows", "max_bad", "task", "activation",
}  # fmt: skip


def find_rungs(names: str | Rung | Iterable[str | Rung]) -> list[Rung]:
    """The rungs of these names; ``"all"`` stands for every built-in one, a Rung for itself. A text is read as at the shell.

    Raises
    ------
    BirdfastError
        A name that there is not, or one twice.
    """
    if isinstance(names, str):
        names = split_names(names)
    found: list[Rung] = []
    for name in [names] if isinstance(names, Rung) else names:
        if isinstance(name, str) and name not in (*RUNGS, ALL):
            raise unknown("rung", name, [*RUNGS, ALL])
        found += [name] if isinstance(name, Rung) else list(RUNGS.values()) if name == ALL else [RUNGS[name]]
    twice = {rung.name for rung in found if sum(rung.name == other.name for other in found) > 1}
    if twice:
        raise BirdfastError(f"two rungs are called {sorted(twice)[0]!r}: give each its own name, once")
    if not found:
        raise BirdfastError(f"no rung to measure: name some of {join_names([*RUNGS, ALL])}")
    return found


def split_names(text: str, known: Collection[str] = RUNGS) -> list[str]:
    """Names of rungs with commas between them; of the `known`, ``improved, lr=auto`` is one name."""
    parts, names = text.split(","), []
    while parts:
        several = [",".join(parts[:n]).strip() for n in range(len(parts), 0, -1)]
        name = next((name for name in several if name in known), several[-1])
        del parts[: name.count(",") + 1]
        names.append(name)
    return [name for name in names if name]


def ablation(preset: str | Path | Recipe, **knobs: Any) -> list[Rung]:
    """The whole preset, then the preset without one technique at a time; a technique is what `baseline` does not have.

    Knobs that belong together (the masks of SpecAugment) are taken away together. `knobs` change the preset before:
    ``wave_mix=0.5`` is a technique of it, ``label_smoothing=0`` none. A `backbone` and `weights` among them stay, for
    others may not be at hand.

    Raises
    ------
    BirdfastError
        If there is no such preset or knob, or it is the baseline.
    """
    full = get_recipe(preset, **knobs)
    given = {name for name in knobs if name in ("backbone", "weights")}
    groups = {what: {k: v for k, v in group.items() if k not in given} for what, group in techniques(full).items()}
    without = {what: group for what, group in groups.items() if group}
    if not without:
        raise BirdfastError(f"{full.name!r} has no technique that baseline lacks: there is nothing to take away")
    rungs = [Rung(name=full.name, adds="all of it", recipe=full)]
    for what, group in without.items():
        said = ", ".join(f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in group.items())
        rungs.append(
            Rung(name=f"{full.name} without {what}", adds=f"{what} ({said})", recipe=full, changes=group,
                 over=full.name, removes=True)
        )  # fmt: skip
    return rungs


def techniques(recipe: Recipe) -> dict[str, dict[str, Any]]:
    """What a recipe has and `baseline` does not: by name, the knobs (at baseline's values) that take it away.

    Knobs that do nothing, as the width of masks where there are none, are no technique.
    """
    full, base = recipe.to_dict(), BASELINE.to_dict()
    changed = [name for name in full if full[name] != base[name] and name not in _FIXED]
    found: dict[str, dict[str, Any]] = {}
    for name in changed:
        group = next((group for group, beginnings in GROUPS.items() if name.startswith(beginnings)), name)
        found.setdefault(group, {})[name] = base[name]
    works = _works(recipe)
    return {what: knobs for what, knobs in found.items() if works.get(what, True)}


def _works(r: Recipe) -> dict[str, bool]:
    """Whether the knobs of a group do anything in a recipe; of each group that something else can switch off."""
    return {
        "masks": r.mask_p > 0 and r.time_masks + r.freq_masks > 0,
        "sampling": r.sampling_power > 0,
        "secondary labels": r.secondary != "ignore",
        "soundscapes": r.hears_soundscapes,
        "pseudo-labels": r.pseudo_mix > 0,
        "loss": r.loss != ("ce" if r.task == "single" else "bce"),  # which "auto" is
        "wave mix": r.wave_mix > 0,
        "background": r.background != "" and r.background_p > 0,
        "distillation": r.distill != "" and r.distill_weight > 0,
        "pooling": r.pooling != BASELINE.pooling,
        "schedule": r.schedule != BASELINE.schedule,
    }


def compared_with(rungs: Sequence[Rung]) -> dict[str, str]:
    """The rung that each is compared with, for those that have one among `rungs`."""
    names = [rung.name for rung in rungs]
    pairs = {}
    for before, rung in zip([None, *names], rungs, strict=False):
        over = rung.over or before
        if over in names:
            pairs[rung.name] = str(over)
    return pairs
