"""Frozen, pretrained models of sound."""
