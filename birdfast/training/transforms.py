"""What flows through the batches: audio, spectrograms, and the transforms between them, in their order."""

import io
import random
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import torch
from fastai.data.load import SkipItemException
from fastai.torch_core import TensorBase
from fastai.vision.augment import RandTransform
from fasttransform import Transform

from birdfast.audio.read import MP3_RATES, AudioError, fit, read_clip, read_header
from birdfast.errors import BirdfastError
from birdfast.spectrogram.functional import mask_along, mix_levelled
from birdfast.spectrogram.logmel import LogMel
from birdfast.training.draw import play, show_spectrogram, show_waveform

# fasttransform sorts by these numbers, not by the order in which transforms are listed.
ORDER = {"AddWindow": -1, "ReadClip": 0, "PcmToAudio": 5, "RandomGain": 10, "RandomFilter": 11, "AddBackground": 12,
         "WaveMix": 15, "AudioToSpec": 20, "MaskFreq": 60, "MaskTime": 61}  # fmt: skip


@dataclass(frozen=True)
class Clip:
    "A stretch of a recording: what an item is before it is read; times in seconds, `end_time` None for the end of the file"

    path: str
    start_time: float = 0.0
    end_time: float | None = None
    added: "Clip | None" = None  # another stretch, mixed into it


class Window(Clip):
    "A window of a soundscape, with labels of its own: nothing is mixed into it"


class Cue(Clip):
    "The Clip of an item once more, to be replaced by what a teacher says of the stretch that is read"


class AudioTensor(TensorBase):
    "A waveform `(channel, time)`, or a batch of them"

    @classmethod
    def create(cls, path, sample_rate=32_000, **kwargs):
        "Read a file, or `start_time` and `duration` of it, as mono audio"
        return cls(torch.from_numpy(read_clip(path, sample_rate=sample_rate, **kwargs))[None], sample_rate=sample_rate)

    def hear(self):
        "A player, in a notebook"
        from IPython.display import Audio

        samples = self.as_subclass(torch.Tensor).detach().cpu().float().reshape(-1).numpy()
        if self.sample_rate not in MP3_RATES:
            return Audio(samples, rate=self.sample_rate)
        mp3 = io.BytesIO()  # a tenth of the wav that IPython makes: a notebook keeps every player
        soundfile.write(mp3, samples / max(1.0, abs(samples).max()), self.sample_rate, format="MP3")
        player = Audio(mp3.getvalue())
        player.mimetype = "audio/mpeg"
        return player

    def show(self, ctx=None, title=None, hear=True, **kwargs):
        "Draw the waveform over seconds and, in a notebook, add a player"
        if hear and ctx is None:
            play([self])
        return show_waveform(self, ctx=ctx, title=title)


class PcmTensor(TensorBase):
    "16-bit samples `(channel, time + 2)` on their way to the device; the last two are the bits of the float that scales them"


def pcm_to_audio(x, sample_rate):
    "The AudioTensor that a PcmTensor stands for"
    samples = x.as_subclass(torch.Tensor)
    scale = samples[..., -2:].clone(memory_format=torch.contiguous_format).view(torch.float32)  # a copy is aligned
    return AudioTensor(samples[..., :-2].float() * scale, sample_rate=sample_rate)


class LevelsTensor(TensorBase):
    "Frames `(channel, frames, n_mels)` of a spectrogram in dB, not yet normalised, on their way to the device"


class AudioSpectrogram(TensorBase):
    "A spectrogram `(channel, n_mels, frames)`, or a batch; knows the `logmel` that made it and the `waveform` it came from"

    def show(self, ctx=None, title=None, **kwargs):
        "Draw it with axes in seconds and kHz"
        return show_spectrogram(self, ctx=ctx, title=title)

    def hear(self):
        "A player of the sound behind it, in a notebook"
        if getattr(self, "waveform", None) is None:
            raise BirdfastError("this spectrogram has no sound with it: only those that AudioToSpec has just made do")
        return self.waveform.hear()


def _plain(x):
    return x.as_subclass(torch.Tensor)


