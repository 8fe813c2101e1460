"""The chat's commands that vote on its last answer, as typed: /up, /down, /edit, /vote."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from edgetune.chat.sampling import Sampling
from edgetune.cli.chat_input import edited, key
from edgetune.errors import InputError

if TYPE_CHECKING:
    from edgetune.sessions.chat_votes import ChatVotes

COMMANDS = ("/up", "/down", "/edit", "/vote")
PIPED = ("/up", "/down", "/edit")
"""Those that also work where questions come from a pipe: /vote would have to ask."""
PICKS = {"1": "left", "2": "right", "t": "tie", "b": "bad"}


def carry_out(
    word: str,
    rest: str,
    votes: "ChatVotes | None",
    sampling: Sampling,
    max_tokens: int | None,
    say: Callable[[str], None],
    show: "Callable[..., object]",
) -> None:
    """Carry out a voting command. InputError where there is no answer to vote on; nothing is then taken.

    show: streams an answer. say: talks to the person.
    """
    if votes is None:
        raise InputError(f"{word} needs a conversation", "With --raw, text is completed and there is no question.", "Chat without --raw.")
    if word in ("/up", "/down"):
        vote = votes.thumbs(word == "/up")
    elif word == "/edit":
        text = rest.replace("\\n", "\n") or edited(votes.text())
        if text is None:
            return
        vote = votes.edit(text)
    else:
        if not _second_answer(votes, sampling, max_tokens, say, show):
            return
        pressed = key("better: 1 (the answer before) or 2; t tie, b both bad, anything else leaves it:")
        if pressed not in PICKS:
            votes.leave()
            say("no vote taken; the first answer stands")
            return
        vote = votes.choose(PICKS[pressed])
    say(f"taken {vote.id} in {votes.store.name}")


def _second_answer(
    votes: "ChatVotes", sampling: Sampling, max_tokens: int | None, say: Callable[[str], None], show: "Callable[..., object]"
) -> bool:
    """Write a second answer, hotter while it hardly differs from the first; whether there is something to choose between."""
    from edgetune.preferences.candidates import alike
    from edgetune.sessions.chat_votes import tries

    for attempt, settings in enumerate(tries(sampling)):
        if attempt:
            say(f"It hardly differs from the answer before: written anew at temperature {settings.temperature:g}.")
        answer = votes.again(settings, max_tokens)
        say("[2]")
        show(answer)
        votes.second(answer, settings)
        if not alike(votes.text(), answer.text):
            return True
    votes.leave()
    say("The answers hardly differ even so, and a vote between twins teaches nothing: none is taken.")
    return False
