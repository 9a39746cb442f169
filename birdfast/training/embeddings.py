"""Items of an embedder's head: embeddings of windows, read from a cache that is filled before training."""

import random
from hashlib import blake2b
from threading import Lock

import numpy as np
import torch
from fastai.callback.core import Callback
from fastai.torch_core import TensorBase
from fasttransform import Transform

from birdfast.audio.cache import fill
from birdfast.audio.read import read_clip
from birdfast.audio.store import MemoryStore, Store
from birdfast.embedders.matching import match_species
from birdfast.models.embedding import EmbedWindows
from birdfast.notes import note
from birdfast.training.augment import wave_tfms
from birdfast.training.transforms import ORDER, AudioTensor, ReadClip, Window

_STRETCH = 60  # windows embedded in one go: memory does not grow with the length of a recording
_SAMPLE = 64  # recordings by which the size of embeddings is judged
_DRAWING = Lock()


class EmbeddingTensor(TensorBase):
    "Embeddings `(windows, size)` of a clip, or a batch of them; NaN where there is no sound"


class AudioToEmbedding(Transform):
    "Waveforms to embeddings of their windows; what comes embedded from a cache is left alone"

    order = ORDER["AudioToSpec"]

    def __init__(self, front_end):
        super().__init__()
        self.front_end = front_end

    def encodes(self, x: AudioTensor) -> EmbeddingTensor:
        return EmbeddingTensor(self.front_end(x.as_subclass(torch.Tensor))[:, 0])


