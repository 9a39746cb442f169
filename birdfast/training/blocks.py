"""From a source of recordings to fastai DataLoaders."""

from pathlib import Path

import numpy as np
import pandas as pd
import torch
from fastai.data.block import CategoryBlock, DataBlock, MultiCategoryBlock, TransformBlock
from fastai.data.core import DataLoaders
from fastai.data.transforms import ColSplitter
from fastai.torch_core import default_device
from fastcore.foundation import L

from birdfast.errors import BirdfastError
from birdfast.models.backbone import check_backbone
from birdfast.notes import note
from birdfast.recipe import get_recipe, lr_too_low
from birdfast.recordings.audio import get_audio_files, read_header, read_headers, window_starts
from birdfast.recordings.bad_files import BadFiles
from birdfast.recordings.cache import check_place
from birdfast.recordings.folds import leak_report, split
from birdfast.recordings.labels import check_labels, sampling_weights, targets
from birdfast.recordings.tables import read_source
from birdfast.spectrogram.logmel import LogMel
from birdfast.training import show  # noqa: F401 - registers how fastai draws birdfast's types
from birdfast.training.cached import cached_reader, is_npy, npy_headers
from birdfast.training.loader import BirdDL
from birdfast.training.transforms import AudioToSpec, Clip, MaskFreq, MaskTime, ReadClip


def AudioBlock(sample_rate=32_000, duration=5.0, pad="repeat", logmel=None, bad_files=None):
    "Files or Clips to spectrograms: reads `duration` s, at random in training; `logmel=False` leaves the waveform"
    logmel = LogMel(sample_rate=sample_rate, fmax=min(16_000, sample_rate / 2)) if logmel is None else logmel
    if logmel and logmel.sample_rate != sample_rate:
        raise BirdfastError(
            f"the LogMel is made for {logmel.sample_rate} Hz, the audio is read at {sample_rate} Hz: make them equal"
        )
    batch_tfms = [AudioToSpec(logmel)] if logmel else []
    return TransformBlock(item_tfms=[ReadClip(sample_rate, duration, pad, bad_files)], batch_tfms=batch_tfms)


def recipe_audio_block(recipe, bad_files=None, reader=None):
    "The AudioBlock that a recipe describes, SpecAugment included; `reader` in place of its ReadClip"
    block = AudioBlock(recipe.sample_rate, recipe.duration, recipe.pad, LogMel.from_recipe(recipe), bad_files)
    if reader:
        block.item_tfms = L(reader)
    if recipe.freq_masks:
        block.batch_tfms.append(MaskFreq(recipe.freq_mask_width, recipe.freq_masks, recipe.mask_p))
    if recipe.time_masks:
        block.batch_tfms.append(MaskTime(recipe.time_mask_width, recipe.time_masks, recipe.mask_p))
    return block


def row_clip(row):
    "A row of the clips table to a Clip"
    return Clip(row["path"], row["start_time"], row["end_time"])


def row_label(row):
    "A row of the clips table to its primary label"
    return row["primary_label"]


class RowTargets:
    "A row of the clips table to its multi-hot targets, by the recipe's treatment of secondary labels"

    def __init__(self, classes, recipe):
        self.index = {name: i for i, name in enumerate(classes)}
        self.mode, self.weight = recipe.secondary, recipe.secondary_weight

    def __call__(self, row):
        return targets(row["primary_label"], row["secondary_labels"], self.index, n_classes=len(self.index),
                       secondary_mode=self.mode, secondary_weight=self.weight)  # fmt: skip


def label_block(recipe, classes):
    "The block of targets, and the function that gets them from a row of the clips table"
    if recipe.task == "multi":
        return MultiCategoryBlock(encoded=True, vocab=list(classes)), RowTargets(classes, recipe)
    return CategoryBlock(vocab=list(classes), sort=False), row_label


def bird_block(recipe, classes, bad_files=None, reader=None):
    "The DataBlock of a recipe: clips table in, (AudioSpectrogram, targets) out"
    block, get_y = label_block(recipe, classes)
    return DataBlock(blocks=(recipe_audio_block(recipe, bad_files, reader), block), get_x=row_clip, get_y=get_y,
                     splitter=ColSplitter("is_valid"))  # fmt: skip


