"""From a source of recordings to fastai DataLoaders."""

from pathlib import Path

import numpy as np
import pandas as pd
import torch
from fastai.data.block import CategoryBlock, DataBlock, MultiCategoryBlock, TransformBlock
from fastai.data.core import DataLoaders
from fastai.data.transforms import ColSplitter, EncodedMultiCategorize, MultiCategory
from fastai.torch_core import default_device, num_distrib
from fastcore.foundation import L

from birdfast.errors import BirdfastError
from birdfast.models.backbone import check_backbone
from birdfast.notes import note
from birdfast.recipe import epoch_steps, get_recipe, lr_too_low
from birdfast.recordings.audio import get_audio_files, read_header, read_headers, window_starts
from birdfast.recordings.bad_files import BadFiles
from birdfast.recordings.cache import check_place
from birdfast.recordings.folds import leak_report, split
from birdfast.recordings.labelled import inside_files, is_window, site_of, soundscape_folds, with_windows
from birdfast.recordings.labels import check_labels, sampling_weights, sum_to, targets
from birdfast.recordings.no_call import with_no_call
from birdfast.recordings.tables import read_source
from birdfast.spectrogram.logmel import LogMel
from birdfast.training import show  # noqa: F401 - registers how fastai draws birdfast's types
from birdfast.training.augment import check_waveforms, wave_tfms
from birdfast.training.cached import ReadLevels, cached_reader, check_whole, is_npy, npy_headers
from birdfast.training.distill import load_teacher
from birdfast.training.loader import BirdDL
from birdfast.training.pools import AddWindow, labelled_pool, multi_hot, not_validated, pseudo_pool, read_pseudo
from birdfast.training.transforms import AudioToSpec, Clip, Cue, MaskFreq, MaskTime, ReadClip, Window


def AudioBlock(sample_rate=32_000, duration=5.0, pad="repeat", logmel=None, bad_files=None, window=0.0):
    "Files or Clips to spectrograms: reads `duration` s, at random in training; `logmel=False` leaves the waveform"
    logmel = LogMel(sample_rate=sample_rate, fmax=min(16_000, sample_rate / 2)) if logmel is None else logmel
    if logmel and logmel.sample_rate != sample_rate:
        raise BirdfastError(
            f"the LogMel is made for {logmel.sample_rate} Hz, the audio is read at {sample_rate} Hz: make them equal"
        )
    batch_tfms = [AudioToSpec(logmel)] if logmel else []
    return TransformBlock(item_tfms=[ReadClip(sample_rate, duration, pad, bad_files, window)], batch_tfms=batch_tfms)


def recipe_audio_block(recipe, bad_files=None, reader=None, n_classes=None):
    "The AudioBlock that a recipe describes, augmentation included; `reader` in place of its ReadClip"
    logmel = LogMel.from_recipe(recipe)
    block = AudioBlock(recipe.sample_rate, recipe.duration, recipe.pad, logmel, bad_files, recipe.window)
    if reader:
        block.item_tfms = L(reader)
    block.batch_tfms += wave_tfms(recipe, n_classes)
    if recipe.freq_masks:
        block.batch_tfms.append(MaskFreq(recipe.freq_mask_width, recipe.freq_masks, recipe.mask_p))
    if recipe.time_masks:
        block.batch_tfms.append(MaskTime(recipe.time_mask_width, recipe.time_masks, recipe.mask_p))
    return block


def row_clip(row):
    "A row of the clips table to a Clip, or to a Window of a soundscape"
    kind = Window if isinstance(row.get("labels"), tuple) else Clip
    return kind(row["path"], row["start_time"], row["end_time"])


def row_label(row):
    "A row of the clips table to its primary label"
    return row["primary_label"]


