"""From a source of recordings to fastai DataLoaders: read, plan, build."""

from inspect import signature
from numbers import Integral
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from fastai.data.core import DataLoaders
from fastai.torch_core import default_device, num_distrib

from birdfast.audio.cache import CACHE_ROOT
from birdfast.audio.listing import get_audio_files
from birdfast.audio.npy import is_npy
from birdfast.errors import BirdfastError, unknown
from birdfast.models.backbone import check_model
from birdfast.models.defaults import backbone_lr
from birdfast.notes import note
from birdfast.recipe.auto import AUTO
from birdfast.recipe.presets import get_recipe
from birdfast.recipe.recipe import Recipe
from birdfast.sources.read import read_source
from birdfast.sources.source import WINDOW, check_cache_place
from birdfast.splits.auto import recipe_for
from birdfast.splits.clips import windows_of
from birdfast.splits.plan import plan_training
from birdfast.splits.pseudo import check_pseudo
from birdfast.training import show
from birdfast.training.augment import check_background, check_waveforms
from birdfast.training.blocks import bird_block
from birdfast.training.cached import cached_reader, check_cache
from birdfast.training.distill import check_teacher, load_teacher
from birdfast.training.embeddings import ReadEmbeddings, cache_embeddings
from birdfast.training.loader import BirdDL


def bird_dls(
    source,
    recipe="auto",
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

    `recipe` is "auto", which picks by what is there and says so, a preset's name, a Recipe or a file of one; any knob can
    follow by name: ``bird_dls(folder, epochs=20)``.
    `columns` goes to :func:`~birdfast.sources.read.read_source`, to name the columns of a csv.
    `cache="waveform"` decodes each recording once, into the folder `cache_dir` ("cache"), and cuts the clips from there;
    `cache="spectrogram"` keeps spectrograms, which is faster and an approximation (docs/speed.md).
    `pseudo` is a Parquet or table of soft labels (`path, start_time, end_time`, a column a class; relative paths begin at
    the source's folder; rows whose `fold` is the recipe's are held out), from which the recipe's `pseudo_mix` draws.
    `sides` (path to whether it validates) stands for the split of a run that goes on; what it does not name trains.
    The dls carry `recipe` and `plan`, a :class:`~birdfast.splits.plan.Plan`: `plan.clips`, `plan.source`, `plan.leaks` ...
    """
    _check_names(columns, knobs)
    _check_machine(num_workers, device)
    if recipe == AUTO:
        source = read_source(source, **(columns or {}))
        recipe, knobs = recipe_for(AUTO, source, **knobs), {}
    recipe = get_recipe(recipe, **knobs)
    check_request(recipe, cache)
    check_pseudo(pseudo, recipe)
    source = read_source(source, **(columns or {}))
    check_cache_place(cache_dir, source)
    if source.is_multi and recipe.task == "single":
        recipe = recipe.with_(task="multi", activation="sigmoid", loss="auto" if recipe.loss == "ce" else recipe.loss)
        note("rows name several species, or none: task='multi', each species is learned by itself")
    if is_npy(source.recordings["path"]).any():
        check_waveforms(recipe, "saved spectrograms (.npy)")
    plan = plan_training(source, recipe, pseudo=pseudo, sides=sides, bad_files=bad_files)
    return build_dls(plan, cache=cache, cache_dir=cache_dir, num_workers=num_workers, device=device)


def build_dls(plan, *, cache=None, cache_dir=None, num_workers=None, device=None):
    "The DataLoaders of a plan: they carry `plan` and `recipe`; says what the plan has to say"
    recipe, train = plan.recipe, plan.train
    reader = _reader(plan, cache, cache_dir)
    teacher = load_teacher(recipe, plan.source.classes, train["path"].tolist()) if recipe.distill else None
    block = bird_block(recipe, plan.source.classes, plan.bad_files, reader, teacher, plan.pools)
    dls = _dataloaders(block, plan, num_workers, device)
    dls.plan, dls.recipe = plan, recipe
    for line in plan.lines(device=dls.device, processes=max(1, num_distrib())):
        note(line)
    return dls


def _reader(plan, cache, cache_dir):
    "What reads a plan's clips, from a cache that is filled first where one is wanted; None: from the files"
    recipe = plan.recipe
    if not recipe.embeds:
        return cached_reader(cache, plan.recordings, recipe, plan.bad_files, cache_dir=cache_dir)
    root = (cache_dir or CACHE_ROOT) if cache else None
    backgrounds = _unlabelled(plan.source) if recipe.background == "soundscapes" else None
    stores = cache_embeddings(plan.recordings, recipe, root, train=plan.train["path"], backgrounds=backgrounds)
    return ReadEmbeddings(recipe, stores, plan.bad_files)


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


def _draws(plan):
    "How the DataLoader draws training rows: the recordings' weights, and the windows that each batch holds"
    recipe, options = plan.recipe, {} if plan.weights is None else {"wgts": plan.weights}
    if recipe.soundscape_share:
        windows = np.flatnonzero(plan.train["kind"] == WINDOW)
        options |= {"windows": windows, "n_windows": round(recipe.soundscape_share * recipe.batch_size)}
    return options


class BirdDataLoaders(DataLoaders):
    "DataLoaders that know their recipe, and what a path is"

    def new_empty(self):
        "fastai's forgets the recipe"
        empty = super().new_empty()
        empty.recipe = self.recipe
        return empty

    def show_batch(self, b=None, max_n=6, **kwargs):
        "fastai's; of an embedder's head, whose batches hold no sound, the clips themselves"
        if b is None and self.recipe.embeds:
            return show.show_clips(self.plan.train, self.recipe, max_n, **kwargs)
        return self.train.show_batch(b, max_n, **kwargs)

    def test_dl(self, items, **kwargs):
        "fastai's; a file, a folder or a list of either gives every window of them, as `learn.probabilities` scores them"
        several = [items] if isinstance(items, (str, Path)) else items
        if not isinstance(items, pd.DataFrame) and all(isinstance(item, (str, Path)) for item in several):
            items = windows_of(several, self.recipe.scored)
        return super().test_dl(items, **kwargs)


def _dataloaders(block, plan, num_workers, device):
    datasets = block.datasets(plan.clips)
    datasets._dbunch_type = BirdDataLoaders  # what fastai makes of them
    # On CPU the model needs the cores that workers would take, and one process repeats exactly.
    workers = num_workers if num_workers is not None else (8 if torch.cuda.is_available() else 0)
    size = plan.recipe.batch_size
    return datasets.dataloaders(
        bs=size, val_bs=2 * size, dl_type=BirdDL, dl_kwargs=(_draws(plan), {}), num_workers=workers,
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
