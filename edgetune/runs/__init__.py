"""A run's folder: events, history, curves, checkpoints, comparison, lineage, and housekeeping."""
