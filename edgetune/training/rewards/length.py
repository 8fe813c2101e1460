"""Nearness to a length: 1 at so many tokens, 0 at none and from twice as many on."""

from edgetune.errors import InputError
from edgetune.training.rewards import Answer, Context, Reward


def check(argument: str, context: Context) -> None:
    """A whole number of tokens. Raises InputError."""
    if not (argument.isascii() and argument.isdigit() and int(argument) > 0):
        raise InputError(f"'{argument}' is not a length", "It should be a number of tokens above 0.", "Write --reward length:40.")


def make(argument: str, context: Context) -> Reward:
    """The reward."""
    target = int(argument)

    def reward(answers: list[Answer]) -> list[float]:
        return [max(0.0, 1.0 - abs(answer.size - target) / target) for answer in answers]

    return reward