def clips_table(recordings, is_valid, recipe):
    "A row for each training recording and for each validation window; `recording` tells which belong together"
    table = recordings.assign(recording=np.arange(len(recordings)), is_valid=is_valid)
    end = table["end_time"].fillna(table["duration"]).clip(upper=table["duration"])
    table = table.assign(start_time=table["start_time"].fillna(0.0), end_time=end)
    train = table[~table["is_valid"]]
    valid = table[table["is_valid"]]
    starts = [_valid_starts(end - start, recipe) for start, end in zip(valid["start_time"], valid["end_time"])]
    windows = valid.loc[valid.index.repeat([len(s) for s in starts])].copy()
    windows["start_time"] += np.concatenate(starts) if starts else []
    windows["end_time"] = np.minimum(windows["end_time"], windows["start_time"] + recipe.duration)
    return pd.concat([train, windows], ignore_index=True)


def _valid_starts(length, recipe):
    "Full windows of a recording, spread evenly over it when there are more than the recipe's cap"
    starts = window_starts(length, window=recipe.duration, last="drop")
    if len(starts) > recipe.max_windows:
        starts = starts[np.linspace(0, len(starts) - 1, recipe.max_windows).round().astype(int)]
    return starts


def readable(recordings, recipe, bad_files):
    "The recordings whose headers can be read, with their `duration`; the others are listed, and stop the run if they are many"
    headers = _headers(recordings["path"], recipe)
    broken = headers["error"].notna().to_numpy()
    for path, error in headers.loc[broken, ["path", "error"]].itertuples(index=False):
        bad_files.add(path, error)
    check_bad_share(bad_files, len(recordings), recipe.max_bad)
    if broken.any():
        note(f"{broken.sum()} of {len(recordings)} recordings cannot be read and are left out: {bad_files.path}")
    found = {name: headers[name].to_numpy() for name in ("duration", "sample_rate")}
    return recordings.assign(**found)[~broken].reset_index(drop=True)


def _headers(paths, recipe):
    saved = is_npy(paths)
    if saved.any() and not saved.all():
        raise BirdfastError(
            f"{saved.sum()} of {len(saved)} recordings are .npy spectrograms, the others sound: train one kind"
        )
    return npy_headers(paths, recipe) if saved.any() else read_headers(paths, progress=True)


def check_bad_share(bad_files, n, max_bad):
    "Raise if more than the share `max_bad` of `n` files is unreadable"
    n_bad = len(bad_files)
    if n_bad > max_bad * n:
        worst = "; ".join(f"{r.path}: {r.reason}" for r in bad_files.table().head(3).itertuples())
        raise BirdfastError(
            f"{n_bad} of {n} recordings cannot be read, more than the recipe's max_bad={max_bad:.0%}: {worst}. "
            f"The whole list is in {bad_files.path}; mend or remove the files, or raise max_bad"
        )


def bird_dls(
    source,
    recipe="improved",
    *,
    num_workers=None,
    device=None,
    bad_files=None,
    columns=None,
    cache=None,
    cache_dir=None,
    **knobs,
):
    """DataLoaders for a folder, a csv, a table or a :class:`~birdfast.recordings.tables.Source`.

    `recipe` is a preset's name, a Recipe or a file of one; any knob can follow by name: ``bird_dls(folder, epochs=20)``.
    `columns` goes to :func:`~birdfast.recordings.tables.read_source`, to name the columns of a csv.
    `cache="waveform"` decodes each recording once, into the folder `cache_dir` ("cache"), and cuts the clips from there;
    `cache="spectrogram"` keeps spectrograms, which is faster and an approximation (docs/speed.md).
    The dls carry `recipe`, `source`, `clips`, `leaks` and `bad_files`.
    """
    recipe = get_recipe(recipe, **knobs)
    check_backbone(recipe.backbone)  # before a long look at the data
    _check_workers(num_workers)
    source = read_source(source, **(columns or {}))
    check_labels(source.recordings, source.classes)
    check_place(cache_dir, source)
    bad_files = BadFiles() if bad_files is None else bad_files
    recordings = readable(source.recordings, recipe, bad_files)
    is_valid = split(recordings, n_folds=recipe.n_folds, fold=recipe.fold, group=recipe.group, seed=recipe.seed)
    clips = clips_table(recordings, is_valid, recipe)
    train = clips[~clips["is_valid"]]
    _check_train(train, recipe)
    _check_rate(recordings, recipe)
    weights = sampling_weights(
        train["primary_label"], power=recipe.sampling_power, floor=recipe.sampling_floor, cap=recipe.sampling_cap
    )
    reader = cached_reader(cache, recordings, recipe, bad_files, cache_dir=cache_dir)
    block = bird_block(recipe, source.classes, bad_files, reader)
    dls = _dataloaders(block, clips, weights, recipe, num_workers, device)
    dls.recipe, dls.source, dls.clips, dls.bad_files = recipe, source, clips, bad_files
    dls.leaks = leak_report(recordings, is_valid)
    _introduce(dls, recordings, is_valid)
    return dls


