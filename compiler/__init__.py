"""From a trained network to a core image."""
