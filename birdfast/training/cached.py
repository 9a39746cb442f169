"""Items from a cache: crops of decoded waveforms, or of spectrograms that were made ahead, also a user's own."""

import numpy as np
import torch

from birdfast.audio.cache import CACHE_ROOT, CACHES, cache_waveforms, fill, from_pcm, to_pcm
from birdfast.audio.npy import is_npy, load_npy
from birdfast.audio.read import AudioError, fit, read_clip
from birdfast.audio.store import Store
from birdfast.errors import BirdfastError, unknown
from birdfast.notes import note
from birdfast.spectrogram.functional import mix_levelled
from birdfast.spectrogram.logmel import LogMel
from birdfast.training.augment import check_waveforms
from birdfast.training.transforms import LevelsTensor, PcmTensor, ReadClip

_FRONT_END = (
    "sample_rate",
    "n_fft",
    "win_length",
    "hop_length",
    "n_mels",
    "fmin",
    "fmax",
    "power",
    "mel_scale",
    "mel_norm",
)
_BLOCK = 8192  # frames made at once: an hour's spectrum would fill the memory


class ReadPcm(ReadClip):
    "ReadClip from cached waveforms, 16 bits until they are on the device; what is not cached is read from its file"

    def __init__(self, recipe, store, bad_files=None):
        super().__init__(recipe.sample_rate, recipe.duration, recipe.pad, bad_files, recipe.window)
        self.store = store

    def read(self, path, start, length, late=None):
        entry = self.store.get(path) if self.store else None
        if entry is None:
            return super().read(path, start, length, late)
        first, n = round(start * self.sample_rate), round(length * self.sample_rate)
        if not 0 <= first < entry.length:
            raise AudioError(
                path, f"start_time {start:g} s lies outside the {entry.length / self.sample_rate:.2f} s cached"
            )
        cut = fit(self.store.rows(entry, first, first + n), n, pad=self.pad)
        return self._item(fit(cut, self.n_samples, pad=self.pad, lead=self._lead(late)), entry.scale)

    def as_item(self, waveform):
        return self._item(*to_pcm(waveform))

    def blend(self, item, added):
        return self.as_item(mix_levelled(*map(_waveform, (item, added))).numpy())

    def _item(self, samples, scale):
        item = np.empty(len(samples) + 2, np.int16)
        item[:-2], item[-2:] = samples, np.array([scale], np.float32).view(np.int16)
        return PcmTensor(torch.from_numpy(item)[None])


def _waveform(item):
    "The samples of an item, to scale `(time,)`"
    samples = item.as_subclass(torch.Tensor)[0].numpy()
    return torch.from_numpy(from_pcm(samples[:-2], samples[-2:].copy().view(np.float32)[0]))


class ReadLevels(ReadClip):
    "ReadClip from spectrograms made ahead: of a store, or the .npy file that stands for a recording"

    def __init__(self, recipe, store=None, bad_files=None):
        check_whole(recipe)
        super().__init__(recipe.sample_rate, recipe.duration, recipe.pad, bad_files)
        self.store, self.logmel = store, LogMel.from_recipe(recipe)

    def read(self, path, start, length):
        cut = self._cut(path, start, length)
        if cut is None:
            return super().read(path, start, length)
        floor = 20 / self.logmel.power * -10  # dB of the least energy that LogMel knows
        return _as_levels(fit_frames(cut, self._frames(self.duration), pad=self.pad, floor=floor))

    def _frames(self, seconds):
        return 1 + round(seconds * self.sample_rate) // self.logmel.hop_length

    def _cut(self, path, start, length):
        "The frames `(frames, n_mels)` nearest to a clip; None where there are none"
        rows, n_rows = self._rows(path)
        if rows is None:
            return None
        n = min(self._frames(length), n_rows)
        first = min(round(start * self.sample_rate / self.logmel.hop_length), n_rows - n)
        return rows(first, first + n)

    def _rows(self, path):
        "How to read frames of a recording, and how many it has"
        if path.endswith(".npy"):
            picture = load_npy(path)
            return (lambda a, b: picture[:, a:b].T), picture.shape[1]
        entry = self.store.get(path) if self.store else None
        return (None, 0) if entry is None else ((lambda a, b: self.store.rows(entry, a, b)), entry.length)

    def as_item(self, waveform):
        return _as_levels(self.logmel.levels(torch.from_numpy(waveform)).T.numpy())


