"""Sound on disk."""