class RowTargets:
    """A row of the clips table to its targets, by the recipe's treatment of secondary labels; of a window all labels are known.

    Where clips have one label, those of a training window share its weight, as soft targets.
    """

    def __init__(self, classes, recipe):
        self.classes, self.index = list(classes), {name: i for i, name in enumerate(classes)}
        self.mode, self.weight, self.single = recipe.secondary, recipe.secondary_weight, recipe.task == "single"

    def __call__(self, row):
        if isinstance(row.get("labels"), tuple):
            heard = multi_hot([row["labels"]], self.classes)
            return (sum_to(heard, 1.0) if self.single and not row["is_valid"] else heard)[0]
        return targets(row["primary_label"], row["secondary_labels"], self.index, n_classes=len(self.index),
                       secondary_mode=self.mode, secondary_weight=self.weight)  # fmt: skip


class SoftCategorize(EncodedMultiCategorize):
    "Soft targets of clips that have one label: shown are the classes with a tenth or more, of a decision the one"

    def decodes(self, o):
        return MultiCategory([self.vocab[int(i)] for i in (o[None] if o.ndim == 0 else (o >= 0.1).nonzero().flatten())])


def hears_soundscapes(recipe):
    "Whether labelled windows of soundscapes are trained on, and validated"
    return recipe.soundscape_share > 0 or recipe.soundscape_mix > 0


def label_block(recipe, classes):
    "The block of targets, and the function that gets them from a row of the clips table"
    if recipe.task == "multi":
        return MultiCategoryBlock(encoded=True, vocab=list(classes)), RowTargets(classes, recipe)
    if hears_soundscapes(recipe) or recipe.pseudo_mix:
        return TransformBlock(type_tfms=[SoftCategorize(list(classes))]), RowTargets(classes, recipe)
    return CategoryBlock(vocab=list(classes), sort=False), row_label


def row_cue(row):
    "A row of the clips table to a Cue"
    return Cue(row["path"], row["start_time"], row["end_time"])


def bird_block(recipe, classes, bad_files=None, reader=None, teacher=None, pools=()):
    "The DataBlock of a recipe: clips table in, (AudioSpectrogram, targets) out; `pools` are mixed in, a `teacher` says its part"
    block, get_y = label_block(recipe, classes)
    audio = recipe_audio_block(recipe, bad_files, reader, len(classes))
    blocks, options = (audio, block), {"get_y": get_y, "item_tfms": [AddWindow(list(pools))] if pools else []}
    if teacher is not None:
        next(t for t in audio.item_tfms if isinstance(t, ReadClip)).teacher = teacher
        blocks, options = (*blocks, TransformBlock()), options | {"get_y": [get_y, row_cue], "n_inp": 1}
    return DataBlock(blocks=blocks, get_x=row_clip, splitter=ColSplitter("is_valid"), **options)


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
    windows["end_time"] = np.minimum(windows["end_time"], windows["start_time"] + recipe.scored)
    return pd.concat([train, windows], ignore_index=True)


