"""A recipe: every knob of a training run as plain data, and the named presets."""

from __future__ import annotations

import dataclasses
import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_type_hints

from birdfast.errors import BirdfastError, unknown
from birdfast.recipe.checks import LEAST_ALPHA as LEAST_ALPHA
from birdfast.recipe.checks import STRIDE as STRIDE
from birdfast.recipe.checks import check_type, check_values

Pad = Literal["repeat", "end", "center"]
Normalize = Literal["standard", "minmax", "none"]
Loss = Literal["auto", "ce", "bce", "focal", "bce_focal", "asymmetric", "soft_auc", "soft_auc_bce"]

# What decides how a spectrogram looks.
SPECTROGRAM = ("sample_rate", "n_fft", "win_length", "hop_length", "n_mels", "fmin", "fmax", "power", "top_db",
               "mel_scale", "mel_norm", "normalize")  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Every knob of a training run. Frozen; change one with :meth:`with_`.

    Each bundle carries its recipe, so inference rebuilds the very same spectrogram.
    """

    name: str = "custom"

    # clip and spectrogram (the mel settings of BirdCLEF 2023 1st and 2025 2nd place)
    sample_rate: int = 32_000  # Hz
    duration: float = 5.0  # s, of what the model hears
    window: float = 0.0  # s, of a scored window in the middle of it; 0: all of `duration`
    pad: Pad = "repeat"  # how a recording shorter than `duration` is filled
    n_fft: int = 2048  # samples
    win_length: int = 2048  # samples
    hop_length: int = 512  # samples: 5 s give 313 frames
    n_mels: int = 128
    fmin: float = 20.0  # Hz
    fmax: float = 16_000.0  # Hz
    power: float = 2.0  # 2: power, 1: magnitude
    top_db: float = 80.0  # dB below the loudest bin that are kept
    mel_scale: Literal["slaney", "htk"] = "slaney"
    mel_norm: Literal["slaney", "none"] = "slaney"
    normalize: Normalize = "standard"  # per spectrogram

    # labels
    task: Literal["single", "multi"] = "single"  # one species a clip, or any number
    secondary: Literal["ignore", "weight", "mask"] = "ignore"  # what secondary labels become (task "multi")
    secondary_weight: float = 0.5  # the target of a secondary label when secondary="weight"
    no_call: bool = False  # learn clips without a call as a class of their own, which inference drops (2024 1st)
    activation: Literal["softmax", "sigmoid"] = "softmax"  # logits to probabilities, in validation and inference

    # sampling: weight of a recording = count(species) ** -power, counts limited to [floor, cap]
    sampling_power: float = 0.0  # 0: as they come; 0.5: the winners'; 1: every species equally often
    sampling_floor: int = 1
    sampling_cap: int = 1_000_000

    # labelled soundscapes (2021, 2026): clean in each batch, and mixed into clips of recordings (2026 1st's injector)
    soundscape_share: float = 0.0  # share of each batch that is labelled windows; 0: none
    soundscape_mix: float = 0.0  # probability that a recording's clip has a labelled window mixed into its waveform
    soundscape_label_sum: float = 0.5  # what the labels of a mixed-in window sum to: with 1s it over-fits
    soundscape_group: Literal["site", "file"] = "site"  # soundscapes that agree in it stay on one side

    # pseudo-labelled soundscapes: given to bird_dls as a file, mixed into clips or put in their place
    pseudo_mix: float = 0.0  # probability that a recording's clip without a labelled window gets one
    pseudo_how: Literal["mix", "substitute"] = "mix"
    pseudo_power: float = 1.0  # exponent of the soft labels; above 1 it quiets faint guesses
    pseudo_label_sum: float = 0.75  # what the labels of a window sum to at most (2026 1st)

    # augmentation, in training only
    time_masks: int = 0
    time_mask_width: int = 20  # frames, the widest
    freq_masks: int = 0
    freq_mask_width: int = 10  # mel bands, the widest
    mask_p: float = 0.5  # probability that a spectrogram gets time masks, and as much that it gets frequency masks
    mixup_alpha: float = 0.0  # Beta(alpha, alpha) of MixUp; 0: off
    gain_db: float = 0.0  # dB, the most that a waveform gets louder or softer (2023 2nd: 12 to 15); 0: off
    filter_p: float = 0.0  # probability of a random filter of four bands, -20 to 0 dB (2023 1st, 2025 2nd); 0: off
    background: str = ""  # a folder of sound without calls, mixed into clips (2023 1st); "": off
    background_p: float = 0.5  # probability that a clip gets background
    background_snr_low: float = 3.0  # dB of the clip above its background, from (2023 2nd) ...
    background_snr_high: float = 30.0  # ... to
    wave_mix: float = 0.0  # probability that a waveform is mixed with another's (2023 1st, 2025 1st: 0.5); 0: off
    wave_mix_alpha: float = 0.0  # Beta(alpha, alpha) of the shares; 0: half of each (2025 1st, 2026 1st)
    wave_mix_labels: Literal["union", "interpolate"] = "union"  # "union": both species count in full (2023 1st)

    # model
    backbone: str = "tf_efficientnet_lite0"  # any convolutional backbone of timm
    weights: str = "pretrained"  # "pretrained", "random" or the path of a .pth, .pt, .safetensors or bundle
    pooling: Literal["avg", "max", "avgmax", "gem", "sed"] = "avg"  # gem: generalised mean; sed: attention over time
    sed_frequency: Literal["mean", "gem"] = "mean"  # how "sed" pools frequency
    dropout: float = 0.2
    drop_path: float = 0.0

    # loss; "auto": cross-entropy for one species a clip, BCE for many
    loss: Loss = "auto"  # "ce": BirdCLEF 2024 to 2026 1st; "bce_focal": 2023 1st; "soft_auc": 2025 4th, large batches
    label_smoothing: float = 0.0

    # distillation: learn besides what a teacher said of the training recordings
    distill: str = ""  # path of its values by path and start_time, .npz or .parquet; "": off
    distill_kind: Literal["cosine", "kl", "bce"] = "cosine"  # cosine: embeddings; kl, bce: probabilities of the classes
    distill_weight: float = 1.0  # of the distance from the teacher, beside the labels' loss

    # schedule
    epochs: int = 10
    batch_size: int = 32
    lr: float | Literal["auto", "backbone"] = (
        1e-3  # peak rate; "auto": what lr_find suggests; "backbone": models/defaults.py
    )
    body_lr: float = 1.0  # the backbone's learning rate as a share of the head's, which is `lr`
    schedule: Literal["one_cycle", "cosine", "constant"] = "one_cycle"
    warmup: float = 0.25  # share of one_cycle spent rising
    weight_decay: float = 0.01
    ema: float = 0.0  # decay of an exponential moving average of the weights, as 0.999; 0: off
    swa: float = (
        0.0  # share of the last epochs whose weights are averaged; 0: off; wants a rate that stays up: "constant"
    )
    seed: int = 0

    # validation: every full window of a recording, averaged
    n_folds: int = 5
    fold: int = 0
    group: str = "author"  # rows that agree in this column stay on one side; "none": recordings alone
    max_windows: int = 12  # windows scored a recording, spread evenly, so that one long file does not hold up an epoch
    max_bad: float = 0.05  # share of unreadable files at which training stops

    def __post_init__(self) -> None:
        hints = get_type_hints(Recipe)
        for field in dataclasses.fields(self):
            check_type(field.name, getattr(self, field.name), hints[field.name])
        check_values(self)

    def with_(self, **changes: Any) -> Recipe:
        """A copy with some knobs changed: ``RECIPES["improved"].with_(epochs=20)``."""
        return dataclasses.replace(self, **_known(changes))

    def to_dict(self) -> dict[str, Any]:
        """All knobs, as JSON and TOML can hold them."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, knobs: dict[str, Any]) -> Recipe:
        """The recipe of :meth:`to_dict`; an unknown knob is an error that names the nearest."""
        return cls(**_known(knobs))

    def save(self, path: str | Path) -> None:
        """Write to `path`: ``.json`` as JSON, anything else as TOML."""
        import tomli_w  # here, for inference reads recipes but writes none

        path = Path(path)
        as_json = path.suffix == ".json"
        path.write_text(json.dumps(self.to_dict(), indent=2) if as_json else tomli_w.dumps(self.to_dict()))

    @classmethod
    def load(cls, path: str | Path) -> Recipe:
        """Read what :meth:`save` wrote, a TOML a person wrote, or the recipe in a bundle (``.safetensors``)."""
        path = Path(path)
        try:
            if path.suffix == ".safetensors":
                return cls.from_dict(_bundled(path))
            text = path.read_text()
            return cls.from_dict(json.loads(text) if path.suffix == ".json" else tomllib.loads(text))
        except FileNotFoundError:
            raise BirdfastError(f"no recipe at {path}: give a name ({', '.join(RECIPES)}) or a .toml file") from None
        except (tomllib.TOMLDecodeError, json.JSONDecodeError) as error:
            raise BirdfastError(f"{path} is not a recipe: {error}") from None

    def with_spectrogram_of(self, path: str | Path) -> Recipe:
        """A copy with the spectrogram of another recipe: of a bundle, or a .toml or .json with some of its knobs."""
        path = Path(path)
        try:
            text = "" if path.suffix == ".safetensors" else path.read_text()
            knobs = json.loads(text) if path.suffix == ".json" else tomllib.loads(text) if text else _bundled(path)
        except (OSError, ValueError) as error:
            raise BirdfastError(f"no spectrogram's knobs can be read from {path}: {error}") from None
        return self.with_(**{name: knobs[name] for name in SPECTROGRAM if name in _known(knobs)})

    @property
    def n_samples(self) -> int:
        """Samples of one clip."""
        return round(self.duration * self.sample_rate)

    @property
    def n_frames(self) -> int:
        """Frames of its spectrogram."""
        return 1 + self.n_samples // self.hop_length

    @property
    def scored(self) -> float:
        """Seconds of a scored window: `window`, or all of `duration`."""
        return self.window or self.duration

    @property
    def hears_soundscapes(self) -> bool:
        """Whether labelled windows of soundscapes are trained on, and validated."""
        return self.soundscape_share > 0 or self.soundscape_mix > 0

    @property
    def reach(self) -> float:
        """Seconds that the model hears before a scored window, and after it."""
        return (self.duration - self.scored) / 2


