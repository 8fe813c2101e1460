"""A talk with a model: the llama.cpp process and the conversation, for one thread at a time, and what an answer has written so far."""

import threading
from dataclasses import dataclass, field
from pathlib import Path

from edgetune.chat import saved
from edgetune.chat.branches import Branches
from edgetune.chat.conversation import Answer, Conversation, Message
from edgetune.chat.engine import Engine
from edgetune.chat.model_info import GenerationStats
from edgetune.chat.sampling import Sampling
from edgetune.errors import EdgeTuneError
from edgetune.preferences.record import Candidate
from edgetune.preferences.store import USUAL
from edgetune.sessions.chat_votes import candidate_of, candidate_of_turn, provenance
from edgetune.text import safe_text
from tui.model_process import Loaded


@dataclass
class Ways:
    """How it answers. max_tokens: longest answer, None for 512 or half the context. into: the preference file that takes votes on it."""

    system: str = ""
    sampling: Sampling = field(default_factory=Sampling)
    max_tokens: int | None = None
    into: str = USUAL


class Talk(Loaded):
    """Loads a GGUF and talks with it. All methods that ask block: call them beside the UI, one at a time; `take` and `stop` at any time.

    notices: what the conversation has to say, such as turns that no longer fit. branches: all that was said.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.ways = Ways()
        self.notices: list[str] = []
        self.stats: GenerationStats | None = None
        self.branches = Branches()
        self._conversation: Conversation | None = None
        self._answer: Answer | None = None
        self._kept = saved.ConversationFile()
        self._lock, self._pieces = threading.Lock(), list[str]()

    def started(self, engine: Engine) -> None:
        """A process that is new goes on with what was said."""
        self._conversation = Conversation(engine, notice=self.notices.append)
        self._conversation.messages = self.branches.messages()

    @property
    def used(self) -> int:
        """Tokens of the context that the last answer and all before it took."""
        return self.stats.evaluated + self.stats.reused + self.stats.tokens if self.stats else 0

    @property
    def questions(self) -> int:
        """Questions asked so far, in the branch that is open."""
        return sum(message["role"] == "user" for message in self.messages)

    @property
    def messages(self) -> list[Message]:
        """What was said so far, in the branch that is open."""
        return self.branches.messages()

    def answer(self, text: str) -> None:
        """Ask, and write down the answer until it ends; `take` gives what has come. Raises EdgeTuneError."""
        self._write(text, None, self.ways.sampling)

    def again(self, question: int, sampling: Sampling | None = None) -> None:
        """Another answer to a question that was asked, as a branch beside those it has."""
        self._write(self.branches.turns[question].content, question, sampling or self.ways.sampling)

    def _write(self, text: str, question: int | None, sampling: Sampling) -> None:
        self.load()
        conversation = self._conversation
        assert conversation is not None
        conversation.system = self.ways.system or None
        self.stats = None
        before = list(conversation.messages)
        if question is not None:
            conversation.messages = self.branches.messages(question)[:-1]
        try:
            sampling = sampling.checked()
            self._answer = conversation.ask(text, sampling=sampling, max_tokens=self.ways.max_tokens)
        except EdgeTuneError as error:
            conversation.messages = before
            self._failed(error)
            raise
        if question is None:
            self.branches.add("user", text)
        else:
            self.branches.go(question)
        self._listen(self._answer, sampling)

    def _listen(self, answer: Answer, sampling: Sampling) -> None:
        engine = self._engine
        assert engine is not None
        try:
            for piece in answer:
                with self._lock:
                    self._pieces.append(piece)
            self.stats = answer.stats
        except EdgeTuneError as error:
            self._failed(error)
            raise
        finally:
            self._answer = None
            self.branches.add(
                "assistant", answer.text, provenance(candidate_of(answer, sampling, engine, self.path.stem)) | _speed(self.stats)
            )

    def _failed(self, error: EdgeTuneError) -> None:
        if error.exit_code != 2:
            self.close()

    def take(self) -> str:
        """What was written since the last call, safe to show."""
        with self._lock:
            text = "".join(self._pieces)
            self._pieces.clear()
        return safe_text(text)

    def stop(self) -> None:
        """End the answer that is being written; what is there stays. From any thread."""
        if answer := self._answer:
            answer.cancel()

    def go(self, at: int) -> None:
        """Go on from a turn, or from the start; what came after it stays as a branch."""
        self.branches.go(at)
        self._follow()

    def switch(self, at: int, step: int) -> None:
        """Take the branch beside the one that begins with a turn."""
        self.branches.switch(at, step)
        self._follow()

    def _follow(self) -> None:
        """What the model sees is the branch that is open."""
        if self._conversation:
            self._conversation.messages = self.branches.messages()

    def reset(self) -> None:
        """Forget all messages; what was kept of them stays."""
        self.stats, self._kept = None, saved.ConversationFile()
        self.branches = Branches()
        self._follow()

    def keep(self, folder: Path) -> None:
        """Write down what was said so far, all branches of it."""
        self._kept.save(folder, self.path.name, self.ways.system, self.branches)

    def take_up(self, talk: saved.SavedConversation) -> None:
        """Go on with a conversation that was kept."""
        self.load()
        self.branches = Branches(talk.branches.turns, talk.branches.tip)
        self.ways.system, self.stats, self._kept = talk.system, None, saved.ConversationFile.of(talk)
        self._follow()

    def candidate(self, at: int) -> Candidate:
        """An answer as votes know it."""
        return candidate_of_turn(self.branches.turns[at])

    def asked(self, at: int) -> list[Message]:
        """The turns that an answer answers, the system prompt first."""
        system = [{"role": "system", "content": self.ways.system}] if self.ways.system else []
        return [*system, *self.branches.messages(self.branches.turns[at].parent)]


def _speed(stats: GenerationStats | None) -> dict[str, object]:
    """How long an answer is and how fast it came, as a kept talk holds it."""
    return {"tokens": stats.tokens, "tokens_per_second": round(stats.tokens_per_second, 1)} if stats else {}
