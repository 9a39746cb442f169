"""The blocks of birdfast's DataBlock: what an item is, and what its targets are."""

from fastai.data.block import CategoryBlock, DataBlock, MultiCategoryBlock, TransformBlock
from fastai.data.transforms import ColSplitter, EncodedMultiCategorize, MultiCategory
from fastcore.foundation import L

from birdfast.errors import BirdfastError
from birdfast.models.embedding import EmbedWindows
from birdfast.sources.labels import present_targets, targets
from birdfast.sources.source import WINDOW
from birdfast.spectrogram.logmel import LogMel
from birdfast.splits.pools import multi_hot
from birdfast.splits.sampling import sum_to
from birdfast.training import show  # noqa: F401 - registers how fastai draws birdfast's types
from birdfast.training.augment import wave_tfms
from birdfast.training.embeddings import AudioToEmbedding
from birdfast.training.pools import AddWindow
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
    if recipe.embeds:
        front_end = EmbedWindows(recipe.backbone, step=recipe.embed_step)
        return TransformBlock(item_tfms=[reader], batch_tfms=[AudioToEmbedding(front_end)])
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
    kind = Window if row.get("kind") == WINDOW else Clip
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
        if isinstance(row.get("present"), tuple):  # all that call is known, or said to be unknown
            unknown = row.get("unknown")
            return present_targets(
                row["present"], unknown if isinstance(unknown, tuple) else (), self.index, n_classes=len(self.index)
            )
        if row["kind"] == WINDOW:
            heard = multi_hot([row["labels"]], self.classes)
            return (sum_to(heard, 1.0) if self.single and not row["is_valid"] else heard)[0]
        return targets(row["primary_label"], row["secondary_labels"], self.index, n_classes=len(self.index),
                       secondary_mode=self.mode, secondary_weight=self.weight)  # fmt: skip


class SoftCategorize(EncodedMultiCategorize):
    "Soft targets of clips that have one label: shown are the classes with a tenth or more, of a decision the one"

    def decodes(self, o):
        return MultiCategory([self.vocab[int(i)] for i in (o[None] if o.ndim == 0 else (o >= 0.1).nonzero().flatten())])


def label_block(recipe, classes):
    "The block of targets, and the function that gets them from a row of the clips table"
    if recipe.task == "multi":
        return MultiCategoryBlock(encoded=True, vocab=list(classes)), RowTargets(classes, recipe)
    if recipe.hears_soundscapes or recipe.pseudo_mix:
        return TransformBlock(type_tfms=[SoftCategorize(list(classes))]), RowTargets(classes, recipe)
    return CategoryBlock(vocab=list(classes), sort=False), row_label


def row_cue(row):
    "A row of the clips table to a Cue"
    return Cue(row["path"], row["start_time"], row["end_time"])


def bird_block(recipe, classes, bad_files=None, reader=None, teacher=None, pools=()):
    "The DataBlock of a recipe: clips table in, (AudioSpectrogram, targets) out; `pools` are mixed in, a `teacher` says its part"
    block, get_y = label_block(recipe, classes)
    audio = recipe_audio_block(recipe, bad_files, reader, len(classes))
    adders = [AddWindow(list(pools), recipe.no_call)] if pools else []
    blocks, options = (audio, block), {"get_y": get_y, "item_tfms": adders}
    if teacher is not None:
        next(t for t in audio.item_tfms if isinstance(t, ReadClip)).teacher = teacher
        blocks, options = (*blocks, TransformBlock()), options | {"get_y": [get_y, row_cue], "n_inp": 1}
    return DataBlock(blocks=blocks, get_x=row_clip, splitter=ColSplitter("is_valid"), **options)
