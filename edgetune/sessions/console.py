"""What a typed conversation needs of the place it is typed in. The command line's is `edgetune.cli.chat_terminal.Terminal`."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol

from edgetune.chat.conversation import Answer
from edgetune.chat.model_info import GenerationStats


class Console(Protocol):
    """Shows answers and messages, and asks the person. Everything it gets may be unsafe to show: it makes the text safe itself."""

    def say(self, text: str) -> None:
        """Show a message: what was done, or what the person should know."""

    def name_speaker(self, name: str) -> None:
        """Show whose answer comes next."""

    def stream(self, answer: Answer) -> GenerationStats:
        """Show an answer while it is written, and its statistics when it has ended. An interrupt cancels it."""

    def show(self, text: str) -> None:
        """Show an answer that is already written."""

    def progress(self, text: str) -> None:
        """Replace the progress line; an empty text removes it."""

    def ask_key(self, question: str) -> str | None:
        """What the person answers to a question, without spaces around it; None where there is nobody to answer."""

    def edit_text(self, text: str) -> str | None:
        """A text as the person changes it; None where they gave up."""

    def cancel_on_interrupt(self, cancel: Callable[[], None]) -> AbstractContextManager[None]:
        """While inside, the first interrupt calls `cancel` instead of raising KeyboardInterrupt."""
