"""The fastai layer."""

from birdfast.models.quiet import no_script_warnings

with no_script_warnings():
    import fastai.layers  # noqa: F401 - before all else of fastai
