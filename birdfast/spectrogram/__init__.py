"""Sound to picture."""
