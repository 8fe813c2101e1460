"""Scripted judges: rules that choose in a person's place, for tests and for what can be checked by rule."""

import re
from collections.abc import Callable, Sequence
from typing import Any

from edgetune.errors import InputError
from edgetune.preferences.prompts import Prompt
from edgetune.preferences.record import Candidate, Choice
from edgetune.text import contains, normalized_words

Judge = Callable[[Prompt, list[Candidate]], Choice]
"""Chooses between candidates: a "pair" choice of two, a "ranking" of more."""
RULES = "shortest (that contains what the prompt file expects), exact (equals it, case and punctuation aside), regex:PATTERN"


def rule(text: str) -> Judge:
    """The judge of a rule as the command line names it. InputError for one there is not, or a pattern that cannot be read."""
    if text == "shortest":
        return shortest
    if text == "exact":
        return lambda prompt, answers: choice(
            [1 if normalized_words(a.text) == normalized_words(_expected(prompt)) else None for a in answers]
        )
    if text.startswith("regex:"):
        try:
            pattern = re.compile(text.removeprefix("regex:"))
        except re.error as error:
            raise InputError("The pattern cannot be read", str(error), "Write a regular expression after regex:.") from error
        return lambda _prompt, answers: choice([1 if pattern.search(a.text) else None for a in answers])
    raise InputError(f"There is no judge '{text[:40]}'", f"Rules are {RULES}.", "Name one of them, or leave --judge out to vote yourself.")


def shortest(prompt: Prompt, answers: list[Candidate]) -> Choice:
    """The shorter the better (characters) among the answers that contain what is expected; the others are all worse."""
    return choice([-len(a.text.strip()) if contains(a.text, _expected(prompt)) else None for a in answers])


def choice(scores: Sequence[float | None]) -> Choice:
    """What scores choose: the higher the better, None for an answer that fails."""
    values: list[Any] = [(score is not None, score or 0) for score in scores]
    if len(values) == 2:
        if scores[0] is None and scores[1] is None:
            return Choice("pair", "bad")
        return Choice("pair", "tie" if values[0] == values[1] else "left" if values[0] > values[1] else "right")
    return Choice("ranking", [1 + sum(other > value for other in values) for value in values])


def must_expect(text: str, prompts: list[Prompt]) -> None:
    """Refuse, before a model is loaded, a rule that needs what some prompt does not say."""
    lacking = [prompt for prompt in prompts if not normalized_words(prompt.expected)]
    if lacking:
        first = lacking[0].messages[-1]["content"]
        expects_nothing(text, f"{len(lacking)} of {len(prompts)} prompts have none, the first: {first[:80]!r}")


def expects_nothing(text: str, why: str) -> None:
    """Refuse, before a model is loaded, a rule that needs expected answers, where there are none because of `why`."""
    if text in ("shortest", "exact"):
        raise InputError(
            f"The judge '{text}' needs an expected answer for every prompt",
            f"{why[:1].upper()}{why[1:]}.",
            'Give rows like {"prompt": "…", "answer": "…"} with --prompts, or use regex:PATTERN.',
        )


def _equal(text: str, expected: str) -> int | None:
    return 1 if normalized_words(text) == normalized_words(expected) else None


def _expected(prompt: Prompt) -> str:
    if not normalized_words(prompt.expected):
        raise InputError("The rule needs an expected answer", "This prompt has none.", "Give rows with `prompt` and `answer`.")
    return prompt.expected
