"""From a trained model to results."""
