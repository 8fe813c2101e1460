"""Best of n: several answers to a question, ranked by a reward model in a process of its own; the best one joins the conversation.

Sampling n answers and keeping the one that a reward model likes most is the plain way to use one (Stiennon et al. 2020,
arXiv:2009.01325, section 4.3).
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from edgetune.chat.child import ModelProcess
from edgetune.chat.conversation import Answer, Conversation
from edgetune.chat.sampling import LARGEST_SEED, Sampling
from edgetune.errors import InputError
from edgetune.storage.workspace import Run

FEWEST, MOST = 2, 32
"""Answers that may be asked for."""
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
