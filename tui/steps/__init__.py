"""The steps of a new run."""
