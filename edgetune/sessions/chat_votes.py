"""Votes given in the middle of a chat, on its last answer: thumbs, an edit, or a second answer to choose from."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from edgetune.chat.branches import Turn
from edgetune.chat.conversation import Answer, Conversation
from edgetune.chat.engine import Engine
from edgetune.chat.sampling import LARGEST_SEED, Sampling
from edgetune.errors import InputError
from edgetune.preferences.candidates import HOTTER, alike, hotter
from edgetune.preferences.edit import edit_vote
from edgetune.preferences.record import Candidate, Choice, Turns, Vote, assistant_answer
from edgetune.preferences.store import Store
from edgetune.sessions.best_of_n import RankedAnswer


class ChatVotes:
    """Saves votes on a conversation's last answer, and lets the conversation continue with what was chosen.

    store: where votes go. name: the model's.
    """

    def __init__(self, store: Store, conversation: Conversation, name: str) -> None:
        self.store, self.conversation, self.name = store, conversation, name
        self._last: Candidate | None = None
        self._second: Candidate | None = None
        self._ranked: list[Candidate] = []
        self._about: dict[str, Any] = {}

    @property
    def last(self) -> Candidate | None:
        """The last answer with what made it; None where there is none."""
        return self._last

    def vote_on(self, last: Candidate | None) -> None:
        """Let votes be on another answer, which the conversation now ends with; None where it has none."""
        self._last, self._second, self._ranked = last, None, []

    def record_answer(self, answer: Answer, sampling: Sampling) -> None:
        """Remember an answer that has ended, with what made it."""
        self.vote_on(candidate_of(answer, sampling, self.conversation.engine, self.name))

    def record_ranked(self, ranked: list[RankedAnswer], by: str) -> None:
        """Remember answers that a reward model ranked, the best first, which the conversation continues with. by: its run."""
        self._ranked = [candidate_of(item.answer, item.sampling, self.conversation.engine, self.name) for item in ranked]
        self._last, self._second = self._ranked[0], None
        self._about = {"reward_model": by, "rewards": [round(item.reward, 4) for item in ranked]}

    def pick(self, number: int) -> Vote:
        """Prefer a ranked answer (from 1) to all others; the conversation continues with it. InputError where there is none."""
        prompt, _ = self._last_exchange()
        if len(self._ranked) < 2:
            raise InputError("There is nothing to pick from", "The last answer was not the best of several.", "Begin with: /best 4 RUN")
        if not 1 <= number <= len(self._ranked):
            raise InputError(f"There is no answer {number}", f"There are {len(self._ranked)}.", "/rewards shows them with their numbers.")
        ranks = [1 if at == number else 2 for at in range(1, len(self._ranked) + 1)]
        choice = Choice("ranking", ranks) if len(ranks) > 2 else Choice("pair", "left" if number == 1 else "right")
        vote = self.store.add(Vote(prompt, self._ranked, choice, "chat", about=self._about))
        self._last = self._ranked[number - 1]
        self.conversation.messages[-1] = {"role": "assistant", "content": self._last.text}
        return vote

    def thumbs(self, good: bool) -> Vote:
        """A verdict on the last answer. InputError where there is none."""
        prompt, last = self._last_exchange()
        return self.store.add(Vote(prompt, [last], Choice("thumbs", good), "chat"))

    def edit(self, text: str) -> Vote:
        """The last answer as it should have been; the conversation continues with it."""
        prompt, last = self._last_exchange()
        vote = self.store.add(edit_vote(prompt, last, text, "chat"))
        self.conversation.messages[-1] = {"role": "assistant", "content": text}
        self._last = vote.candidates[1]
        return vote

    def text(self) -> str:
        """The last answer."""
        return self._last_exchange()[1].text

    def begin_second(self, sampling: Sampling, max_tokens: int | None) -> Answer:
        """Begin a second answer to the last question; after it has ended, `record_second` remembers it and `choose` chooses."""
        prompt, _ = self._last_exchange()
        conversation = self.conversation
        before = list(conversation.messages)
        try:
            conversation.messages = before[:-2]
            return conversation.ask(str(prompt[-1]["content"]), sampling=sampling, max_tokens=max_tokens)
        except BaseException:
            conversation.messages = before
            raise

    def record_second(self, answer: Answer, sampling: Sampling) -> None:
        """Remember the second answer, which has ended; until `choose`, the conversation continues with the first one."""
        self._second = candidate_of(answer, sampling, self.conversation.engine, self.name)
        assert self._last is not None
        self.conversation.messages[-1] = {"role": "assistant", "content": self._last.text}

    def choose(self, value: str) -> Vote:
        """left, right, tie or bad, of the last answer and its second; it continues with the chosen one."""
        prompt, last = self._last_exchange()
        if self._second is None:
            raise InputError("There is no second answer", "Only one was written.", "/vote writes one.")
        vote = self.store.add(Vote(prompt, [last, self._second], Choice("pair", value), "chat"))
        if value == "right":
            self._last = self._second
            self.conversation.messages[-1] = {"role": "assistant", "content": self._second.text}
        self._second = None
        return vote

    def discard_second(self) -> None:
        """Forget the second answer without a vote."""
        self._second = None

    def _last_exchange(self) -> tuple[Turns, Candidate]:
        """The turns that the last answer answers, and it. InputError where there is none."""
        messages = self.conversation.messages
        if self._last is None or len(messages) < 2 or messages[-1]["content"] != self._last.text:
            raise InputError("There is no answer to vote on", "Nothing was answered since the conversation began.", "Ask something first.")
        system = [{"role": "system", "content": self.conversation.system}] if self.conversation.system else []
        return [*system, *messages[:-1]], self._last


def candidate_of(answer: Answer, sampling: Sampling, engine: Engine, name: str) -> Candidate:
    """An answer that has ended, with what made it. name: the model's."""
    stats = answer.stats
    return assistant_answer(
        answer.text,
        model=name,
        path=str(engine.path.absolute()),
        adapters={known: adapter.scale for known, adapter in engine.adapters.items() if adapter.scale},
        sampling=sampling.as_dict() | ({"seed": stats.seed} if stats else {}),
        stop_reason=stats.reason if stats else "cancelled",
    )