_LONGEST_HEADER = 100_000_000  # bytes, safetensors' own limit


def bundle_knobs(path: Path) -> dict[str, Any] | None:
    """The recipe's knobs in the header of a ``.safetensors``; None where it carries none, as other people's files."""
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        try:
            header = json.loads(file.read(size)) if size < _LONGEST_HEADER else {}
            return dict(json.loads(header["__metadata__"]["birdfast"])["recipe"])
        except (ValueError, KeyError, TypeError):
            return None


def _bundled(path: Path) -> dict[str, Any]:
    knobs = bundle_knobs(path)
    if knobs is None:
        raise BirdfastError(f"{path} carries no recipe: give a bundle of birdfast's, or a .toml file")
    return knobs


def _known(knobs: dict[str, Any]) -> dict[str, Any]:
    names = [field.name for field in dataclasses.fields(Recipe)]
    for name in knobs:
        if name not in names:
            raise unknown("knob of the recipe", name, names)
    return knobs


# What the failing notebook did: a constant 1e-3, nothing against over-fitting or imbalance.
BASELINE = Recipe(name="baseline", lr=1e-3, schedule="constant")

# The plan's values: the same backbone and as many epochs, with the remedies.
IMPROVED = Recipe(
    name="improved",
    lr=1e-4,  # low, for 28,000 recordings; lr="auto" asks lr_find, for small sets
    schedule="one_cycle",  # cosine annealing after a warm-up
    mixup_alpha=0.4,
    sampling_power=0.5,  # BirdCLEF 2023 1st: count ** -0.5
    time_masks=2,
    freq_masks=2,
    label_smoothing=0.1,
)

