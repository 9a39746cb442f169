"""What a recipe must be: knobs of the right type, and none that contradict each other."""

from __future__ import annotations

import math
from typing import Any, get_args

from birdfast.errors import BirdfastError, unknown
from birdfast.recipe.knobs import Knobs


def check_type(name: str, value: Any, hint: Any) -> None:
    """Accept a value of the knob's type, a choice of its Literal, or an int where a float stands."""
    options = [option for part in (hint, *get_args(hint)) for option in get_args(part) if isinstance(option, str)]
    if isinstance(value, str) and (value in options or hint is str):
        return
    if hint is bool and isinstance(value, bool):
        return
    numbers = {part for part in (hint, *get_args(hint)) if part in (int, float)}
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if numbers and is_number and (float in numbers or isinstance(value, int)):
        if not math.isfinite(value):
            raise BirdfastError(f"the recipe's {name} must be a finite number, not {value}")
        return
    if isinstance(value, str) and options and not numbers:
        raise unknown(f"value for the recipe's {name}", value, options)
    other = "true or false" if hint is bool else "a string"
    wanted = " or ".join([repr(o) for o in options] + sorted(n.__name__ for n in numbers)) or other
    raise BirdfastError(f"the recipe's {name} must be {wanted}, not {value!r}")


_SHORTEST = 0.001  # s, of a window, which a model keeps in whole milliseconds
STRIDE = 32  # frames of a spectrogram that the usual backbones make one of their map
_SEEDS = 2**32  # there are no more of NumPy's and scikit-learn's
LEAST_ALPHA = 0.01  # of Beta(alpha, alpha): in float32 smaller ones draw halves where they ought to draw ones
# A damaged or hostile file must not make birdfast fill the memory; nobody records beyond these.
_MOST = {"sample_rate": 1_000_000, "duration": 600, "n_fft": 65_536, "hop_length": 1_000_000, "n_mels": 2_048}
_ABOVE_0 = (
    "soundscape_label_sum", "pseudo_power", "pseudo_label_sum",
    "sample_rate", "duration", "n_fft", "win_length", "hop_length", "n_mels", "power", "top_db",
    "time_mask_width", "freq_mask_width",
    "embed_step", "epochs", "batch_size", "max_windows", "sampling_floor", "sampling_cap",
)  # fmt: skip
_NOT_NEGATIVE = (
    "window", "hidden", "hold", "views",
    "distill_weight", "sampling_power", "time_masks", "freq_masks", "mixup_alpha", "weight_decay", "gain_db",
    "wave_mix_alpha",
)  # fmt: skip
_UP_TO_1 = (
    "mask_p", "max_bad", "secondary_weight", "warmup", "swa", "filter_p", "background_p", "wave_mix", "soundscape_mix",
    "pseudo_mix", "soundscape_share",
)  # fmt: skip
_BELOW_1 = ("label_smoothing", "dropout", "drop_path", "ema")  # 1 would leave nothing of labels, features or steps


