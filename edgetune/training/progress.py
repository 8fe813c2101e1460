"""What a run remembers between checkpoints beside the trainer's own state."""

import math
from typing import Any


class RunProgress:
    """The best evaluation so far, and why the run ends early; saved with every checkpoint.

    kl_exceeded_at: the step that showed the model before it to be too far from its reference; 0: none. first: the held-out measures before
    the first step. warned: a warning was given once.
    """

    def __init__(self) -> None:
        self.best_loss = math.inf
        self.best_step = 0
        self.evals_without_improvement = 0
        self.tokens = 0.0
        self.stopped = False
        self.kl_exceeded_at = 0
        self.warned = False
        self.first: dict[str, Any] = {}

    def as_dict(self) -> dict[str, Any]:
        """Plain values for a checkpoint."""
        return {
            "best_loss": None if math.isinf(self.best_loss) else self.best_loss,
            "best_step": self.best_step,
            "evals_without_improvement": self.evals_without_improvement,
            "tokens": self.tokens,
            "warned": self.warned,
            "first": self.first,
        }

    def restore(self, values: dict[str, Any]) -> None:
        """Take the values of a checkpoint."""
        self.best_loss = math.inf if values["best_loss"] is None else values["best_loss"]
        self.best_step, self.tokens = values["best_step"], values["tokens"]

        # Checkpoints of earlier versions lack some of these, and call one by another name.
        self.evals_without_improvement = values.get("evals_without_improvement", values.get("without_gain", 0))
        self.warned, self.first = values.get("warned", False), values.get("first", {})
