"""The fastai layer."""
