"""One training run from start to end: model and adapter, trainer, samples, rewards."""
