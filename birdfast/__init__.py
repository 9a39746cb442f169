"""birdfast trains, judges and ships classifiers of bird calls, on fastai.

from birdfast import bird_dls, bird_learner
learn = bird_learner(bird_dls("recordings/"))       # a folder per species, a csv, a BirdCLEF
learn.fit_recipe()                                  # it is a fastai Learner
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.2.0"

# What is typed from the top level, by what one wants to do: where it lives, and what it is in a few words. It is loaded when
# first asked for: importing birdfast imports neither torch nor fastai.
_GROUPS: dict[str, dict[str, tuple[str, str]]] = {
    "Find and read data": {
        "synth": ("synthetic.synth", "a small BirdCLEF, made on the spot"),
        "find_birdclef": ("sources.birdclef", "the folder of a competition, by its name"),
        "read_source": ("sources.read", "any form of data as one table and a class list"),
        "get_audio_files": ("audio.listing", "the sound files in a folder"),
        "read_clip": ("audio.read", "a stretch of a recording as an array"),
    },
    "Train": {
        "bird_dls": ("training.dataloaders", "DataLoaders of any form of data"),
        "bird_learner": ("training.learner", "the Learner for them: learn.fit_recipe()"),
        "RECIPES": ("recipe.presets", "the recipes that have names"),
        "get_recipe": ("recipe.presets", "one of them, or of a file, with other knobs"),
        "Recipe": ("recipe.recipe", "every knob of a run, as plain data"),
    },
    "Save and ship": {
        "save_bundle": ("scoring.bundle", "a learner in a safe file"),
        "load_bundle": ("scoring.bundle", "and back, without fastai"),
        "Bundle": ("scoring.bundle", "a model with its classes and recipe"),
        "save_ensemble": ("scoring.bundle_ensemble", "several models in one file"),
        "load_ensemble": ("scoring.bundle_ensemble", "and back"),
        "export_model": ("scoring.export", "ONNX or OpenVINO, checked against PyTorch"),
        "budget": ("commands.budget", "does a submission fit its time limit?"),
    },
    "Predict": {
        "Predictor": ("prediction.predictor", "scores of recordings, and submission.csv"),
        "Ensemble": ("prediction.ensemble", "the same of several models"),
        "predict_into": ("prediction.run", "any number of hours, into a folder"),
        "PostProcess": ("prediction.postprocess", "what is done to scores afterwards"),
        "read_groups": ("prediction.postprocess", "which class is a bird, frog or insect"),
        "blend_weights": ("evaluation.blending", "how much each of several models counts"),
        "fit_calibration": ("evaluation.calibration", "thresholds, and probabilities that hold"),
    },
    "Judge": {
        "evaluate": ("commands.evaluating.evaluate", "a model against what is known"),
        "roc_auc": ("evaluation.metrics", "macro ROC-AUC, BirdCLEF's score since 2024"),
        "cmap": ("evaluation.metrics", "mean average precision of the classes"),
        "padded_cmap": ("evaluation.metrics", "the same, as BirdCLEF 2023 padded it"),
        "per_class_table": ("evaluation.report", "a row a class"),
        "worst_pairs": ("evaluation.report", "what is taken for what"),
        "plot_confusion": ("plots.judgement", "the same as a picture"),
        "plot_history": ("plots.run", "losses and scores, epoch by epoch"),
        "plot_ladder": ("plots.ladder", "the rows of a ladder"),
    },
    "Study": {
        "train_folds": ("studies.folds", "every fold, and scores of all recordings"),
        "pseudo_label": ("studies.pseudo", "models that label soundscapes for the next"),
        "ladder": ("studies.ladder", "recipes side by side: which step pays?"),
        "ablation": ("studies.rungs", "a recipe less one technique at a time"),
        "Rung": ("studies.rungs", "a step of a ladder of your own"),
        "RUNGS": ("studies.rungs", "those that birdfast knows"),
    },
    "Parts for a DataBlock and a Learner of your own": {
        "AudioBlock": ("training.blocks", "the TransformBlock of sound"),
        "bird_block": ("training.blocks", "the DataBlock of a recipe"),
        "AudioTensor": ("training.transforms", "a waveform, or a batch of them"),
        "AudioSpectrogram": ("training.transforms", "a spectrogram, or a batch of them"),
        "AudioToSpec": ("training.transforms", "from the one to the other"),
        "MaskTime": ("training.transforms", "SpecAugment: stretches of time left out"),
        "MaskFreq": ("training.transforms", "and bands of frequency"),
        "WaveMix": ("training.augment", "waveforms of a batch mixed with each other"),
        "AddBackground": ("training.augment", "sound without calls, from a folder"),
        "RandomFilter": ("training.augment", "bands made softer"),
        "RandomGain": ("training.augment", "louder or softer"),
        "MixUp": ("training.mixup", "the same of spectrograms"),
        "LogMel": ("spectrogram.logmel", "the log-mel spectrogram as an nn.Module"),
        "create_model": ("models.backbone", "a timm backbone with a head for sound"),
        "FocalBCE": ("models.losses", "focal loss: what is right counts for little"),
        "SmoothedBCE": ("models.losses", "label smoothing for many species a clip"),
        "LabelSmoothingCrossEntropy": ("models.losses", "label smoothing for one species a clip"),
        "SoftAUC": ("models.losses", "one minus a smooth ROC-AUC"),
        "bird_metrics": ("training.metrics", "accuracy, ROC-AUC and cmAP by recording"),
    },
    "When something is wrong": {
        "BirdfastError": ("errors", "a mistake that you can mend, in a sentence"),
    },
}
_OWNER = {name: f"birdfast.{module}" for group in _GROUPS.values() for name, (module, _) in group.items()}
__all__ = sorted(_OWNER)
for _title, _group in _GROUPS.items():
    __doc__ += f"\n{_title}\n" + "".join(f"    {_name:<27} {_words}\n" for _name, (_, _words) in _group.items())


def __getattr__(name: str) -> Any:
    if name not in _OWNER:
        raise AttributeError(f"module 'birdfast' has no attribute {name!r}")
    return getattr(import_module(_OWNER[name]), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