def check_cache(cache, recipe):
    "Refuse a cache that there is not, and saved spectrograms where the recipe wants more than they hold"
    if cache and cache not in CACHES:
        raise unknown("cache", cache, CACHES)
    if recipe.embeds != (cache == "embedding") and cache:
        raise BirdfastError(f"cache={cache!r}: a head on an embedder takes cache='embedding', and nothing else does")
    if cache == "spectrogram":
        check_waveforms(recipe, "cache='spectrogram'")
        check_whole(recipe)


def check_whole(recipe):
    "Refuse spectrograms made ahead where windows are scored from a longer stretch of sound"
    if recipe.scored < recipe.duration:
        raise BirdfastError(
            f"saved spectrograms hold no sound around a window of {recipe.window:g} s: use cache='waveform', or set "
            f"window to 0 or to the duration ({recipe.duration:g} s)"
        )


def _as_levels(frames):
    return LevelsTensor(torch.from_numpy(np.ascontiguousarray(frames, np.float16))[None])


def fit_frames(frames, n, *, pad, floor):
    "Make `frames` (frames, n_mels) exactly `n` long, padded as waveforms are: repeated, or with silence"
    if len(frames) >= n or pad == "repeat":
        return np.take(frames, fit(np.arange(len(frames)), n, pad="repeat"), axis=0)
    left = (n - len(frames)) // 2 if pad == "center" else 0
    return np.pad(frames, ((left, n - len(frames) - left), (0, 0)), constant_values=floor)


def cached_reader(cache, recordings, recipe, bad_files=None, *, cache_dir=None):
    "The reader of a recipe's clips from the `cache` asked for, which is filled first; None: from the files"
    if is_npy(recordings["path"]).any():
        if cache:
            note("saved spectrograms are read as they are: no cache is made of them")
        return ReadLevels(recipe, bad_files=bad_files)
    if not cache:
        return None
    root = cache_dir or CACHE_ROOT
    if cache == "waveform":
        store = cache_waveforms(recordings, root, sample_rate=recipe.sample_rate)
        return ReadPcm(recipe, store, bad_files)
    return ReadLevels(recipe, cache_spectrograms(recordings, recipe, root), bad_files)


def cache_spectrograms(recordings, recipe, root=CACHE_ROOT, *, workers=None, progress=True):
    """Make the log-mel levels (dB, before `top_db` and normalisation) of whole recordings as float16; the Store of them.

    Takes the waveforms from their files. A crop of these is not quite the spectrogram of a crop: see docs/speed.md.
    """
    logmel = LogMel.from_recipe(recipe)
    knobs = {name: getattr(recipe, name) for name in _FRONT_END}
    store = Store(root, {"kind": "spectrogram", "dtype": "float16", "width": recipe.n_mels, **knobs})

    def make(path):
        return whole_levels(logmel, read_clip(path, sample_rate=recipe.sample_rate)), 1.0

    fill(
        store,
        recordings,
        make,
        rows_per_second=recipe.sample_rate / recipe.hop_length,
        workers=workers,
        progress=progress,
    )
    return store


@torch.no_grad()
def whole_levels(logmel, waveform):
    "The levels of a recording of any length, float16 (frames, n_mels), made a stretch at a time"
    hop, n = logmel.hop_length, 1 + len(waveform) // logmel.hop_length
    margin = -(-logmel.n_fft // (2 * hop))
    parts = []
    for first in range(0, n, _BLOCK):
        begin, end = max(0, first - margin), min(n, first + _BLOCK + margin)
        part = logmel.levels(torch.from_numpy(waveform[begin * hop : end * hop]))[:, first - begin :]
        parts.append(part[:, : min(_BLOCK, n - first)].T.half())
    return torch.cat(parts).numpy()
