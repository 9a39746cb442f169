"""What runs a model, one file each."""
