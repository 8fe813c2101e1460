"""A person's own version of an answer: the edit is chosen, the original rejected."""

from typing import Any

from edgetune.errors import InputError
from edgetune.preferences.record import PERSON, Candidate, Choice, Turns, Vote, assistant_answer


def edit_vote(prompt: Turns, original: Candidate, text: str, source: str, about: dict[str, Any] | None = None) -> Vote:
    """The vote that an edit is. InputError when the text is empty or the same as before."""
    if not text.strip():
        raise InputError("The edit is empty", "An answer without text teaches nothing.", "Write the answer you would have wanted.")
    if text.strip() == original.text.strip():
        raise InputError("The edit changes nothing", "It is the answer as it was.", "Change it, or give it a thumb up instead.")
    return Vote(prompt, [original, assistant_answer(text, model=PERSON)], Choice("edit"), source, about=about or {})
