"""Paths, URLs, text files, and writing that is whole or absent."""
