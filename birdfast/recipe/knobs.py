"""Every knob of a training run as plain data."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePath
from typing import Literal

Pad = Literal["repeat", "end", "center"]
Normalize = Literal["standard", "minmax", "none"]
Loss = Literal["auto", "ce", "bce", "bce_sum", "focal", "bce_focal", "asymmetric", "soft_auc", "soft_auc_bce"]


EMBEDDERS = ("birdnet",)  # those with a name; others by their file


def names_embedder(backbone: str) -> bool:
    """Whether a backbone is a frozen embedder: one with a name, or the file that describes one."""
    return backbone in EMBEDDERS or PurePath(backbone).suffix in (".toml", ".tflite")


@dataclass(frozen=True, kw_only=True)
class Knobs:
    """Every knob of a training run, with its unit and its default. :class:`~birdfast.recipe.recipe.Recipe` checks them."""

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

    # an embedder as backbone: "birdnet", or the .toml of another. It stays as it is, a head on its embeddings learns
    embed_step: float = 1.0  # s between the windows that the embedder hears of a clip
    join: Literal["lse", "max", "mean", "attention"] = "lse"  # windows to a clip: log of the mean exp, the highest, ...
    hidden: int = 0  # units of a layer beside the linear one; 0: none
    start: Literal["known", "zero"] = "known"  # "known": the embedder's own rows of the species that it knows
    hold: float = 0.0  # decay towards the start, a step at the peak rate; 0: none
    views: int = 0  # times that each recording is embedded besides, with the augmentation of waveforms above
    optimizer: Literal["adam", "sgd"] = "adam"  # "sgd" moves a class by what it is shown, "adam" all alike

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

    @property
    def embeds(self) -> bool:
        """Whether the backbone is a frozen embedder, and a head on its embeddings is trained."""
        return names_embedder(self.backbone)

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
