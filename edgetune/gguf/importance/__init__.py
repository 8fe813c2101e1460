"""Importance matrices, gathered on a run's own training data."""