def windows_of(paths, duration, step=None):
    "A row a window of `duration` s for a file, a folder or a list of either"
    paths = [paths] if isinstance(paths, (str, Path)) else list(paths)
    files = [f for p in paths for f in (get_audio_files(p) if Path(p).is_dir() else [p])]
    rows = []
    for file in files:
        starts = window_starts(read_header(file).duration, window=duration, step=step)
        rows += [(str(file), start, start + duration) for start in starts]
    return pd.DataFrame(rows, columns=["path", "start_time", "end_time"])


class BirdDataLoaders(DataLoaders):
    "DataLoaders that know their recipe, and what a path is"

    def new_empty(self):
        "fastai's forgets the recipe"
        empty = super().new_empty()
        empty.recipe = self.recipe
        return empty

    def test_dl(self, items, **kwargs):
        "fastai's; a file, a folder or a list of either gives every window of them, as `learn.probabilities` scores them"
        several = [items] if isinstance(items, (str, Path)) else items
        if not isinstance(items, pd.DataFrame) and all(isinstance(item, (str, Path)) for item in several):
            items = windows_of(several, self.recipe.duration)
        return super().test_dl(items, **kwargs)


def _dataloaders(block, clips, weights, recipe, num_workers, device):
    datasets = block.datasets(clips)
    datasets._dbunch_type = BirdDataLoaders  # what fastai makes of them
    options = {"wgts": weights} if recipe.sampling_power else {}
    # On CPU the model needs the cores that workers would take, and one process repeats exactly.
    workers = num_workers if num_workers is not None else (8 if torch.cuda.is_available() else 0)
    return datasets.dataloaders(
        bs=recipe.batch_size, val_bs=2 * recipe.batch_size, dl_type=BirdDL, dl_kwargs=(options, {}), num_workers=workers,
        device=device, after_item=block.item_tfms, after_batch=block.batch_tfms, persistent_workers=workers > 0,
        pin_memory=torch.cuda.is_available() and torch.device(device or default_device()).type == "cuda",
    )  # fmt: skip


def _check_workers(num_workers):
    if num_workers is not None and num_workers < 0:
        raise BirdfastError(f"num_workers={num_workers}: give 0 to read in this process, or a number of processes")


def _check_train(train, recipe):
    if len(train) < recipe.batch_size:
        raise BirdfastError(
            f"{len(train)} training recordings are fewer than batch_size={recipe.batch_size}: "
            f"give batch_size={max(1, len(train) // 4)} or more recordings"
        )


def _check_rate(recordings, recipe):
    "A front end that looks above what the recordings hold sees only silence there"
    low = recordings["sample_rate"] < 2 * recipe.fmax
    if low.any():
        top = int(recordings.loc[low, "sample_rate"].min()) // 2
        note(
            f"{low.sum()} of {len(recordings)} recordings hold no sound up to fmax={recipe.fmax:.0f} Hz: consider fmax={top}"
        )


def _introduce(dls, recordings, is_valid):
    "Say what was found"
    source, n_valid = dls.source, int(is_valid.sum())
    authors = recordings["author"].nunique()
    note(
        f"{source.layout}: {len(source.classes)} classes, {len(recordings)} recordings "
        f"({len(recordings) - n_valid} to train, {n_valid} to validate) by {authors} recordists; device {dls.device}"
    )
    note(dls.leaks.line())
    if lr_too_low(dls.recipe.lr, len(recordings)):
        note(
            f"lr={dls.recipe.lr:g} suits tens of thousands of recordings, not {len(recordings)}: "
            "consider lr='auto', or recipe='small'"
        )
