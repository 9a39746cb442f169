"""Pretrained models of sound, frozen: windows of sound in, embeddings and the models' own logits out."""
