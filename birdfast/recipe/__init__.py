"""Every knob of a training run as plain data."""
