"""Changes to waveforms on the device, in training only: gain, filter, background, and the mix of two recordings."""

from pathlib import Path

import numpy as np
import torch
from fastai.torch_core import TensorCategory, TensorMultiCategory
from fastai.vision.augment import RandTransform
from fasttransform import Transform

from birdfast.audio.listing import get_audio_files
from birdfast.audio.read import AudioError, read_clip, read_header, window_starts
from birdfast.errors import BirdfastError
from birdfast.notes import note
from birdfast.spectrogram import functional as F
from birdfast.training.mixup import draw_lam, mix_targets, sent
from birdfast.training.transforms import ORDER, AudioTensor, PcmTensor, needs, pcm_to_audio

# of the recipe: each switches a change on
_KNOBS = ("gain_db", "filter_p", "background", "wave_mix", "soundscape_mix", "pseudo_mix")


def wave_tfms(recipe, n_classes, *, window=None, backgrounds=None):
    """The batch transforms of waveforms that a recipe describes

    Of a `window` of s, in place of a clip; `backgrounds` are files that stand for the recipe's background="soundscapes".
    """
    tfms = []
    if recipe.gain_db:
        tfms.append(RandomGain(recipe.gain_db))
    if recipe.filter_p:
        tfms.append(RandomFilter(recipe.filter_p))
    if recipe.background:
        snr = recipe.background_snr_low, recipe.background_snr_high
        where, duration = backgrounds or recipe.background, window or recipe.duration
        tfms.append(AddBackground(where, recipe.sample_rate, duration, recipe.background_p, snr))
    if recipe.wave_mix:
        tfms.append(WaveMix(n_classes, recipe.wave_mix, recipe.wave_mix_alpha, recipe.wave_mix_labels, recipe.no_call))
    return [PcmToAudio(recipe.sample_rate), *tfms] if tfms else []


def check_waveforms(recipe, spectrograms):
    "Raise if a recipe changes waveforms and there are only `spectrograms`, in words"
    asked = next((name for name in _KNOBS if getattr(recipe, name)), None)
    if asked:
        raise BirdfastError(
            f"{asked} with {spectrograms}: it changes the waveform, which spectrograms made ahead do not hold; "
            f"take cache='waveform', from recordings, or switch {asked} off"
        )


class PcmToAudio(Transform):
    "16-bit samples of the waveform cache to audio, for the transforms that follow"

    order = ORDER["PcmToAudio"]

    def __init__(self, sample_rate=32_000):
        super().__init__()
        self.sample_rate = sample_rate

    def encodes(self, x: PcmTensor) -> AudioTensor:
        return pcm_to_audio(x, self.sample_rate)


class _WaveTransform(RandTransform):
    "A change of AudioTensors `(batch, channel, time)`: numbers drawn on the CPU, the same on all devices, then applied"

    split_idx = 0

    def __init__(self):
        super().__init__(p=1.0)

    def before_call(self, b, split_idx):
        needs(b, AudioTensor, type(self).__name__, "put it into batch_tfms, before AudioToSpec")
        self.do = True

    def encodes(self, x: AudioTensor) -> AudioTensor:
        return _like(self.apply(x.as_subclass(torch.Tensor)), x)


def _like(values, audio):
    "`values` as audio that knows what `audio` knows"
    out = values.as_subclass(AudioTensor)
    out.__dict__.update(audio.__dict__)
    return out


class RandomGain(_WaveTransform):
    "Louder or softer by up to `db` (BirdCLEF 2023, 2nd); a normalised spectrogram hears little of it"

    order = ORDER["RandomGain"]

    def __init__(self, db=12.0):
        super().__init__()
        self.db = db

    def apply(self, x):
        return F.change_gain(x, sent((torch.rand(len(x)) * 2 - 1) * self.db, x.device))


class RandomFilter(_WaveTransform):
    "Four bands of random width, each softer by up to `db` (BirdCLEF 2023, 1st; 2025, 2nd), per item, with probability `p`"

    order, n_bands = ORDER["RandomFilter"], 4

    def __init__(self, p=0.5, db=20.0):
        super().__init__()
        self.p_item, self.db = p, db

    def draw(self, n):
        "Edges `(n, 3)` of the bands and their levels `(n, 4)`, 0 dB where an item stays as it is"
        edges = torch.rand(n, self.n_bands - 1).sort(1).values
        return edges, -self.db * torch.rand(n, self.n_bands) * (torch.rand(n, 1) < self.p_item)

    def apply(self, x):
        edges, db = self.draw(len(x))
        return F.filter_bands(x, sent(edges, x.device), sent(db, x.device))