def check_values(r: Knobs) -> None:
    """Refuse what cannot work, with the reason."""
    for name in _ABOVE_0:
        if not getattr(r, name) > 0:
            raise BirdfastError(f"the recipe's {name} must be above 0, not {getattr(r, name)}")
    for name, most in _MOST.items():
        if getattr(r, name) > most:
            raise BirdfastError(f"the recipe's {name} must not exceed {most:,}, it is {getattr(r, name):g}")
    if r.soundscape_share == 1:
        raise BirdfastError("soundscape_share=1 leaves no place for recordings: 0.05 to 0.25 is usual")
    for name in _UP_TO_1:
        if not 0 <= getattr(r, name) <= 1:
            raise BirdfastError(f"the recipe's {name} must lie between 0 and 1, not {getattr(r, name)}")
    for name in _BELOW_1:
        if not 0 <= getattr(r, name) < 1:
            raise BirdfastError(f"the recipe's {name} must lie between 0 and 1, and not be 1, it is {getattr(r, name)}")
    for name in _NOT_NEGATIVE:
        if getattr(r, name) < 0:
            raise BirdfastError(f"the recipe's {name} must not be negative, it is {getattr(r, name)}")
    if not 0 <= r.seed < _SEEDS:
        raise BirdfastError(f"the recipe's seed must lie between 0 and {_SEEDS - 1}, it is {r.seed}")
    if r.sampling_floor > r.sampling_cap:
        raise BirdfastError(
            f"sampling_floor ({r.sampling_floor:g}) must not exceed sampling_cap ({r.sampling_cap:g}): every class would be "
            "drawn as often as every other"
        )
    if r.background_snr_low > r.background_snr_high:
        raise BirdfastError(
            f"background_snr_low ({r.background_snr_low:g} dB) must not exceed background_snr_high ({r.background_snr_high:g} dB)"
        )
    if not 0 <= r.fmin < r.fmax:
        raise BirdfastError(f"fmin ({r.fmin} Hz) must lie below fmax ({r.fmax} Hz)")
    if r.sample_rate < 2 * r.fmax:
        raise BirdfastError(
            f"a sample_rate of {r.sample_rate} Hz holds no sound above {r.sample_rate / 2:.0f} Hz: "
            f"set fmax to {r.sample_rate // 2} or less (it is {r.fmax:.0f}), or raise sample_rate"
        )
    if r.win_length > r.n_fft:
        raise BirdfastError(f"win_length ({r.win_length}) must not exceed n_fft ({r.n_fft})")
    if r.n_fft % 2:
        raise BirdfastError(
            f"n_fft must be even, it is {r.n_fft}: frames would no longer lie hop_length apart from both ends"
        )
    if not (r.n_folds >= 2 and 0 <= r.fold < r.n_folds):
        raise BirdfastError(
            f"fold must lie between 0 and n_folds - 1, with n_folds >= 2; they are {r.fold} and {r.n_folds}"
        )
    if r.secondary != "ignore" and r.task == "single":
        raise BirdfastError(f"secondary={r.secondary!r} needs task='multi': a single-label clip has one species only")
    if r.task == "multi" and r.activation == "softmax":
        raise BirdfastError("task='multi' needs activation='sigmoid': several species may sing at once")
    _check_soundscapes(r)
    _check_window(r)
    _check_sed(r)
    _check_loss(r)
    _check_mixing(r)
    _check_rates(r)
    _check_no_call(r)
    _check_distill(r)
    _check_embeds(r)


def _check_soundscapes(r: Knobs) -> None:
    if r.soundscape_label_sum > 1:
        raise BirdfastError(
            f"the recipe's soundscape_label_sum must not exceed 1, it is {r.soundscape_label_sum:g}: a window of one "
            "species would get a target above 1"
        )
    n_windows = round(r.soundscape_share * r.batch_size)
    if r.soundscape_share and not 0 < n_windows < r.batch_size:
        raise BirdfastError(
            f"soundscape_share={r.soundscape_share:g} of batch_size={r.batch_size} is {n_windows} windows: "
            f"give {1 / r.batch_size:g} or more, and less than 1"
        )


def _check_window(r: Knobs) -> None:
    if 0 < r.window < _SHORTEST:
        raise BirdfastError(f"a window of {r.window:g} s is too short: give {_SHORTEST:g} s or more, or 0 for duration")
    if r.window > r.duration:
        raise BirdfastError(
            f"a window of {r.window:g} s does not fit into a duration of {r.duration:g} s: make duration as long, or longer"
        )


def _check_sed(r: Knobs) -> None:
    """Attention over time weighs the frames of the backbone's map, and needs two of them or more, also in a window."""
    n_moments = math.ceil(r.n_frames / STRIDE)
    if r.pooling == "sed" and n_moments < 2:
        raise BirdfastError(
            f"pooling='sed' weighs moments of a clip against each other: a duration of {r.duration:g} s at "
            f"hop_length={r.hop_length} is {r.n_frames} frames, of which a backbone makes a single one; make the clip longer "
            f"than {STRIDE} frames, or set pooling='avg'"
        )
    if r.pooling == "sed" and n_moments * round(r.scored * 1000) <= round(r.duration * 1000):
        raise BirdfastError(
            f"pooling='sed' weighs moments of a window against each other: of the {n_moments} that a backbone makes of a "
            f"duration of {r.duration:g} s at hop_length={r.hop_length}, a window of {r.window:g} s scores a single one; make "
            f"it longer than {r.duration / n_moments:.3g} s, or set pooling='avg'"
        )


def _check_loss(r: Knobs) -> None:
    if r.loss not in ("auto", "ce") and r.activation == "softmax":
        raise BirdfastError(
            f"loss={r.loss!r} trains each class by itself: it needs activation='sigmoid', not 'softmax'"
        )
    if r.loss.startswith("soft_auc") and r.batch_size == 1:
        raise BirdfastError(
            f"loss={r.loss!r} compares the clips of a batch: batch_size=1 holds no pair, give 32 or more"
        )


