"""A chat with a model: the llama.cpp process and the conversation, for one thread at a time, and what an answer has written so far."""

import threading
from dataclasses import dataclass, field
from pathlib import Path

from edgetune.chat.branches import Branches
from edgetune.chat.conversation import Answer, Conversation, Message
from edgetune.chat.engine import Engine
from edgetune.chat.model_info import GenerationStats
from edgetune.chat.sampling import Sampling
from edgetune.chat.saved import SavedConversation
from edgetune.errors import EdgeTuneError
from edgetune.preferences.record import Candidate
from edgetune.preferences.store import DEFAULT_NAME
from edgetune.sessions.chat_votes import candidate_of, candidate_of_turn, provenance
from edgetune.sessions.conversation_record import ConversationRecord
from edgetune.sessions.loaded_model import LoadedModel
from edgetune.text import safe_text


@dataclass
class ChatSettings:
    """How the model answers. max_tokens: longest answer, None for 512 or half the context. into: the preference file for votes on it."""

    system: str = ""
    sampling: Sampling = field(default_factory=Sampling)
    max_tokens: int | None = None
    into: str = DEFAULT_NAME


class ChatSession(LoadedModel):
    """Loads a GGUF and chats with it. What asks blocks: call it in a thread, one at a time. `new_text` and `stop` never block.

    notices: what the person should know, such as turns that no longer fit.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.settings = ChatSettings()
        self.notices: list[str] = []
        self.stats: GenerationStats | None = None
        self._record = ConversationRecord()
        self._conversation: Conversation | None = None
        self._answer: Answer | None = None
        self._lock, self._pieces = threading.Lock(), list[str]()

    def _on_start(self, engine: Engine) -> None:
        """A new process continues the conversation."""
        self._conversation = Conversation(engine, notice=self.notices.append)
        self._conversation.messages = self.branches.messages()

    @property
    def branches(self) -> Branches:
        """All branches so far, with the one that is open."""
        return self._record.branches

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
        """The messages so far, in the branch that is open."""
        return self.branches.messages()

    def answer(self, text: str) -> None:
        """Ask, and write down the answer until it ends; `new_text` gives what has come. Raises EdgeTuneError."""
        self._write(text, None, self.settings.sampling)

    def answer_again(self, question: int, sampling: Sampling | None = None) -> None:
        """Another answer to a question that was asked, as another branch."""
        self._write(self.branches.turns[question].content, question, sampling or self.settings.sampling)

    def _write(self, text: str, question: int | None, sampling: Sampling) -> None:
        self.load()
        conversation = self._conversation
        assert conversation is not None
        conversation.system = self.settings.system or None
        self.stats = None
        before = list(conversation.messages)

        # The model must not see the answer that gets another branch; where none can begin, all is as before.
        if question is not None:
            conversation.messages = self.branches.messages(question)[:-1]
        try:
            sampling = sampling.checked()
            self._answer = conversation.ask(text, sampling=sampling, max_tokens=self.settings.max_tokens)
        except EdgeTuneError as error:
            conversation.messages = before
            self._failed(error)
            raise

        # From here on the question counts: an answer that fails midway stays as far as it came.
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

    def new_text(self) -> str:
        """What was written since the last call, safe to show."""
        with self._lock:
            text = "".join(self._pieces)
            self._pieces.clear()
        return safe_text(text)

    def stop(self) -> None:
        """End the answer that is being written; what is written stays. From any thread."""
        if answer := self._answer:
            answer.cancel()

    def go(self, at: int) -> None:
        """Continue from a turn, or from the start; what came after it stays as a branch."""
        self.branches.go(at)
        self._follow_branch()

    def switch(self, at: int, step: int) -> None:
        """Open another branch than the one that begins with a turn, `step` further."""
        self.branches.switch(at, step)
        self._follow_branch()

    def _follow_branch(self) -> None:
        """What the model sees is the branch that is open."""
        if self._conversation:
            self._conversation.messages = self.branches.messages()

    def reset(self) -> None:
        """Forget all messages; what was saved of them stays."""
        self.stats = None
        self._record.start()
        self._follow_branch()

    def save(self, folder: Path) -> None:
        """Write the conversation so far, with all its branches."""
        self._record.save(folder, self.path.name, self.settings.system)

    def resume(self, conversation: SavedConversation) -> None:
        """Continue a saved conversation."""
        self.load()
        self._record.resume(conversation)
        self.settings.system, self.stats = conversation.system, None
        self._follow_branch()

    def candidate(self, at: int) -> Candidate:
        """An answer as votes know it."""
        return candidate_of_turn(self.branches.turns[at])

    def prompt_of(self, at: int) -> list[Message]:
        """The turns that an answer answers, the system prompt first."""
        system = [{"role": "system", "content": self.settings.system}] if self.settings.system else []
        return [*system, *self.branches.messages(self.branches.turns[at].parent)]


def _speed(stats: GenerationStats | None) -> dict[str, object]:
    """How long an answer is and how fast it came, as a saved conversation holds it."""
    return {"tokens": stats.tokens, "tokens_per_second": round(stats.tokens_per_second, 1)} if stats else {}
