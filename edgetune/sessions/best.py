"""Best of n: several answers to a question, ranked by a reward model in a process of its own; the best one joins the conversation.

Sampling n answers and keeping the one that a reward model likes most is the plain way to use one (Stiennon et al. 2020,
arXiv:2009.01325, section 4.3).
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Self

from edgetune.chat.child import Child
from edgetune.chat.conversation import Answer, Conversation
from edgetune.chat.sampling import LARGEST_SEED, Sampling
from edgetune.errors import InputError
from edgetune.storage.workspace import Run

FEWEST, MOST = 2, 32
"""Answers that may be asked for."""
Watch = Callable[[int, str], None]
"""Told the number of the answer that is being written, from 0, and the text that came."""


@dataclass(frozen=True)
class Rated:
    """An answer with the settings that made it, and its reward: log-odds, a point more means e times the odds of winning."""

    answer: Answer
    sampling: Sampling
    reward: float


def check_count(count: int) -> int:
    """The number itself; InputError for one that cannot be asked for."""
    if not FEWEST <= count <= MOST:
        raise InputError(f"{count} answers cannot be ranked", f"It must be from {FEWEST} to {MOST}.", "Correct the number.")
    return count


class BestOf:
    """Writes `count` answers to each question and ranks them with a finished reward run; a context manager. For one thread at a time.

    Its base may be another than the chat's: it reads text. Raises InputError for a run that is no finished reward model, EdgeTuneError when
    it cannot be loaded. The reward model's process lives until `close`; its first load takes some seconds.
    """

    def __init__(self, run: Run, count: int) -> None:
        from edgetune.training.reward_model import require_reward_model

        self.run, self.count = run, check_count(count)
        require_reward_model(run)
        self._writing: Answer | None = None
        self._stopped = False
        self._child = Child("edgetune.evaluation.reward_score_process", "The reward model")
        try:
            self._child.ask("load", folder=str(run.folder))
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the process; harmless when repeated."""
        self._child.close()

    def cancel(self) -> None:
        """Write no more answers: those that are whole are ranked. Safe from another thread or a signal handler."""
        self._stopped = True
        if answer := self._writing:
            answer.cancel()

    def ask(
        self,
        talk: Conversation,
        text: str,
        sampling: Sampling,
        max_tokens: int | None = None,
        watch: Watch = lambda _number, _text: None,
    ) -> list[Rated]:
        """Put a question: its answers, the best first, each text once. The best one stands in the conversation.

        A seed that is given makes the first answer, and those after it the others. Where `cancel` came before any answer was whole, the one
        that was being written is all there is. Raises InputError where the question does not fit; the conversation is then as before.
        """
        before = list(talk.messages)
        try:
            whole = self._write(talk, text, sampling, max_tokens, watch)
            prompt = [{"role": "system", "content": talk.system}] if talk.system else []
            asked = talk.messages[:-1]
            rewards = self._child.ask("rate", prompt=[*prompt, *asked], texts=[answer.text for answer, _ in whole])
        except BaseException:
            talk.messages = before
            raise
        rated = [Rated(answer, settings, reward) for (answer, settings), reward in zip(whole, rewards, strict=True)]
        rated.sort(key=lambda one: -one.reward)
        talk.messages = [*asked, {"role": "assistant", "content": rated[0].answer.text}]
        return rated

    def _write(
        self, talk: Conversation, text: str, sampling: Sampling, max_tokens: int | None, watch: Watch
    ) -> list[tuple[Answer, Sampling]]:
        """Answers that are whole, each text once; the conversation then ends in the last one that was written."""
        self._stopped = False
        before, whole = list(talk.messages), dict[str, tuple[Answer, Sampling]]()
        for number in range(self.count):
            talk.messages = list(before)
            seed = None if sampling.seed is None else (sampling.seed + number) % (LARGEST_SEED + 1)
            settings = replace(sampling, seed=seed)
            self._writing = answer = talk.ask(text, sampling=settings, max_tokens=max_tokens)
            for piece in answer:
                watch(number, piece)
            self._writing = None
            cut = answer.stats is not None and answer.stats.reason == "cancelled"
            if not cut or not whole:
                whole.setdefault(answer.text, (answer, settings))
            if cut or self._stopped:
                break
        return list(whole.values())


def open_best(run: Run, count: int, earlier: "BestOf | None") -> BestOf:
    """One for a run and a number of answers; the earlier one goes on where it has the same run, and is closed where not."""
    if earlier is not None and earlier.run == run:
        earlier.count = check_count(count)
        return earlier
    made = BestOf(run, count)
    if earlier is not None:
        earlier.close()
    return made
