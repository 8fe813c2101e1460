"""Trainers that take a run's rows as they are."""

from typing import Any


class AsPrepared:
    """Set before one of TRL's trainers: it takes the run's rows as they are, where TRL would render and tokenize them."""

    def _prepare_dataset(self, dataset: Any, *args: Any, **kwargs: Any) -> Any:
        return dataset