class ReadEmbeddings(ReadClip):
    """Embeddings of a clip's windows, from the stores of `cache_embeddings`: the clean one, in training any of the views

    In training a recording gives windows from a random place, and a labelled window what lies around it, too.
    """

    def __init__(self, recipe, stores, bad_files=None):
        super().__init__(recipe.sample_rate, recipe.duration, recipe.pad, bad_files, recipe.window)
        self.store, self.front_end = stores, EmbedWindows(recipe.backbone, step=recipe.embed_step)
        self.n = 1 + max(
            0, -(-round((recipe.duration - self.front_end.window) * 1000) // round(recipe.embed_step * 1000))
        )

    def _read(self, clip):
        if self.store is None or self.store[0].get(clip.path) is None:
            return super()._read(clip)
        if self.training and not isinstance(clip, Window):
            return self._drawn(clip)
        first = clip.start_time - (self.duration - self.window) / 2
        rows = self._rows(self.store[0], clip.path, first, self.n)
        return EmbeddingTensor(torch.from_numpy(self._refilled(rows) if self.training else rows))

    def as_item(self, waveform):
        "Embedded here: a batch holds items of one kind"
        if self.store is None:
            return super().as_item(waveform)
        return EmbeddingTensor(self.front_end(torch.from_numpy(waveform)))

    def _drawn(self, clip):
        "Windows that lie in the clip, from a random place of it and in a random view"
        stores = [store for store in self.store if store.get(clip.path)]
        store, start = stores[random.randrange(len(stores))], self._start(clip)
        end = clip.end_time if clip.end_time is not None else start + self.duration
        whole = 1 + int(max(0.0, min(self.duration, end - start) - self.front_end.window) / self.front_end.step + 1e-6)
        return EmbeddingTensor(
            torch.from_numpy(self._refilled(self._rows(store, clip.path, start, min(whole, self.n))))
        )

    def _refilled(self, rows):
        "As many as a batch wants, silence replaced by windows that were heard"
        there = np.flatnonzero(~np.isnan(rows[:, 0]))
        if not len(there):
            there = np.arange(len(rows))
        more = random.choices(there.tolist(), k=self.n - len(there))
        return rows[np.r_[there, np.array(more, int)]]

    def _rows(self, store, path, start, n):
        "The embeddings of `n` windows from the one nearest to `start` (s); NaN beyond the recording"
        entry, out = store.get(path), np.full((n, self.front_end.size), np.nan, np.float32)
        first = round(start / self.front_end.step) + n_before(self.front_end)
        low, high = max(first, 0), min(first + n, entry.length)
        if low < high:
            out[low - first : high - first] = store.rows(entry, low, high)
        return out


def n_before(front_end):
    "Windows that begin before a recording does, and hold its first moments"
    return int(np.ceil(front_end.window / front_end.step)) - 1


def cache_embeddings(recordings, recipe, root=None, *, train=None, backgrounds=None, progress=True):
    """Embed whole recordings, and the training ones (`train`: their paths) once more for each of the recipe's views

    Gives the stores, the clean one first: in the folder `root`, or in memory.
    """
    front_end = EmbedWindows(recipe.backbone, step=recipe.embed_step)
    embedder = front_end.embedder
    settings = {
        "kind": "embedding", "dtype": "float32", "width": front_end.size, "embedder": embedder.name,
        "sha256": embedder.sha256, "step": recipe.embed_step, "sample_rate": front_end.sample_rate,
    }  # fmt: skip
    stores = []
    for view in range(recipe.views + 1):
        how = (
            settings
            if view == 0
            else settings | {"view": view, "seed": recipe.seed} | _augmentation(recipe, backgrounds)
        )
        store = MemoryStore(how) if root is None else Store(root, how)
        change = _View(recipe, view, front_end.window, backgrounds) if view else None

        def make(path, change=change):
            return embed_recording(front_end, path, change), 1.0

        wanted = recordings if view == 0 else recordings[recordings["path"].isin(set(train))]
        fill(store, wanted, make, rows_per_second=1 / recipe.embed_step, progress=progress)
        stores.append(store)
    return stores


def _augmentation(recipe, backgrounds):
    names = ("gain_db", "filter_p", "background", "background_p", "background_snr_low", "background_snr_high")
    return {name: getattr(recipe, name) for name in names} | {"backgrounds": sorted(map(str, backgrounds or []))}


def embed_recording(front_end, path, change=None):
    "Embeddings float32 `(windows, size)` of a recording; the first windows begin before it does, the last with its last sound"
    rate, step, length = front_end.sample_rate, front_end.step, front_end.window
    sound, before = read_clip(path, sample_rate=rate), n_before(front_end)
    n = before + max(1, int(np.ceil(len(sound) / rate / step - 1e-6)))
    padded = np.pad(sound, (round(before * step * rate), round(length * rate)))
    starts, size = (np.arange(n) * step * rate).round().astype(int), round(length * rate)
    parts = []
    for first in range(0, n, _STRETCH):
        windows = np.stack([padded[start : start + size] for start in starts[first : first + _STRETCH]])
        parts.append(front_end.embed(change(windows, path, first) if change else windows))
    return np.concatenate(parts)


class _View:
    "The augmentation of a view: each window gets its own gain, filter and background, the same ones whenever it is made"

    def __init__(self, recipe, view, window, backgrounds):
        self.seed, self.tfms = f"{recipe.seed} {view}", wave_tfms(recipe, 0, window=window, backgrounds=backgrounds)

    def __call__(self, windows, path, first):
        seed = int.from_bytes(blake2b(f"{self.seed} {first} {path}".encode(), digest_size=7).digest(), "little")
        with _DRAWING, torch.random.fork_rng(devices=[]):  # the transforms draw from torch's one generator
            torch.manual_seed(seed)
            audio = AudioTensor(torch.from_numpy(windows)[:, None])
            for tfm in self.tfms:
                audio = tfm(audio, split_idx=0)
        changed = audio.as_subclass(torch.Tensor)[:, 0].numpy()
        return np.where(windows.any(1, keepdims=True), changed, 0).astype(np.float32)  # silence stays silence


def start_head(model, recipe, source, stores):
    "Give a head its start: the size of the embeddings, and the embedder's own rows of the classes that it knows"
    embedder = EmbedWindows(recipe.backbone, step=recipe.embed_step).embedder
    weight, bias = torch.zeros_like(model.linear.weight), torch.zeros_like(model.linear.bias)
    layer = embedder.last_layer() if recipe.start == "known" else None
    if layer is not None:
        found = match_species(source.classes, embedder, source.taxonomy)
        note(str(found))
        known = np.flatnonzero(found.known)
        weight[known] = torch.from_numpy(layer[0][found.index[known]])
        bias[known] = torch.from_numpy(layer[1][found.index[known]])
    model.start_at(weight, bias, scale=_size(stores[0]))


def _size(store):
    "Root mean square norm of the embeddings of some recordings"
    paths = sorted(store.index)[:: max(1, len(store.index) // _SAMPLE)]
    rows = np.concatenate([store.rows(store.get(path), 0, store.get(path).length) for path in paths])
    return float(np.sqrt(np.nanmean((rows.astype(np.float64) ** 2).sum(1))))


class HoldStart(Callback):
    "Draw the head back towards where it began, by `hold` a step at the peak rate: decay towards the start, not towards zero"

    def __init__(self, hold):
        self.hold, self.start = hold, None

    def before_fit(self):
        if self.start is None:
            self.start = [p.detach().clone() for p in self.model.linear.parameters()]

    def after_step(self):
        hyper = self.opt.hypers[-1]
        share = min(1.0, self.hold * hyper["lr"] / self.recipe.lr if isinstance(self.recipe.lr, float) else self.hold)
        with torch.no_grad():
            for p, start in zip(self.model.linear.parameters(), self.start):
                p.lerp_(start.to(p.device), share)
