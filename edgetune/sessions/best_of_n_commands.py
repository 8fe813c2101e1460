"""Best of n as typed in a chat: /best N [RUN], /rewards, /pick K."""

from collections.abc import Callable

from edgetune.chat.conversation import Conversation
from edgetune.chat.sampling import Sampling
from edgetune.errors import InputError
from edgetune.sessions.best_of_n import BestOfN, RankedAnswer, reuse_or_open
from edgetune.sessions.chat_votes import ChatVotes
from edgetune.sessions.console import Console
from edgetune.storage.workspace import Run

COMMANDS = ("/best", "/rewards", "/pick")


class BestOfNCommands:
    """Whether a conversation shows the best of several answers, and those to its last question.

    run_of: the run of a name. votes: what /pick votes with.
    """

    def __init__(self, conversation: Conversation, votes: ChatVotes, run_of: Callable[[str], Run], console: Console) -> None:
        self.conversation, self.votes, self.console, self._run_of = conversation, votes, console, run_of
        self.best: BestOfN | None = None
        self.on = False
        self.ranked: list[RankedAnswer] = []

    def start(self, count: int, name: str) -> None:
        """From now on, show the best of `count` answers by the reward run of this name; empty: the one before."""
        if name:
            run = self._run_of(name)
        elif self.best is not None:
            run = self.best.run
        else:
            raise InputError("Nothing ranks the answers", "No reward model was named.", f"Name a run of method reward: /best {count} RUN")

        self.best, self.on = reuse_or_open(run, count, self.best), True
        self.console.say(
            f"The best of {count} answers is shown, by {run.name}; /rewards shows all, /pick K votes for another, /best off ends it."
        )

    def close(self) -> None:
        """End the reward model's process."""
        if self.best is not None:
            self.best.close()

    def run(self, command: str, arguments: str) -> None:
        """Carry out one of COMMANDS. InputError where it cannot be carried out."""
        if command == "/best":
            count, _, name = arguments.partition(" ")
            if count in ("off", "0", "1"):
                self.on = False
                self.console.say("One answer is written from now on.")
            else:
                self.start(_number(count, "/best needs a number of answers, as in /best 4 RUN."), name.strip())
        elif command == "/rewards":
            for number, item in enumerate(self._last_ranked(), 1):
                self.console.say(f"[{number}] {item.reward:+.2f}  {item.answer.text}")
        else:
            vote = self.votes.pick(_number(arguments, "/pick needs the number of an answer, as /rewards shows it."))
            self.console.say(f"saved {vote.id} in {self.votes.store.name}; the conversation continues with that answer")

    def ask(self, text: str, sampling: Sampling, max_tokens: int | None) -> list[RankedAnswer]:
        """Put a question and show the progress; its answers, the best first. An interrupt ranks those that are complete."""
        assert self.best is not None
        best, self.ranked = self.best, []
        sizes = [0] * best.count

        def show_progress(number: int, piece: str) -> None:
            sizes[number] += len(piece)
            self.console.progress(f"answer {number + 1} of {best.count}: {sizes[number]:,} characters")

        try:
            with self.console.cancel_on_interrupt(best.cancel):
                self.ranked = best.ask(self.conversation, text, sampling, max_tokens, show_progress)
        finally:
            self.console.progress("")
        self.votes.record_ranked(self.ranked, best.run.name)
        return self.ranked

    def show(self, text: str, sampling: Sampling, max_tokens: int | None) -> None:
        """Put a question; show the best answer, and the rewards as a message."""
        first, *others = self.ask(text, sampling, max_tokens)
        self.console.show(first.answer.text)
        rewards = f"; the others {', '.join(f'{item.reward:+.2f}' for item in others)}" if others else ""
        self.console.say(f"[the best of {len(others) + 1} different answers: reward {first.reward:+.2f}{rewards}]")

    def _last_ranked(self) -> list[RankedAnswer]:
        if not self.ranked:
            raise InputError("There are no ranked answers", "No question was asked with /best on.", "Begin with: /best 4 RUN")
        return self.ranked


def _number(text: str, remedy: str) -> int:
    if not (text.isascii() and text.isdigit()) or len(text) > 6:
        raise InputError(f"'{text[:20]}' is not a number", "The command needs the number of answers, or the number of one answer.", remedy)
    return int(text)
