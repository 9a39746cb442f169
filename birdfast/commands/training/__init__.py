"""`birdfast train`: a run and what it leaves."""