def _valid_starts(length, recipe):
    "Full windows of a recording, spread evenly over it when there are more than the recipe's cap"
    starts = window_starts(length, window=recipe.scored, last="drop")
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
    pseudo=None,
    **knobs,
):
    """DataLoaders for a folder, a csv, a table or a :class:`~birdfast.recordings.tables.Source`.

    `recipe` is a preset's name, a Recipe or a file of one; any knob can follow by name: ``bird_dls(folder, epochs=20)``.
    `columns` goes to :func:`~birdfast.recordings.tables.read_source`, to name the columns of a csv.
    `cache="waveform"` decodes each recording once, into the folder `cache_dir` ("cache"), and cuts the clips from there;
    `cache="spectrogram"` keeps spectrograms, which is faster and an approximation (docs/speed.md).
    `pseudo` is a Parquet or table of soft labels (`path, start_time, end_time`, a column a class; rows whose `fold` is the
    recipe's are held out), from which the recipe's `pseudo_mix` draws.
    The dls carry `recipe`, `source`, `clips`, `pools`, `leaks`, `bad_files` and, for distillation, `teacher`.
    """
    recipe = get_recipe(recipe, **knobs)
    if cache == "spectrogram":
        check_waveforms(recipe, "cache='spectrogram'")
        check_whole(recipe)

    check_backbone(recipe.backbone)  # before a long look at the data
    _check_workers(num_workers)
    source = read_source(source, **(columns or {}))
    if recipe.no_call:
        source = with_no_call(source)
    check_labels(source.recordings, source.classes)
    if is_npy(source.recordings["path"]).any():
        check_waveforms(recipe, "saved spectrograms (.npy)")
    check_place(cache_dir, source)
    pseudo = read_pseudo(pseudo, source.classes, recipe)
    table = with_windows(source) if hears_soundscapes(recipe) else source.recordings
    bad_files = BadFiles() if bad_files is None else bad_files
    recordings = inside_files(readable(table, recipe, bad_files))
    is_valid = split_both(recordings, recipe)
    if pseudo is not None:
        pseudo = not_validated(pseudo, recordings, is_valid, recipe.soundscape_group)
    clips = clips_table(recordings, is_valid, recipe)
    pools = _pools(clips, pseudo, source.classes, recipe)
    clips = _without_pool(clips, recipe)
    train = clips[~clips["is_valid"]]
    _check_train(train, recipe)
    _check_rate(recordings, recipe)
    reader = cached_reader(cache, recordings, recipe, bad_files, cache_dir=cache_dir)
    _check_waveforms(reader, pools)
    teacher = load_teacher(recipe, source.classes, train["path"].tolist()) if recipe.distill else None
    block = bird_block(recipe, source.classes, bad_files, reader, teacher, pools)
    dls = _dataloaders(block, clips, _draws(train, recipe), recipe, num_workers, device)
    dls.recipe, dls.source, dls.clips, dls.pools, dls.bad_files = recipe, source, clips, pools, bad_files
    dls.teacher, dls.leaks = teacher, leak_report(*_all_heard(recordings, is_valid, pseudo), group=recipe.group)
    _introduce(dls, recordings, is_valid)
    return dls


def split_both(recordings, recipe):
    "Which rows validate: recordings by `split`, labelled soundscapes by site or file"
    windows = is_window(recordings)
    is_valid = np.zeros(len(recordings), bool)
    is_valid[~windows] = split(recordings[~windows].reset_index(drop=True), n_folds=recipe.n_folds, fold=recipe.fold,
                               group=recipe.group, seed=recipe.seed)  # fmt: skip
    if windows.any():
        folds = soundscape_folds(recordings.loc[windows, "path"], folds=range(recipe.n_folds),
                                 group=recipe.soundscape_group, seed=recipe.seed)  # fmt: skip
        is_valid[windows] = folds == recipe.fold
    return is_valid


def _pools(clips, pseudo, classes, recipe):
    "What is mixed into recordings: pseudo-labelled windows first, then labelled ones for clips that got none"
    pools = [] if pseudo is None else [pseudo_pool(pseudo, classes, recipe)]
    return pools + ([labelled_pool(clips[~clips["is_valid"]], classes, recipe)] if recipe.soundscape_mix else [])


def _without_pool(clips, recipe):
    "The clips of which batches are made: without a share in them, training windows are only mixed in"
    only_mixed = is_window(clips) & ~clips["is_valid"].to_numpy() & (recipe.soundscape_share == 0)
    return clips[~only_mixed].reset_index(drop=True)


def _check_waveforms(reader, pools):
    if pools and isinstance(reader, ReadLevels):
        raise BirdfastError(
            "soundscape_mix and pseudo_mix mix waveforms, and spectrograms that are made ahead hold none: "
            "use cache='waveform', or set them to 0"
        )