class ReadClip(RandTransform):
    """Read `duration` s: from a random place in training, from the start in validation. `bad_files` collects what cannot be read

    With a `window` that is shorter, validation reads the `duration` around the clip, as inference does.
    """

    split_idx, order, store, teacher = None, ORDER["ReadClip"], None, None

    def __init__(self, sample_rate=32_000, duration=5.0, pad="repeat", bad_files=None, window=0.0):
        super().__init__(p=1.0)
        self.sample_rate, self.duration, self.pad, self.bad_files = sample_rate, duration, pad, bad_files
        self.window = window or duration

    def before_call(self, b, split_idx):
        # Drawn from the module's generator, which fastai seeds anew in every worker.
        self.do, self.training = True, split_idx == 0
        self.place = random.random() if self.training else 0.0

    def encodes(self, o: Clip | Path | str):
        clip = o if isinstance(o, Clip) else Clip(str(o))
        try:
            item = self._read(clip)
        except AudioError as error:
            return self._unreadable(clip, error)
        if clip.added is None:
            return item
        try:
            return self.blend(item, self._read(clip.added))
        except AudioError as error:
            return self._unreadable(clip.added, error)

    def _read(self, clip):
        if self.window < self.duration and not self.training:
            return self.read(clip.path, *self._around(clip))
        start = self._start(clip)
        return self.read(clip.path, start, self._length(clip, start))

    def blend(self, item, added):
        "A second item mixed into the first, half and half; into its padding too, for there the labels of `added` hold as well"
        return AudioTensor(mix_levelled(*map(_plain, (item, added))), sample_rate=self.sample_rate)

    def encodes(self, o: Cue):  # noqa: F811 - dispatched by type
        says = self.teacher.says(o.path, self._start(o)) if self.training else self.teacher.unknown
        return torch.from_numpy(says)

    def read(self, path, start, length, late=None):
        "The clip as the batch wants it; it begins `late` s after the item does, where that is given"
        return self.as_item(self._waveform(path, start, length, late))

    def _waveform(self, path, start, length, late):
        wave = read_clip(path, start_time=start, duration=length, sample_rate=self.sample_rate, pad=self.pad)
        return fit(wave, self.n_samples, pad=self.pad, lead=self._lead(late))

    def _lead(self, late):
        return None if late is None else round(late * self.sample_rate)

    def as_item(self, waveform):
        "A waveform `(time,)` in the form that the batch wants"
        return AudioTensor(torch.from_numpy(waveform)[None], sample_rate=self.sample_rate)

    @property
    def n_samples(self):
        return round(self.duration * self.sample_rate)

    def _start(self, clip):
        end = clip.end_time if clip.end_time is not None else read_header(clip.path).duration
        return clip.start_time + self.place * max(0.0, end - clip.start_time - self.duration)

    def _around(self, clip):
        "Start and length of the part of the recording around a clip, and how late it begins; alone, if shorter than a window"
        reach, end = (self.duration - self.window) / 2, read_header(clip.path).duration
        whole = clip.end_time is None or clip.end_time - clip.start_time >= self.window - 1e-3
        first = max(0.0, clip.start_time - reach) if whole else clip.start_time
        last = min(end, clip.start_time - reach + self.duration) if whole else clip.end_time
        return first, last - first, first - (clip.start_time - reach)

    def _length(self, clip, start):
        "Seconds to read: never past the end of the clip, so that a short call is padded and not followed by another"
        return self.duration if clip.end_time is None else min(self.duration, clip.end_time - start)

    def _unreadable(self, clip, error):
        "Training goes on without the item; validation keeps the item's place, and the metrics leave it out"
        if self.bad_files is None:
            raise error
        self.bad_files.add(clip.path, error.reason, start_time=clip.start_time)
        if self.training:
            raise SkipItemException
        return self.as_item(np.zeros(self.n_samples, np.float32))


def needs(b, kind, transform, remedy):
    "Raise unless a tensor of type `kind` is in `b`: a transform in the wrong place would else silently do nothing"
    parts, kinds = b if isinstance(b, (tuple, list)) else (b,), kind if isinstance(kind, tuple) else (kind,)
    if not any(isinstance(part, kinds) for part in parts):
        found = ", ".join(type(part).__name__ for part in parts)
        raise BirdfastError(f"{transform} works on {kinds[0].__name__}, but was given {found}: {remedy}")


class AudioToSpec(Transform):
    "Waveforms to log-mel spectrograms, on the device they are on"

    order = ORDER["AudioToSpec"]

    def __init__(self, logmel=None):
        super().__init__()
        self.logmel = logmel or LogMel()

    @classmethod
    def from_cfg(cls, recipe):
        "The transform that a recipe describes"
        return cls(LogMel.from_recipe(recipe))

    def to(self, device):
        self.logmel.to(device)

    def __call__(self, b, split_idx=None, **kwargs):
        needs(b, (AudioTensor, PcmTensor, LevelsTensor), "AudioToSpec", "use it once, after the audio is read")
        return super().__call__(b, split_idx=split_idx, **kwargs)

    def encodes(self, x: AudioTensor | PcmTensor | LevelsTensor) -> AudioSpectrogram:
        if isinstance(x, LevelsTensor):
            levels = x.as_subclass(torch.Tensor).float().transpose(-1, -2).contiguous()
            return self._known(self.logmel.finish(levels), None)
        audio = pcm_to_audio(x, self.logmel.sample_rate) if isinstance(x, PcmTensor) else x
        return self._known(self.logmel(audio.as_subclass(torch.Tensor)), audio)

    def _known(self, values, waveform):
        spectrogram = AudioSpectrogram(values)
        spectrogram.logmel, spectrogram.waveform = self.logmel, waveform
        return spectrogram


class _SpecMask(RandTransform):
    "Replace up to `n_masks` stripes of random place and width by the mean, per item, with probability `p`; training only"

    split_idx, dim = 0, -1

    def __init__(self, max_width=20, n_masks=1, p=0.5):
        super().__init__(p=1.0)
        self.max_width, self.n_masks, self.p_item = max_width, n_masks, p

    def __repr__(self):
        return f"{type(self).__name__}(max_width={self.max_width}, n_masks={self.n_masks}, p={self.p_item})"

    def before_call(self, b, split_idx):
        needs(b, AudioSpectrogram, type(self).__name__, "put it into batch_tfms, after AudioToSpec")
        self.do = True

    def draw(self, n, size, device):
        "Starts and widths `(n, n_masks)`; width 0 where an item stays as it is"
        shape = (n, self.n_masks)
        width = torch.randint(1, min(self.max_width, size) + 1, shape, device=device)
        start = (torch.rand(shape, device=device) * (size - width + 1)).long()
        return start, width * (torch.rand(n, 1, device=device) < self.p_item)

    def encodes(self, x: AudioSpectrogram) -> AudioSpectrogram:
        batch = x if x.ndim == 4 else x[None]
        start, width = self.draw(len(batch), batch.shape[self.dim], batch.device)
        masked = mask_along(batch, start, width, dim=self.dim)
        return masked if x.ndim == 4 else masked[0]


class MaskTime(_SpecMask):
    "SpecAugment: hide stripes of up to `max_width` frames (Park et al. 2019)"

    order, dim = ORDER["MaskTime"], -1


class MaskFreq(_SpecMask):
    "SpecAugment: hide stripes of up to `max_width` mel bands (Park et al. 2019)"

    order, dim = ORDER["MaskFreq"], -2
