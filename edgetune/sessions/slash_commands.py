"""What is typed in a talk, line by line: questions, and the commands that begin with a slash."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from edgetune.chat.conversation import Answer, Conversation, complete
from edgetune.chat.engine import Engine
from edgetune.chat.sampling import Sampling
from edgetune.cli.chat_terminal import say, show
from edgetune.sessions import adapters, voting
from edgetune.sessions.best_of_n import COMMANDS as CHOOSING
from edgetune.sessions.history import COMMANDS as KEEPING

if TYPE_CHECKING:
    from edgetune.sessions.best_of_n import Choosing
    from edgetune.sessions.chat_votes import ChatVotes
    from edgetune.sessions.history import Keeping

HELP = """  /reset         forget the conversation
  /system TEXT   set the system message and start anew (no TEXT: none)
  /seed N        repeat the same choices (no N: draw a new seed for each answer)
  /temp T        temperature, 0 to always take the likeliest token; so too /top-k N, /top-p P, /min-p P, /penalty R
  /adapters      list the adapters; /adapter NAME SCALE turns one up or down (0: off), /adapter FILE SCALE loads one
  /again         another answer to the last question; the one before stays as a branch
  /turns         all that was said, numbered; /go N goes on from a turn, and what came after it stays as a branch
  /keep          keep this talk with its branches, as the app does
  /up, /down     thumbs on the last answer: kept as a vote, from which the model can learn
  /edit TEXT     the last answer as it should have been (no TEXT: in $EDITOR); the chat goes on with it
  /vote          write a second answer and choose between the two
  /best N RUN    write N answers and show the one that a reward run likes best; /rewards shows all, /pick K votes for another
  /quit          leave (or Ctrl-D); Ctrl-C stops an answer and keeps what is there"""
SAMPLING = {
    "/seed": "seed",
    "/temp": "temperature",
    "/top-k": "top_k",
    "/top-p": "top_p",
    "/min-p": "min_p",
    "/penalty": "repeat_penalty",
}
"""Commands that turn one of the sampling settings."""


@dataclass
class Typed:
    """A talk as it is typed. conversation: None where text is completed as it is, and nothing but the engine can then be acted on.

    votes, choosing, keeping: what /up and the like, /best and the like, /again and the like act on.
    """

    engine: Engine
    sampling: Sampling
    max_tokens: int | None = None
    conversation: Conversation | None = None
    votes: "ChatVotes | None" = None
    choosing: "Choosing | None" = None
    keeping: "Keeping | None" = None

    def ask(self, text: str, sampling: Sampling) -> Answer:
        """Begin an answer to a question, or a text's completion."""
        if self.conversation is None:
            return complete(self.engine, text, sampling=sampling, max_tokens=self.max_tokens)
        return self.conversation.ask(text, sampling=sampling, max_tokens=self.max_tokens)

    def whole(self, text: str) -> Answer:
        """Ask without showing; the answer, which has ended."""
        answer = self.ask(text, self.sampling)
        for _ in answer:
            pass
        if self.votes is not None:
            self.votes.answered(answer, self.sampling)
        return answer

    def question(self, text: str) -> str:
        """Ask, and show the answer; why it ended. With /best on, several are written and the best one is shown."""
        if self.choosing is not None and self.choosing.on:
            self.choosing.show(text, self.sampling, self.max_tokens)
            reason = "end"
        else:
            answer = self.ask(text, self.sampling)
            reason = show(answer).reason
            if self.votes is not None:
                self.votes.answered(answer, self.sampling)
        if self.keeping is not None:
            self.keeping.answered()
        return reason

    def piped(self, line: str) -> str:
        """A line of a pipe: a question, or a command that asks nothing back; why the answer ended. InputError where it cannot be."""
        word, rest = parted(line)
        known = (word in voting.PIPED and (rest or word != "/edit")) or word in (*CHOOSING, *KEEPING)
        if self.conversation is None or not known:
            return self.question(line)
        self.command(word, rest)
        return "end"

    def line(self, line: str) -> bool:
        """A line of a terminal; False to leave. InputError where it cannot be."""
        word, rest = parted(line)
        if word.startswith("/"):
            return word != "/quit" and self.command(word, rest)
        if word:
            self.question(line)
        return True

    def command(self, word: str, rest: str) -> bool:
        """Carry out a command; always True."""
        if word in ("/adapter", "/adapters"):
            say(adapters.listed(self.engine)) if word == "/adapters" else adapters.turn(self.engine, rest)
        elif word in voting.COMMANDS:
            voting.carry_out(word, rest, self.votes, self.sampling, self.max_tokens, say, show)
            self._settle()
        elif word in CHOOSING and self.choosing is not None:
            self.choosing.carry_out(word, rest)
            self._settle()
        elif word in KEEPING and self.keeping is not None:
            self.keeping.carry_out(word, rest, self.sampling, self.ask, show)
        elif word in SAMPLING:
            self.sampling = turned(word, rest, self.sampling)
        elif word in ("/reset", "/system") and self.conversation is not None:
            self._begin_anew(self.conversation, word, rest)
        elif word == "/help":
            say(HELP)
        else:
            say(f"There is no command {word}{'' if self.conversation else ' with --raw'}; /help lists them.")
        return True

    def _settle(self) -> None:
        if self.keeping is not None:
            self.keeping.settled()

    def _begin_anew(self, conversation: Conversation, word: str, rest: str) -> None:
        if word == "/system":
            conversation.system = rest or None
        conversation.reset()
        if self.keeping is not None:
            self.keeping.begin()
        say(f"The conversation starts anew{', with this system message' if conversation.system else ''}.")


def parted(line: str) -> tuple[str, str]:
    """The first word, and the rest."""
    word, _, rest = line.strip().partition(" ")
    return word, rest.strip()


def turned(word: str, rest: str, sampling: Sampling) -> Sampling:
    """The settings with one of them turned, said aloud; unchanged when the value is no number. InputError when it is out of bounds."""
    name = SAMPLING[word]
    try:
        value: Any = None if name == "seed" and not rest else int(rest) if name in ("seed", "top_k") else float(rest)
    except ValueError:
        say(f"{word} needs a number.")
        return sampling
    changed = replace(sampling, **{name: value})
    changed.checked()
    seed = "a new one for each answer" if changed.seed is None else changed.seed
    say(
        f"Seed: {seed}; temperature: {changed.temperature}; top-k: {changed.top_k}; top-p: {changed.top_p}; min-p: {changed.min_p}; "
        f"repeat penalty: {changed.repeat_penalty}."
    )
    return changed
