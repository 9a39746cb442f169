"""Many trainings as one: folds, pseudo-labels, and the ladder that compares recipes."""
