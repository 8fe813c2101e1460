"""Best of n inside a talk, as typed: /best N [RUN], /rewards, /pick K."""

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from edgetune.chat.conversation import Conversation
from edgetune.chat.sampling import Sampling
from edgetune.errors import InputError
from edgetune.sessions.best import BestOf, Rated, open_best
from edgetune.text import safe_text

if TYPE_CHECKING:
    from edgetune.sessions.chat_votes import ChatVotes
    from edgetune.storage.workspace import Run

COMMANDS = ("/best", "/rewards", "/pick")
Say = Callable[[str], None]


class Choosing:
    """Whether a talk shows the best of several answers, and those of its last question.

    run_of: the run of a name. votes: takes /pick. say: talks to the person.
    """

    def __init__(self, talk: Conversation, votes: "ChatVotes", run_of: "Callable[[str], Run]", say: Say) -> None:
        self.talk, self.votes, self._run_of, self._say = talk, votes, run_of, say
        self.best: BestOf | None = None
        self.on = False
        self.rated: list[Rated] = []

    def start(self, count: int, run: str) -> None:
        """From now on, show the best of `count` answers by the reward run of this name; empty: the one before."""
        if not run and self.best is None:
            raise InputError("Nothing ranks the answers", "No reward model was named.", f"Name a run of method reward: /best {count} RUN")
        found = self._run_of(run) if run else self.best.run if self.best else None
        assert found is not None
        self.best, self.on = open_best(found, count, self.best), True
        self._say(
            f"The best of {count} answers is shown, by {found.name}; /rewards shows all, /pick K votes for another, /best off ends it."
        )

    def close(self) -> None:
        """End the reward model's process."""
        if self.best is not None:
            self.best.close()

    def carry_out(self, word: str, rest: str) -> None:
        """Carry out one of COMMANDS. InputError where it cannot be."""
        if word == "/best":
            number, _, run = rest.partition(" ")
            if number in ("off", "0", "1"):
                self.on = False
                self._say("One answer is written from now on.")
            else:
                self.start(_number(number, "/best needs a number of answers, as in /best 4 RUN."), run.strip())
        elif word == "/rewards":
            for at, one in enumerate(self._last(), 1):
                self._say(f"[{at}] {one.reward:+.2f}  {one.answer.text}")
        else:
            vote = self.votes.pick(_number(rest, "/pick needs the number of an answer, as /rewards shows it."))
            self._say(f"taken {vote.id} in {self.votes.store.name}; the talk goes on with that answer")

    def ask(self, text: str, sampling: Sampling, max_tokens: int | None) -> list[Rated]:
        """Put a question and show how far the answers are; ranked, the best first. Ctrl-C ranks those that are whole."""
        from edgetune.cli.chat_terminal import ctrl_c_stops

        assert self.best is not None
        best, line, self.rated = self.best, _Line(self.best.count), []
        try:
            with ctrl_c_stops(best.cancel):
                self.rated = best.ask(self.talk, text, sampling, max_tokens, line.show)
        finally:
            line.clear()
        self.votes.ranked(self.rated, best.run.name)
        return self.rated

    def show(self, text: str, sampling: Sampling, max_tokens: int | None) -> None:
        """Put a question; the best answer goes to stdout, its reward to stderr."""
        rated = self.ask(text, sampling, max_tokens)
        first = rated[0]
        sys.stdout.write(safe_text(first.answer.text) + "\n")
        sys.stdout.flush()
        others = f"; the others {', '.join(f'{one.reward:+.2f}' for one in rated[1:])}" if rated[1:] else ""
        self._say(f"[the best of {len(rated)} different answers: reward {first.reward:+.2f}{others}]")

    def _last(self) -> list[Rated]:
        if not self.rated:
            raise InputError("There are no ranked answers", "No question was asked with /best on.", "Begin with: /best 4 RUN")
        return self.rated


class _Line:
    """How far the answers are, on one line of a terminal."""

    def __init__(self, count: int) -> None:
        self.count, self._size, self._number = count, 0, -1

    def show(self, number: int, text: str) -> None:
        """Another piece of an answer came."""
        self._size = self._size + len(text) if number == self._number else len(text)
        self._number = number
        if sys.stderr.isatty():
            print(f"\ranswer {number + 1} of {self.count}: {self._size:,} characters\x1b[K", end="", file=sys.stderr, flush=True)

    def clear(self) -> None:
        """Take the line away."""
        if sys.stderr.isatty():
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def _number(text: str, remedy: str) -> int:
    if not (text.isascii() and text.isdigit()) or len(text) > 6:
        raise InputError(f"'{text[:20]}' is no number", "It says how many, or which one.", remedy)
    return int(text)
