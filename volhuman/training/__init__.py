"""One training loop for every network: steps, checkpoints, metrics, devices."""
