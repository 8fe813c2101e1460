"""How the next token is picked: the numbers a person may turn, their bounds and defaults."""

from dataclasses import asdict, dataclass, replace
from typing import Any

from edgetune.errors import InputError

LARGEST_SEED = 2**32 - 2
"""llama.cpp reads 2**32 - 1 as "choose one for me", which nobody could repeat."""


@dataclass(frozen=True)
class Sampling:
    """Settings of llama.cpp's sampler chain, applied in this order: penalty, top-k, top-p, min-p, temperature.

    temperature: 0 always takes the likeliest token; 1 samples the model's own distribution.
    top_k: keep the k likeliest tokens, 0 for all. top_p: keep the likeliest tokens that together reach this probability.
    min_p: drop tokens less likely than this share of the likeliest. repeat_penalty: 1 for none, above 1 avoids the last 64 tokens.
    seed: repeats the same choices; None draws one.
    """

    temperature: float = 0.7
    top_k: int = 40
    top_p: float = 0.95
    min_p: float = 0.05
    repeat_penalty: float = 1.0
    seed: int | None = None

    def problems(self) -> list[str]:
        """What is out of bounds, one sentence each; empty when all is well. Native code must never see such numbers."""
        rules = [
            (0 <= self.temperature <= 100, f"temperature is {self.temperature}; it must be from 0 to 100."),
            (self.top_k >= 0, f"top-k is {self.top_k}; it must be 0 (all tokens) or more."),
            (0 < self.top_p <= 1, f"top-p is {self.top_p}; it must be above 0 and at most 1."),
            (0 <= self.min_p <= 1, f"min-p is {self.min_p}; it must be from 0 to 1."),
            (0 < self.repeat_penalty <= 10, f"repeat penalty is {self.repeat_penalty}; it must be above 0 and at most 10."),
            (self.seed is None or 0 <= self.seed <= LARGEST_SEED, f"seed is {self.seed}; it must be from 0 to {LARGEST_SEED}."),
        ]
        return [problem for holds, problem in rules if not holds]

    def checked(self) -> "Sampling":
        """Itself with a seed drawn where none was given; InputError naming everything out of bounds."""
        problems = self.problems()
        if problems:
            raise InputError("A sampling setting is out of bounds", " ".join(problems), "Use values within these bounds.")
        if self.seed is not None:
            return self
        import secrets

        return replace(self, seed=secrets.randbelow(LARGEST_SEED + 1))

    def as_dict(self) -> dict[str, Any]:
        """The settings as they go to the llama.cpp process."""
        return asdict(self)