# Hundreds of recordings: some hundred steps, in which 1e-4 learns nothing and MixUp keeps the model from fitting. Its
# rate lies where lr_find puts it on small sets, real and synthetic; the figures are in README's table.
SMALL = IMPROVED.with_(name="small", lr=2e-3, mixup_alpha=0.0)

# What pays beyond `small` on real recordings and costs nothing on synthetic ones: labelled soundscapes, as BirdCLEF 2021 and
# 2026 have them, in small doses; more of them pay more and cost more. docs/remedies.md has all that was measured.
FIRST_PLACE = SMALL.with_(name="first_place", soundscape_mix=0.25)

FEW = 2000  # recordings
FEW_STEPS = 8  # an epoch


def lr_too_low(lr: float | str, n_recordings: int) -> bool:
    """Whether a rate for tens of thousands of recordings is asked of a few hundred, whose steps are too few for it."""
    return not isinstance(lr, str) and lr <= 1e-4 and n_recordings < FEW


def epoch_steps(n_clips: int, batch_size: int) -> tuple[str, int | None]:
    """What an epoch of `n_clips` comes to, in words, and a batch size that gives it steps enough.

    The second is None where there are FEW_STEPS or more, or where a smaller batch would hold a single clip.
    """
    steps, left = divmod(n_clips, batch_size)
    text = f"{steps} step{'' if steps == 1 else 's'} an epoch"
    if left:
        text += f", {left} of {n_clips} clips left out each time"
    smaller = max(1, min(n_clips, 2 ** max(1, (n_clips // FEW_STEPS).bit_length() - 1)))
    return text, smaller if steps < FEW_STEPS and smaller < batch_size else None


RECIPES: dict[str, Recipe] = {recipe.name: recipe for recipe in (BASELINE, IMPROVED, SMALL, FIRST_PLACE)}


def changed_knobs(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """The first three knobs in which a recipe differs from that of a run which is to go on, in words; "" where none does.

    More epochs, and another name, change nothing.
    """
    changed = [name for name in now if name not in ("epochs", "name") and before.get(name, now[name]) != now[name]]
    return ", ".join(f"{name} ({before[name]!r} to {now[name]!r})" for name in changed[:3])


def get_recipe(recipe: str | Path | Recipe, **changes: Any) -> Recipe:
    """The recipe meant by a preset's name, the path of a .toml, a .json or a bundle, or a recipe; with `changes` applied."""
    if isinstance(recipe, (str, Path)):
        if str(recipe) in RECIPES:
            recipe = RECIPES[str(recipe)]
        elif Path(recipe).suffix in (".toml", ".json", ".safetensors"):
            recipe = Recipe.load(recipe)
        else:
            raise unknown("recipe", recipe, RECIPES)
    return recipe.with_(**changes)