def _check_mixing(r: Knobs) -> None:
    for name in ("mixup_alpha", "wave_mix_alpha"):
        if 0 < getattr(r, name) < LEAST_ALPHA:
            raise BirdfastError(
                f"{name}={getattr(r, name):g} is too small to draw shares by: give {LEAST_ALPHA} or more, or 0"
            )
    for name in ("mixup_alpha", "wave_mix"):
        if getattr(r, name) and r.batch_size == 1:
            raise BirdfastError(
                f"{name}={getattr(r, name):g} mixes the clips of a batch: batch_size=1 holds no other, give 2 or more, or "
                f"set {name} to 0"
            )


def _check_rates(r: Knobs) -> None:
    """Learning rates, and the average of the weights."""
    if not isinstance(r.lr, str) and not 0 < r.lr < 10:
        raise BirdfastError(f"the recipe's lr must be a number above 0, 'auto' or 'backbone', not {r.lr}")
    if not 0 < r.body_lr <= 1:
        raise BirdfastError(f"the recipe's body_lr must lie above 0 and not above 1, it is {r.body_lr}")
    if r.ema and r.swa:
        raise BirdfastError("ema and swa are two ways to average the weights: set one of them to 0")


def _check_no_call(r: Knobs) -> None:
    if r.no_call and r.pseudo_mix:
        raise BirdfastError("pseudo-labels know no clips without a call: set no_call=False, or pseudo_mix=0")
    if r.no_call and r.distill and r.distill_kind != "cosine":
        raise BirdfastError(
            f"distill_kind={r.distill_kind!r} has no teacher of clips without a call: set no_call=False, or distil "
            "embeddings with distill_kind='cosine'"
        )


def _check_distill(r: Knobs) -> None:
    if not r.distill:
        return
    if r.distill_weight == 0:
        raise BirdfastError(
            "distill_weight=0 learns nothing of the teacher: give it a weight above 0, or set distill=''"
        )
    if r.wave_mix or r.soundscape_mix or r.pseudo_mix:
        raise BirdfastError("a teacher heard the recordings unmixed: set distill='', or wave_mix and the like to 0")
    if r.distill_kind == "kl" and r.task == "multi":
        raise BirdfastError("distill_kind='kl' compares one species a clip: task='multi' wants 'bce'")
    if r.distill_kind == "kl" and r.loss not in ("auto", "ce"):
        raise BirdfastError(
            f"distill_kind='kl' has the classes compete, loss={r.loss!r} trains each by itself: set distill_kind='bce'"
        )
    if r.distill_kind == "bce" and r.activation == "softmax":
        raise BirdfastError(
            "distill_kind='bce' trains each class by itself: it needs activation='sigmoid', not 'softmax'; or take 'kl'"
        )


# What works on spectrograms, or mixes waveforms in the batch: an embedder's items are embeddings.
_OF_PICTURES = ("time_masks", "freq_masks", "wave_mix", "soundscape_mix")


def _check_embeds(r: Knobs) -> None:
    if not r.embeds:
        if r.views:
            raise BirdfastError(f"views={r.views} are of an embedder: set backbone='birdnet', or views=0")
        return
    if on := [name for name in _OF_PICTURES if getattr(r, name)]:
        raise BirdfastError(
            f"backbone={r.backbone!r} makes embeddings, no spectrograms: set {', '.join(f'{name}=0' for name in on)}, or "
            "begin with recipe='birdnet'"
        )
    if r.pseudo_mix and r.pseudo_how == "mix":
        raise BirdfastError(f"backbone={r.backbone!r} hears whole windows: set pseudo_how='substitute'")
    if r.pooling != "avg":
        raise BirdfastError(f"pooling={r.pooling!r} is of spectrograms: with backbone={r.backbone!r} set join")
    if r.pad == "repeat":
        raise BirdfastError(f"with backbone={r.backbone!r} set pad='end': what lies beyond a recording is not heard")
    if r.embed_step > r.duration:
        raise BirdfastError(f"embed_step={r.embed_step:g} s goes beyond the clip: give at most {r.duration:g}")
    if r.views and not (r.background or r.gain_db or r.filter_p):
        raise BirdfastError(
            f"views={r.views} would all be alike: set background, gain_db or filter_p, by which they differ, or views=0"
        )
