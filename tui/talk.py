"""A talk with a model: the llama.cpp process and the conversation, for one thread at a time, and what an answer has written so far."""

import threading
from dataclasses import dataclass, field
from pathlib import Path

from edgetune.chat import saved
from edgetune.chat.conversation import Answer, Conversation, Message
from edgetune.chat.engine import Engine
from edgetune.chat.model_info import GenerationStats
from edgetune.chat.sampling import Sampling
from edgetune.errors import EdgeTuneError
from edgetune.text import safe_text


@dataclass
class Ways:
    """How it answers. max_tokens: longest answer, None for 512 or half the context."""

    system: str = ""
    sampling: Sampling = field(default_factory=Sampling)
    max_tokens: int | None = None


class Talk:
    """Loads a GGUF and talks with it. All methods but `take` and `stop` block: call them beside the UI, one at a time.

    notices: what the conversation has to say, such as turns that no longer fit.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.ways = Ways()
        self.notices: list[str] = []
        self.stats: GenerationStats | None = None
        self._engine: Engine | None = None
        self._conversation: Conversation | None = None
        self._answer: Answer | None = None
        self._kept: Path | None = None
        self._lock, self._pieces = threading.Lock(), list[str]()

    def load(self) -> Engine:
        """Start llama.cpp with the file, or give the one that runs. After a crash the messages are still there."""
        if self._engine is None:
            messages = self._conversation.messages if self._conversation else []
            self._engine = Engine(self.path)
            self._conversation = Conversation(self._engine, notice=self.notices.append)
            self._conversation.messages = messages
        return self._engine

    @property
    def context(self) -> int:
        """Tokens the context holds; 0 before the file is loaded."""
        return self._engine.info.n_ctx if self._engine else 0

    @property
    def described(self) -> str:
        """The model in a few words."""
        return self._engine.info.description.replace(" ?B", "") if self._engine else ""

    @property
    def used(self) -> int:
        """Tokens of the context that the last answer and all before it took."""
        return self.stats.evaluated + self.stats.reused + self.stats.tokens if self.stats else 0

    @property
    def questions(self) -> int:
        """Questions asked so far."""
        return sum(message["role"] == "user" for message in self._conversation.messages) if self._conversation else 0

    def answer(self, text: str) -> None:
        """Ask, and write down the answer until it ends; `take` gives what has come. Raises EdgeTuneError."""
        self.load()
        conversation = self._conversation
        assert conversation is not None
        conversation.system = self.ways.system or None
        self.stats = None
        try:
            self._answer = conversation.ask(text, sampling=self.ways.sampling, max_tokens=self.ways.max_tokens)
            for piece in self._answer:
                with self._lock:
                    self._pieces.append(piece)
            self.stats = self._answer.stats
        except EdgeTuneError as error:
            if error.exit_code != 2:
                self.close()
            raise
        finally:
            self._answer = None

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

    def take_back(self) -> str | None:
        """Forget the last question with its answer; the question."""
        return self._conversation.take_back() if self._conversation else None

    def reset(self) -> None:
        """Forget all messages; what was kept of them stays."""
        self.stats = self._kept = None
        if self._conversation:
            self._conversation.reset()

    @property
    def messages(self) -> list[Message]:
        """What was said so far."""
        return self._conversation.messages if self._conversation else []

    def keep(self, folder: Path) -> None:
        """Write down what was said so far."""
        self._kept = self._kept or saved.new_path(folder)
        saved.keep(self._kept, self.path.name, self.ways.system, self.messages)

    def take_up(self, talk: saved.Saved) -> None:
        """Go on with a conversation that was kept."""
        self.load()
        assert self._conversation is not None
        self._conversation.messages = [dict(message) for message in talk.messages]
        self.ways.system, self.stats, self._kept = talk.system, None, talk.path

    def close(self) -> None:
        """End the process. The next question starts it again."""
        engine, self._engine = self._engine, None
        if engine:
            engine.close()
