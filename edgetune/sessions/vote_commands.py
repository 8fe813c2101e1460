"""The chat's commands that vote on its last answer, as typed: /up, /down, /edit, /vote."""

from typing import TYPE_CHECKING

from edgetune.chat.sampling import Sampling
from edgetune.errors import InputError
from edgetune.sessions.console import Console

if TYPE_CHECKING:
    from edgetune.sessions.chat_votes import ChatVotes

COMMANDS = ("/up", "/down", "/edit", "/vote")
PIPED = ("/up", "/down", "/edit")
"""Those that also work where questions come from a pipe: /vote would have to ask."""
VERDICT_OF_KEY = {"1": "left", "2": "right", "t": "tie", "b": "bad"}


def run_vote_command(
    command: str, arguments: str, votes: "ChatVotes | None", sampling: Sampling, max_tokens: int | None, console: Console
) -> None:
    """Carry out a voting command. InputError where there is no answer to vote on; no vote is then saved."""
    if votes is None:
        raise InputError(
            f"{command} needs a conversation", "With --raw, text is completed and there is no question.", "Chat without --raw."
        )

    if command in ("/up", "/down"):
        vote = votes.thumbs(command == "/up")
    elif command == "/edit":
        text = arguments.replace("\\n", "\n") or console.edit_text(votes.text())
        if text is None:
            return
        vote = votes.edit(text)
    else:
        if not _write_second_answer(votes, sampling, max_tokens, console):
            return
        pressed = console.ask_key("better: 1 (the first answer) or 2; t tie, b both bad, any other key: no vote:")
        if pressed not in VERDICT_OF_KEY:
            votes.discard_second()
            console.say("no vote saved; the conversation continues with the first answer")
            return
        vote = votes.choose(VERDICT_OF_KEY[pressed])
    console.say(f"saved {vote.id} in {votes.store.name}")


def _write_second_answer(votes: "ChatVotes", sampling: Sampling, max_tokens: int | None, console: Console) -> bool:
    """Write a second answer, hotter while it hardly differs from the first; whether there is something to choose between."""
    from edgetune.sessions.chat_votes import STILL_ALIKE, differs, second_attempts

    for attempt in second_attempts(sampling):
        if attempt.why:
            console.say(attempt.why)
        answer = votes.begin_second(attempt.settings, max_tokens)
        console.say("[2]")
        console.stream(answer)
        votes.record_second(answer, attempt.settings)
        if differs(votes.text(), answer.text):
            return True

    votes.discard_second()
    console.say(STILL_ALIKE)
    return False