def _draws(train, recipe):
    "How the DataLoader draws training rows: the recordings' weights, and the windows that each batch holds"
    windows, options = is_window(train), {}
    if recipe.sampling_power:
        weights = np.zeros(len(train))
        weights[~windows] = sampling_weights(train["primary_label"][~windows], power=recipe.sampling_power,
                                             floor=recipe.sampling_floor, cap=recipe.sampling_cap)  # fmt: skip
        options["wgts"] = weights
    if recipe.soundscape_share:
        n_windows = round(recipe.soundscape_share * recipe.batch_size)
        if not 0 < n_windows < recipe.batch_size:
            raise BirdfastError(
                f"soundscape_share={recipe.soundscape_share:g} of batch_size={recipe.batch_size} is {n_windows} windows: "
                f"give {1 / recipe.batch_size:g} or more, and less than 1"
            )
        options |= {"windows": np.flatnonzero(windows), "n_windows": n_windows}
    return options


def _all_heard(recordings, is_valid, pseudo):
    "Every file that is trained on or validates, for the leak report"
    if pseudo is None:
        return recordings, is_valid
    paths = pseudo["path"].drop_duplicates().to_numpy()
    more = pd.DataFrame(
        {"path": paths, "primary_label": "", "author": pd.NA, "site": [site_of(path) for path in paths]}
    )
    return pd.concat([recordings, more], ignore_index=True), np.append(is_valid, np.zeros(len(more), bool))


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
            items = windows_of(several, self.recipe.scored)
        return super().test_dl(items, **kwargs)


def _dataloaders(block, clips, draws, recipe, num_workers, device):
    datasets = block.datasets(clips)
    datasets._dbunch_type = BirdDataLoaders  # what fastai makes of them
    # On CPU the model needs the cores that workers would take, and one process repeats exactly.
    workers = num_workers if num_workers is not None else (8 if torch.cuda.is_available() else 0)
    return datasets.dataloaders(
        bs=recipe.batch_size, val_bs=2 * recipe.batch_size, dl_type=BirdDL, dl_kwargs=(draws, {}), num_workers=workers,
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
            f"give batch_size={epoch_steps(len(train), recipe.batch_size)[1]} or more recordings"
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
    source, windows = dls.source, is_window(recordings)
    _introduce_soundscapes(dls.pools, recordings[windows], is_valid[windows])
    recordings, n_valid = recordings[~windows], int(is_valid[~windows].sum())
    authors = recordings["author"].nunique()
    by = f" by {authors} recordists" if authors else ", recordists unknown"
    note(
        f"{source.layout}: {len(source.classes)} classes, {len(recordings)} recordings "
        f"({len(recordings) - n_valid} to train, {n_valid} to validate){by}; device {dls.device}"
    )
    note(dls.leaks.line())
    if not dls.leaks.known:
        note("name the column of recordists (author), or another whose equal values belong together (group)")
    _note_steps(len(recordings) - n_valid, dls.recipe)
    if lr_too_low(dls.recipe.lr, len(recordings)):
        note(
            f"lr={dls.recipe.lr:g} suits tens of thousands of recordings, not {len(recordings)}: "
            "consider lr='auto', or recipe='small'"
        )


def _note_steps(n_train, recipe):
    "Say how many steps an epoch has, and what to do where they are few"
    steps, smaller = epoch_steps(n_train // max(1, num_distrib()), recipe.batch_size)
    few = f": few to learn from, consider batch_size={smaller}" if smaller else ""
    note(f"{steps} (batch_size={recipe.batch_size}){few}")


def _introduce_soundscapes(pools, windows, is_valid):
    if len(windows):
        files, sites = windows["path"].nunique(), windows["site"].nunique()
        note(
            f"labelled soundscapes: {len(windows)} windows of {files} files at {sites} sites "
            f"({(~is_valid).sum()} to train, {is_valid.sum()} to validate)"
        )
    if pools:
        note(f"mixed into clips of recordings: {', '.join(map(repr, pools))}")
