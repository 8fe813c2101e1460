"""Held-out loss and answers, and scores by a reward model."""
