"""Pairs and trainers, as the methods' tests have them."""

from tests.methods.conftest import pairs, trainer_of

__all__ = ["pairs", "trainer_of"]
