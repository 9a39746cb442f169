"""Sound to picture."""

from birdfast.spectrogram.logmel import LogMel as LogMel
