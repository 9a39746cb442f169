"Windows of soundscapes that are mixed into the clips of recordings: labelled ones, and pseudo-labelled ones"

import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from fastai.data.transforms import TensorMultiCategory
from fasttransform import ItemTransform

from birdfast.errors import BirdfastError
from birdfast.notes import note
from birdfast.sources.columns import absolute_paths
from birdfast.sources.labels import confidence_weights, sum_at_most, sum_to
from birdfast.sources.pseudo import check_pseudo_file
from birdfast.sources.soundscapes import site_of
from birdfast.spectrogram.functional import union
from birdfast.splits.sides import is_window
from birdfast.training.transforms import ORDER, Window

INDEX = ["path", "start_time", "end_time"]


class Pool:
    "Windows (a table `path, start_time, end_time`), their targets `(n, n_classes)`, how often a clip gets one, and which"

    def __init__(self, windows, targets, p, weights=None, substitute=False):
        self.windows = [windows[name].to_numpy() for name in INDEX]
        self.targets, self.p, self.substitute = torch.from_numpy(np.float32(targets)), p, substitute
        self.upto = np.cumsum(np.full(len(targets), 1 / len(targets)) if weights is None else weights)

    def __len__(self):
        return len(self.targets)

    def __repr__(self):
        return f"Pool({len(self)} windows of {len(set(self.windows[0]))} soundscapes, p={self.p:g})"

    def draw(self):
        "A window and its targets"
        i = min(int(np.searchsorted(self.upto, random.random())), len(self) - 1)
        path, start, end = (column[i] for column in self.windows)
        return Window(str(path), float(start), float(end)), self.targets[i]


class AddWindow(ItemTransform):
    """Give a recording's clip, before it is read, a window of one of the `pools`, and its labels beside its own; training only

    `no_call` says that the last class is that of clips without a call, which a clip with a window in it is not.
    """

    split_idx, order, _retain = 0, ORDER["AddWindow"], False

    def __init__(self, pools, no_call=False):
        super().__init__()
        self.pools, self.no_call = pools, no_call

    def __call__(self, x, **kwargs):
        out = super().__call__(x, **kwargs)
        return tuple(out) if isinstance(x, tuple) else out  # what comes as a list is not transformed further

    def encodes(self, xy):
        clip, y = xy
        # The first pool that wants it takes the clip: a labelled and a pseudo-labelled window never meet in one.
        pool = next((pool for pool in self.pools if random.random() < pool.p), None)
        if pool is None or isinstance(clip, Window):
            return clip, y
        window, targets = pool.draw()
        if pool.substitute:
            return window, TensorMultiCategory(targets.clone())
        both = union(y.as_subclass(torch.Tensor), targets)
        if self.no_call:
            both[-1] = 0.0
        return replace(clip, added=window), TensorMultiCategory(both)


def multi_hot(labels, classes):
    "Tuples of labels to targets `(n, n_classes)`"
    index, out = {name: i for i, name in enumerate(classes)}, np.zeros((len(labels), len(classes)), np.float32)
    for row, names in zip(out, labels):
        row[[index[name] for name in names]] = 1.0
    return out


def labelled_pool(train, classes, recipe):
    "The labelled windows among the training rows, as the recipe wants them mixed in (BirdCLEF 2026, 1st place)"
    windows = train[is_window(train)]
    return Pool(
        windows, sum_to(multi_hot(windows["labels"], classes), recipe.soundscape_label_sum), recipe.soundscape_mix
    )


def pseudo_pool(pseudo, classes, recipe):
    "Pseudo-labelled windows as the recipe wants them: files drawn by confidence, labels sharpened, their sum capped"
    values = pseudo[list(classes)].to_numpy(np.float32)
    targets = sum_at_most(values**recipe.pseudo_power, recipe.pseudo_label_sum)
    weights = confidence_weights(pseudo["path"], values)
    return Pool(pseudo, targets, recipe.pseudo_mix, weights, substitute=recipe.pseudo_how == "substitute")


def check_pseudo(pseudo, recipe):
    "Pseudo-labels and a recipe that draws from them go together; raises where there are none at their path, too"
    if (pseudo is None) != (recipe.pseudo_mix == 0):
        remedy = (
            "needs pseudo-labels: give pseudo='pseudo.parquet' (at the shell --pseudo FILE; birdfast pseudo makes one), or "
            "set pseudo_mix=0"
            if pseudo is None
            else "uses none of the pseudo-labels: set pseudo_mix=1 (at the shell --set pseudo_mix=1), or leave them out"
        )
        raise BirdfastError(f"pseudo_mix={recipe.pseudo_mix:g} {remedy}")
    check_pseudo_file(pseudo)


def read_pseudo(pseudo, source, recipe):
    "A table of soft labels or its Parquet, its paths absolute, without the rows that this fold holds out; None for none"
    if pseudo is None:
        return None
    table = pseudo if isinstance(pseudo, pd.DataFrame) else _read(Path(pseudo))
    if "path" in table.index.names:
        table = table.reset_index()  # as a Predictor gives it
    if missing := [name for name in [*INDEX, *source.classes] if name not in table]:
        raise BirdfastError(
            f"the pseudo-labels lack {len(missing)} columns, the first {missing[0]!r}: are they of these classes?"
        )
    _check_probabilities(table, source.classes)
    table = _found(table, source.root or Path())
    return table[table["fold"] != recipe.fold] if "fold" in table else table


def _check_probabilities(table, classes):
    values = table[list(classes)].to_numpy(np.float32)
    rows, columns = np.nonzero(~((values >= 0) & (values <= 1 + 1e-6)))  # NaN, too
    if len(rows):
        raise BirdfastError(
            f"the pseudo-labels hold {values[rows[0], columns[0]]:g} for {classes[columns[0]]!r} of "
            f"{table['path'].iloc[rows[0]]}, probabilities go from 0 to 1: are these logits? give their sigmoid or softmax, "
            "and leave out rows without values"
        )


def _found(table, root):
    "The table with absolute paths, of which the relative ones begin at `root`; raises where a file is not there"
    names = table["path"].drop_duplicates()
    places = dict(zip(names, absolute_paths(names, root, "the table of pseudo-labels")))
    if gone := [place for place in places.values() if not Path(place).is_file()]:
        raise BirdfastError(
            f"{len(gone)} of {len(places)} soundscapes with pseudo-labels do not exist, the first looked for is {gone[0]}: "
            f"relative paths begin at {Path(root).absolute()}; mend the column path, or leave their rows out"
        )
    return table.assign(path=table["path"].map(places))


def _read(path):
    try:
        return pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise BirdfastError(f"{path} is no Parquet file of pseudo-labels: {error}") from None


def not_validated(pseudo, recordings, is_valid, group):
    "The pseudo-labelled windows that lie in no soundscape, and at no site, that validates; says how many do"
    valid = recordings[is_valid]
    out = pseudo["path"].isin(set(valid["path"])).to_numpy()
    if group == "site" and "site" in valid:
        sites = set(valid["site"].dropna())
        out = out | np.array([site_of(path) in sites for path in pseudo["path"]], bool)
    if out.any():
        n = pseudo.loc[out, "path"].nunique()
        note(f"{out.sum()} pseudo-labelled windows of {n} soundscapes that validation holds out are left out")
    if out.all():
        raise BirdfastError("no pseudo-labelled window is left to train on: validation holds out all their soundscapes")
    return pseudo[~out].reset_index(drop=True)
