"""Many trainings as one: folds, and pseudo-labels."""
