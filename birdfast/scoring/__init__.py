"""Waveforms to probabilities."""