PROVENANCE = ("model", "path", "adapters", "sampling", "stop_reason")
"""What a turn of a saved conversation holds of how it was made."""


def provenance(answer: Candidate | None) -> dict[str, Any]:
    """What made an answer, as a saved conversation holds it."""
    return {name: getattr(answer, name) for name in PROVENANCE if getattr(answer, name)} if answer else {}


def candidate_of_turn(turn: Turn) -> Candidate:
    """An answer of a saved conversation as votes know it."""
    return Candidate([turn.message], **{name: turn.provenance[name] for name in PROVENANCE if name in turn.provenance})


STILL_ALIKE = "The answers are still nearly identical. A vote between them would teach nothing, so none is saved."
"""What to say when all attempts at a second answer were like the first."""


@dataclass(frozen=True)
class SecondAttempt:
    """An attempt at a second answer: its settings, and a sentence on why it is made (empty for the first)."""

    settings: Sampling
    why: str


def second_attempts(sampling: Sampling) -> Iterator[SecondAttempt]:
    """Attempts at a second answer, until one `differs`: another seed each, and from the second attempt on a higher temperature."""
    settings = sampling
    for attempt in range(len(HOTTER) + 1):
        if sampling.seed is not None:  # the seed that was asked for gives the first answer again
            settings = replace(settings, seed=(sampling.seed + 1 + attempt) % LARGEST_SEED)
        why = f"It is nearly identical to the first answer: regenerating it at temperature {settings.temperature:g}." if attempt else ""
        yield SecondAttempt(settings, why)
        if attempt < len(HOTTER):
            settings = hotter(settings, attempt)


def differs(first: str, second: str) -> bool:
    """Whether a vote between two answers would teach something."""
    return not alike(first, second)
