"""Best of n: several answers to a question, ranked by a reward model in a process of its own; the best one joins the conversation.

Sampling n answers and keeping the one that a reward model likes most is the plain way to use one (Stiennon et al. 2020,
arXiv:2009.01325, section 4.3). As typed: /best N [RUN], /rewards, /pick K.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from edgetune.chat.child import ModelProcess
from edgetune.chat.conversation import Answer, Conversation
from edgetune.chat.sampling import LARGEST_SEED, Sampling
from edgetune.errors import InputError
from edgetune.sessions.console import Console
from edgetune.storage.workspace import Run

if TYPE_CHECKING:
    from edgetune.sessions.chat_votes import ChatVotes

FEWEST, MOST = 2, 32
"""Answers that may be asked for."""
COMMANDS = ("/best", "/rewards", "/pick")
Watch = Callable[[int, str], None]
"""Told the number of the answer that is being written, from 0, and the text that came."""


@dataclass(frozen=True)
class RankedAnswer:
    """An answer with the settings that made it, and its reward: log-odds, a point more means e times the odds of winning."""

    answer: Answer
    sampling: Sampling
    reward: float


def check_count(count: int) -> int:
    """The number itself; InputError for one that cannot be asked for."""
    if not FEWEST <= count <= MOST:
        raise InputError(f"{count} answers cannot be ranked", f"It must be from {FEWEST} to {MOST}.", "Ask for a number in that range.")
    return count


class BestOfN(ModelProcess):
    """Writes `count` answers to each question and ranks them with a finished reward run; a context manager. For one thread at a time.

    Its base may be another than the chat's: it reads text. Raises InputError for a run that is no finished reward model, EdgeTuneError when
    it cannot be loaded. The reward model's process lives until `close`; its first load takes some seconds.
    """

    def __init__(self, run: Run, count: int) -> None:
        from edgetune.training.reward_model import require_reward_model

        self.run, self.count = run, check_count(count)
        require_reward_model(run)
        self._current: Answer | None = None
        self._stopped = False
        super().__init__("edgetune.evaluation.reward_score_process", "The reward model", folder=str(run.folder))

    def cancel(self) -> None:
        """Write no more answers: those that are complete are ranked. Safe from another thread or a signal handler."""
        self._stopped = True
        if answer := self._current:
            answer.cancel()

    def ask(
        self,
        conversation: Conversation,
        text: str,
        sampling: Sampling,
        max_tokens: int | None = None,
        watch: Watch = lambda _number, _text: None,
    ) -> list[RankedAnswer]:
        """Put a question: its answers, the best first, each text once. The conversation continues with the best one.

        A seed that is given makes the first answer, and those after it the others. Where `cancel` came before any answer was complete, the
        one that was being written is all there is. Raises InputError where the question does not fit; the conversation is then as before.
        """
        before = list(conversation.messages)
        try:
            written = self._write(conversation, text, sampling, max_tokens, watch)
            system = [{"role": "system", "content": conversation.system}] if conversation.system else []
            question = conversation.messages[:-1]
            rewards = self._child.ask("rate", prompt=[*system, *question], texts=[answer.text for answer, _ in written])
        except BaseException:
            conversation.messages = before
            raise

        ranked = [RankedAnswer(answer, settings, reward) for (answer, settings), reward in zip(written, rewards, strict=True)]
        ranked.sort(key=lambda item: -item.reward)
        conversation.messages = [*question, {"role": "assistant", "content": ranked[0].answer.text}]
        return ranked

    def _write(
        self, conversation: Conversation, text: str, sampling: Sampling, max_tokens: int | None, watch: Watch
    ) -> list[tuple[Answer, Sampling]]:
        """Answers that are complete, each text once; the conversation then ends in the last one that was written."""
        self._stopped = False
        before = list(conversation.messages)
        written: dict[str, tuple[Answer, Sampling]] = {}

        for number in range(self.count):
            # Every answer sees the conversation as it was before the question.
            conversation.messages = list(before)
            seed = None if sampling.seed is None else (sampling.seed + number) % (LARGEST_SEED + 1)
            settings = replace(sampling, seed=seed)
            self._current = answer = conversation.ask(text, sampling=settings, max_tokens=max_tokens)
            for piece in answer:
                watch(number, piece)
            self._current = None

            # An answer that was cut short is ranked only where there is no other.
            cut = answer.stats is not None and answer.stats.reason == "cancelled"
            if not cut or not written:
                written.setdefault(answer.text, (answer, settings))
            if cut or self._stopped:
                break
        return list(written.values())


def reuse_or_open(run: Run, count: int, current: BestOfN | None) -> BestOfN:
    """Best of n for a run: the current one where it has the same run, else a new one, after which the current one is closed."""
    if current is not None and current.run == run:
        current.count = check_count(count)
        return current
    opened = BestOfN(run, count)
    if current is not None:
        current.close()
    return opened


class BestOfNCommands:
    """Whether a conversation shows the best of several answers, and those to its last question.

    run_of: the run of a name. votes: what /pick votes with.
    """

    def __init__(self, conversation: Conversation, votes: "ChatVotes", run_of: Callable[[str], Run], console: Console) -> None:
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
        raise InputError(f"'{text[:20]}' is no number", "It says how many, or which one.", remedy)
    return int(text)
