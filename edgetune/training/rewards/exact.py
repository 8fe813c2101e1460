"""1 where the answer is the one that its row gives, as words; else 0."""

from edgetune.errors import InputError
from edgetune.training.rewards import Answer, Context, Reward


def check(argument: str, context: Context) -> None:
    """Takes no argument. Raises InputError."""
    if argument:
        raise InputError("The reward 'exact' accepts no argument", f"'{argument}' was given.", "Write --reward exact.")


def make(argument: str, context: Context) -> Reward:
    """The reward."""
    from edgetune.text import normalized_words

    def reward(answers: list[Answer]) -> list[float]:
        return [float(bool(answer.expected) and normalized_words(answer.text) == normalized_words(answer.expected)) for answer in answers]

    return reward
