"""An invented BirdCLEF."""
