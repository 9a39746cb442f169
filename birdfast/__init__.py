"""birdfast trains, judges and ships classifiers of bird calls, on fastai."""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.2.0"

# Loaded when first asked for: importing birdfast imports neither torch nor fastai.
_PUBLIC = {
    "birdfast.commands.budget": ["budget"],
    "birdfast.commands.evaluate": ["evaluate"],
    "birdfast.errors": ["BirdfastError"],
    "birdfast.evaluation.blending": ["blend_weights"],
    "birdfast.evaluation.calibration": ["fit_calibration"],
    "birdfast.evaluation.metrics": ["cmap", "padded_cmap", "roc_auc"],
    "birdfast.evaluation.report": ["per_class_table", "worst_pairs"],
    "birdfast.scoring.bundle": ["Bundle", "load_bundle", "save_bundle"],
    "birdfast.scoring.bundle_ensemble": ["load_ensemble", "save_ensemble"],
    "birdfast.prediction.ensemble": ["Ensemble"],
    "birdfast.scoring.export": ["export_model"],
    "birdfast.prediction.postprocess": ["PostProcess", "read_groups"],
    "birdfast.prediction.predictor": ["Predictor"],
    "birdfast.prediction.run": ["predict_into"],
    "birdfast.models.losses": ["FocalBCE", "LabelSmoothingCrossEntropy", "SmoothedBCE", "SoftAUC"],
    "birdfast.models.backbone": ["create_model"],
    "birdfast.plots.judgement": ["plot_confusion"],
    "birdfast.plots.ladder": ["plot_ladder"],
    "birdfast.plots.run": ["plot_history"],
    "birdfast.recipe.presets": ["RECIPES", "get_recipe"],
    "birdfast.recipe.recipe": ["Recipe"],
    "birdfast.audio.read": ["get_audio_files", "read_clip"],
    "birdfast.sources.birdclef": ["find_birdclef"],
    "birdfast.synthetic.synth": ["synth"],
    "birdfast.sources.read": ["Source", "read_source"],
    "birdfast.spectrogram.logmel": ["LogMel"],
    "birdfast.studies.folds": ["train_folds"],
    "birdfast.studies.ladder": ["Ladder", "ladder"],
    "birdfast.studies.pseudo": ["pseudo_label"],
    "birdfast.studies.rungs": ["RUNGS", "Rung", "ablation"],
    "birdfast.training.augment": ["AddBackground", "RandomFilter", "RandomGain", "WaveMix"],
    "birdfast.training.blocks": ["AudioBlock", "bird_block"],
    "birdfast.training.dataloaders": ["bird_dls"],
    "birdfast.training.learner": ["BirdLearner", "bird_learner", "edge"],
    "birdfast.training.metrics": ["bird_metrics"],
    "birdfast.training.mixup": ["MixUp"],
    "birdfast.training.transforms": ["AudioSpectrogram", "AudioTensor", "AudioToSpec", "MaskFreq", "MaskTime"],
}
_OWNER = {name: module for module, names in _PUBLIC.items() for name in names}
__all__ = sorted(_OWNER)


def __getattr__(name: str) -> Any:
    if name not in _OWNER:
        raise AttributeError(f"module 'birdfast' has no attribute {name!r}")
    return getattr(import_module(_OWNER[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
