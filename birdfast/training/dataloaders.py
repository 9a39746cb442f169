"""From a source of recordings to fastai DataLoaders."""

from inspect import signature
from numbers import Integral
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from fastai.data.core import DataLoaders
from fastai.torch_core import default_device, num_distrib

from birdfast.audio.bad_files import BadFiles
from birdfast.audio.cache import CACHE_ROOT
from birdfast.audio.npy import is_npy
from birdfast.audio.read import get_audio_files
from birdfast.errors import BirdfastError, unknown
from birdfast.models.backbone import check_model
from birdfast.models.defaults import backbone_lr
from birdfast.notes import note
from birdfast.recipe.advice import epoch_steps, lr_too_low
from birdfast.recipe.presets import get_recipe
from birdfast.recipe.recipe import Recipe
from birdfast.sources.labels import check_labels, sampling_weights
from birdfast.sources.no_call import with_no_call
from birdfast.sources.read import read_source
from birdfast.sources.soundscapes import site_of
from birdfast.sources.source import check_cache_place
from birdfast.splits.clips import clips_table, readable, windows_of
from birdfast.splits.folds import leak_report
from birdfast.splits.sides import is_window, known_sides, split_both, with_windows
from birdfast.training import show  # noqa: F401 - registers how fastai draws birdfast's types
from birdfast.training.augment import check_background, check_waveforms
from birdfast.training.blocks import bird_block
from birdfast.training.cached import cached_reader, check_cache
from birdfast.training.distill import check_teacher, load_teacher
from birdfast.training.embeddings import ReadEmbeddings, cache_embeddings
from birdfast.training.loader import BirdDL
from birdfast.training.pools import check_pseudo, labelled_pool, not_validated, pseudo_pool, read_pseudo
from birdfast.training.run_folder import as_given


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
    sides=None,
    **knobs,
):
    """DataLoaders for a folder, a csv, a table or a :class:`~birdfast.sources.read.Source`.

    `recipe` is a preset's name, a Recipe or a file of one; any knob can follow by name: ``bird_dls(folder, epochs=20)``.
    `columns` goes to :func:`~birdfast.sources.read.read_source`, to name the columns of a csv.
    `cache="waveform"` decodes each recording once, into the folder `cache_dir` ("cache"), and cuts the clips from there;
    `cache="spectrogram"` keeps spectrograms, which is faster and an approximation (docs/speed.md).
    `pseudo` is a Parquet or table of soft labels (`path, start_time, end_time`, a column a class; relative paths begin at
    the source's folder; rows whose `fold` is the recipe's are held out), from which the recipe's `pseudo_mix` draws.
    `sides` (path to whether it validates) stands for the split of a run that goes on; what it does not name trains.
    The dls carry `recipe`, `source`, `clips`, `pools`, `leaks`, `n_files`, `bad_files` and, for distillation, `teacher`.
    """
    _check_names(columns, knobs)
    recipe = get_recipe(recipe, **knobs)
    check_request(recipe, cache)
    check_pseudo(pseudo, recipe)
    _check_machine(num_workers, device)
    given = as_given(source, columns, pseudo) if isinstance(source, (str, Path)) else {}
    source = read_source(source, **(columns or {}))
    if recipe.no_call:
        source = with_no_call(source)
    check_labels(source.recordings, source.classes)
    if is_npy(source.recordings["path"]).any():
        check_waveforms(recipe, "saved spectrograms (.npy)")
    check_cache_place(cache_dir, source)
    pseudo = read_pseudo(pseudo, source, recipe)
    table = with_windows(source) if recipe.hears_soundscapes else source.recordings
    bad_files = BadFiles() if bad_files is None else bad_files
    recordings = readable(table, recipe, bad_files)
    is_valid = split_both(recordings, recipe) if sides is None else known_sides(recordings, sides)
    if recipe.hears_soundscapes:
        _check_windows(table, recordings, is_valid)
    if pseudo is not None:
        pseudo = not_validated(pseudo, recordings, is_valid, recipe.soundscape_group)
    clips = clips_table(recordings, is_valid, recipe)
    pools = _pools(clips, pseudo, source.classes, recipe)
    clips = _without_pool(clips, recipe)
    train = clips[~clips["is_valid"]]
    _check_train(train, recipe)
    _check_rate(recordings, recipe)
    if recipe.embeds:
        root = (cache_dir or CACHE_ROOT) if cache else None
        backgrounds = _unlabelled(source) if recipe.background == "soundscapes" else None
        stores = cache_embeddings(recordings, recipe, root, train=train["path"], backgrounds=backgrounds)
        reader = ReadEmbeddings(recipe, stores, bad_files)
    else:
        reader = cached_reader(cache, recordings, recipe, bad_files, cache_dir=cache_dir)
    teacher = load_teacher(recipe, source.classes, train["path"].tolist()) if recipe.distill else None
    block = bird_block(recipe, source.classes, bad_files, reader, teacher, pools)
    dls = _dataloaders(block, clips, _draws(train, recipe), recipe, num_workers, device)
    dls.recipe, dls.source, dls.clips, dls.pools, dls.bad_files = recipe, source, clips, pools, bad_files
    dls.given = given  # for the folder of a run
    dls.n_files = table["path"].nunique()  # those that cannot be read as well
    dls.teacher, dls.leaks = teacher, leak_report(*_all_heard(recordings, is_valid, pseudo), group=recipe.group)
    _introduce(dls, recordings, is_valid)
    return dls


