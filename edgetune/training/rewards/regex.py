"""1 where a regular expression is found in the answer, else 0."""

import re

from edgetune.errors import InputError
from edgetune.training.rewards import Answer, Context, Reward

MAX_ANSWER_CHARACTERS = 20_000
"""Characters of an answer that are searched; Python's patterns may take a time that grows with a power of it."""


def check(argument: str, context: Context) -> None:
    """The pattern must be one. Raises InputError."""
    try:
        if not argument:
            raise re.error("it is empty")
        re.compile(argument)
    except re.error as error:
        raise InputError(f"'{argument}' is not a pattern", str(error), "Write --reward 'regex:PATTERN' in Python's syntax.") from error


def make(argument: str, context: Context) -> Reward:
    """The reward."""
    pattern = re.compile(argument)

    def reward(answers: list[Answer]) -> list[float]:
        return [float(pattern.search(answer.text[:MAX_ANSWER_CHARACTERS]) is not None) for answer in answers]

    return reward
