"""Who trains, who validates: the plan of a training."""