def _unlabelled(source):
    "Soundscapes without labels, for background"
    labelled = set() if source.soundscapes is None else set(source.soundscapes["path"])
    files = (
        [] if source.unlabelled is None else [f for f in get_audio_files(source.unlabelled) if str(f) not in labelled]
    )
    if not files:
        raise BirdfastError(
            "background='soundscapes' wants soundscapes without labels, and there are none: set it to ''"
        )
    return files


def _check_names(columns, knobs):
    "What names columns goes into `columns`, and nothing else does"
    names = list(signature(read_source).parameters)[1:]
    for name in columns or {}:
        if name not in names:
            raise unknown("name in columns", name, names)
    for name in knobs:
        if name in names and name not in Recipe.__dataclass_fields__:
            raise BirdfastError(f"{name} is no knob of the recipe, it goes into columns: columns=dict({name}=...)")


def check_request(recipe, cache=None):
    "Refuse, before a long look at the data, a training that would fail whatever they are"
    check_model(recipe)
    if recipe.lr == "backbone":
        backbone_lr(recipe.backbone)  # raises where none is known
    check_cache(cache, recipe)
    if recipe.distill:
        check_teacher(Path(recipe.distill))
    if recipe.background and not (recipe.embeds and recipe.background == "soundscapes"):
        check_background(recipe.background)


def _pools(clips, pseudo, classes, recipe):
    "What is mixed into recordings: labelled windows, which are few and true; then pseudo-labelled ones, for clips that got none"
    pools = [labelled_pool(clips[~clips["is_valid"]], classes, recipe)] if recipe.soundscape_mix else []
    return pools if pseudo is None else [*pools, pseudo_pool(pseudo, classes, recipe)]


def _without_pool(clips, recipe):
    "The clips of which batches are made: without a share in them, training windows are only mixed in"
    only_mixed = is_window(clips) & ~clips["is_valid"].to_numpy() & (recipe.soundscape_share == 0)
    return clips[~only_mixed].reset_index(drop=True)


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


def _check_machine(num_workers, device):
    if num_workers is not None and not (isinstance(num_workers, Integral) and num_workers >= 0):
        raise BirdfastError(f"num_workers={num_workers!r}: give 0 to read in this process, or a number of processes")
    try:
        wanted = None if device is None else torch.device(device).type
    except RuntimeError:
        raise BirdfastError(f"device={device!r} is none of PyTorch's: give 'cpu' or 'cuda', or leave it out") from None
    if wanted == "cuda" and not torch.cuda.is_available():
        raise BirdfastError(f"device={str(device)!r}: PyTorch finds no GPU here; leave device out, or give 'cpu'")


def _check_train(train, recipe):
    if len(train) < recipe.batch_size:
        raise BirdfastError(
            f"{len(train)} training recordings are fewer than batch_size={recipe.batch_size}: "
            f"give batch_size={epoch_steps(len(train), recipe.batch_size)[1]} or more recordings"
        )


def _check_windows(table, recordings, is_valid):
    "Labelled windows of soundscapes that the recipe wants must be there to train on"
    windows = is_window(recordings)
    if not (windows & ~is_valid).any():
        n = int(is_window(table).sum())
        raise BirdfastError(
            f"no labelled window of a soundscape is left to train on: of {n}, {n - windows.sum()} lie in soundscapes that "
            f"cannot be read, and {(windows & is_valid).sum()} validate. Put the soundscapes in their place, take another "
            "fold, or set soundscape_share and soundscape_mix to 0"
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
        named = "name the column of recordists (author), or another whose equal values belong together (group)"
        note("a csv with a column author can tell" if source.layout == "folder per class" else named)
    _note_steps(int((~dls.clips["is_valid"]).sum()), dls.recipe)
    if lr_too_low(dls.recipe.lr, len(recordings)):
        note(
            f"lr={dls.recipe.lr:g} suits tens of thousands of recordings, not {len(recordings)}: "
            "consider lr='auto', or recipe='small'"
        )
    _note_average(dls.recipe)


def _note_steps(n_train, recipe):
    "Say how many steps an epoch has, and what to do where they are few"
    steps, smaller = epoch_steps(n_train // max(1, num_distrib()), recipe.batch_size)
    few = f": few to learn from, consider batch_size={smaller}" if smaller else ""
    note(f"{steps} (batch_size={recipe.batch_size}){few}")


def _note_average(recipe):
    "Weights that hardly move are not worth averaging"
    if recipe.swa and recipe.schedule != "constant":
        note(
            f"swa={recipe.swa:g} averages the last epochs, in which schedule={recipe.schedule!r} lets the rate fall to "
            "nothing, so that their weights hardly differ: consider schedule='constant'"
        )


def _introduce_soundscapes(pools, windows, is_valid):
    if len(windows):
        files, sites = windows["path"].nunique(), windows["site"].nunique()
        note(
            f"labelled soundscapes: {len(windows)} windows of {files} files at {sites} sites "
            f"({(~is_valid).sum()} to train, {is_valid.sum()} to validate)"
        )
    if pools:
        note(f"mixed into clips of recordings: {', '.join(map(repr, pools))}")