class AddBackground(_WaveTransform):
    """Sound without calls from `folder`, `snr` dB (from, to) below the item, with probability `p` (BirdCLEF 2023, 1st)

    Keeps up to `most` clips in memory, spread over what the folder holds.
    """

    order = ORDER["AddBackground"]

    def __init__(self, folder, sample_rate=32_000, duration=5.0, p=0.5, snr=(3.0, 30.0), most=128):
        super().__init__()
        self.folder, self.sample_rate, self.duration = folder, sample_rate, duration
        self.p_item, self.snr, self.most, self.pool = p, snr, most, None
        if isinstance(folder, (str, Path)):
            check_background(folder)

    def __getstate__(self):
        return self.__dict__ | {"pool": None}  # read again where it is needed

    def pool_on(self, device):
        "The clips `(n, time)` of the folder, each at full level"
        if self.pool is None:
            self.pool = read_background(self.folder, self.sample_rate, self.duration, self.most)
        self.pool = self.pool.to(device)
        return self.pool

    def apply(self, x):
        pool = self.pool_on(x.device)
        which, low, high = torch.randint(len(pool), (len(x),)), *self.snr
        snr = low + (high - low) * torch.rand(len(x))
        snr = torch.where(torch.rand(len(x)) < self.p_item, snr, torch.inf)
        background = pool[sent(which, x.device)][:, None, : x.shape[-1]].float()
        return F.add_background(x, background, sent(snr, x.device))


def check_background(folder):
    "Raise where a folder of background is missing, or holds no sound"
    if not Path(folder).is_dir():
        raise BirdfastError(
            f"background={str(folder)!r} is no folder: name one with sound without calls, or set it to ''"
        )
    get_audio_files(folder)  # raises where there are none


def read_background(folder, sample_rate, duration, most):
    "Up to `most` clips of a folder or of files, half precision `(n, time)` with a peak of 1, but silent and unreadable ones"
    places, clips, n_bad = [], [], 0
    for file in get_audio_files(folder) if isinstance(folder, (str, Path)) else folder:
        try:
            places += [(file, start) for start in window_starts(read_header(file).duration, window=duration)]
        except AudioError:
            n_bad += 1
    for i in np.unique(np.linspace(0, len(places) - 1, min(most, len(places))).round().astype(int)):
        file, start = places[i]
        try:
            clip = read_clip(file, start_time=start, duration=duration, sample_rate=sample_rate, pad="repeat")
        except AudioError:
            n_bad += 1
            continue
        if (peak := np.abs(clip).max()) > 0:
            clips.append(torch.from_numpy(clip / peak).half())
    if not clips:
        raise BirdfastError(
            f"background={str(folder)!r} holds no sound that can be read: mend it or name another folder"
        )
    where = folder if isinstance(folder, (str, Path)) else f"{len(folder)} soundscapes"
    note(f"{len(clips)} clips of background from {where}" + (f"; {n_bad} files cannot be read" if n_bad else ""))
    return torch.stack(clips)


class WaveMix(_WaveTransform):
    """Mix a waveform with another of the batch, at equal peaks, with probability `p`; labels are their union, or interpolated

    `alpha` 0 takes half of each (BirdCLEF 2025, 1st), else the shares are drawn from Beta(alpha, alpha). Nothing is mixed
    into padding, nor is the label of what is not heard. `no_call` says that the last class is that of clips without a call.
    """

    order = ORDER["WaveMix"]

    def __init__(self, n_classes, p=0.5, alpha=0.0, labels="union", no_call=False):
        super().__init__()
        self.n_classes, self.p_item, self.alpha, self.labels, self.no_call = n_classes, p, alpha, labels, no_call

    def __call__(self, b, split_idx=None, **kwargs):
        self.before_call(b, split_idx)
        if split_idx != 0 or not self.p_item:
            return b
        x, y = b
        mixed, other, lam = self.mix(x.as_subclass(torch.Tensor))
        how = {"n_classes": self.n_classes, "labels": self.labels, "no_call": self.no_call}
        return _like(mixed, x), mix_targets(y, other, lam, **how)

    def draw(self, n):
        "The partner of each item, itself where it is not mixed, and its own share, 1 there"
        lam = draw_lam(self.alpha, n) if self.alpha else torch.full((n,), 0.5)
        alone = torch.rand(n) >= self.p_item
        return torch.randperm(n).where(~alone, torch.arange(n)), lam.masked_fill(alone, 1.0)

    def mix(self, x):
        "The mixed waveforms, the partners and the shares"
        other, lam = (sent(drawn, x.device) for drawn in self.draw(len(x)))
        silent = (x[other] * F.sounding(x)).abs().amax((1, 2)) == 0
        other = other.where(~silent, torch.arange(len(x), device=x.device))
        lam = lam.masked_fill(other == torch.arange(len(x), device=x.device), 1.0)
        return F.mix_waves(x, x[other], lam), other, lam

    def decode(self, b, **kwargs):
        "For show_batch: of the species mixed into a clip of one label, the one with the largest share"
        y = b[1] if isinstance(b, tuple) and len(b) == 2 else None
        if y is None or isinstance(y, TensorMultiCategory) or y.ndim != 2:
            return b
        return b[0], TensorCategory(y.as_subclass(torch.Tensor).argmax(-1))
