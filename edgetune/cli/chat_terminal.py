"""Chat in a terminal: answers streamed to stdout, everything else to stderr."""

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from edgetune.chat.conversation import Answer
from edgetune.chat.model_info import STOP_REASONS, GenerationStats
from edgetune.cli import chat_input
from edgetune.errors import EdgeTuneError
from edgetune.text import one_line, safe_text

if TYPE_CHECKING:
    from edgetune.sessions.side_by_side import SideBySide
    from edgetune.sessions.slash_commands import ChatCommands


def say(text: str) -> None:
    """Show a message on stderr."""
    print(safe_text(text), file=sys.stderr, flush=True)


class Terminal:
    """The `edgetune.sessions.console.Console` of the command line."""

    def say(self, text: str) -> None:
        """Show a message on stderr."""
        say(text)

    def name_speaker(self, name: str) -> None:
        """Write whose answer comes next, before it on the same line."""
        _write(f"[{one_line(name, 40)}] ")

    def stream(self, answer: Answer) -> GenerationStats:
        """Stream an answer to stdout, made safe for terminals, with a final newline; its statistics go to stderr."""
        with self.cancel_on_interrupt(answer.cancel):
            for chunk in answer:
                _write(safe_text(chunk))
        _write("\n")

        stats = answer.stats
        assert stats is not None
        say(
            f"[{stats.tokens} tokens, {stats.tokens_per_second:.0f} tokens/s; prompt: {stats.evaluated} evaluated, {stats.reused} reused; "
            f"seed {stats.seed}; {STOP_REASONS[stats.reason]}]"
        )
        return stats

    def show(self, text: str) -> None:
        """Write a whole answer to stdout."""
        _write(safe_text(text) + "\n")

    def progress(self, text: str) -> None:
        """Replace the progress line on stderr, in a terminal only; an empty text removes it."""
        if sys.stderr.isatty():
            print(f"\r{safe_text(text)}\x1b[K", end="", file=sys.stderr, flush=True)

    def ask_key(self, question: str) -> str | None:
        """Ask on stderr and read a line of stdin."""
        return chat_input.ask_key(question)

    def edit_text(self, text: str) -> str | None:
        """Open the person's editor, or read a line of stdin."""
        return chat_input.edit_text(text)

    @contextmanager
    def cancel_on_interrupt(self, cancel: Callable[[], None]) -> Iterator[None]:
        """While inside, the first Ctrl-C calls `cancel`; a second one interrupts as usual."""

        def once(_signal: int, _frame: object) -> None:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            cancel()

        previous = signal.signal(signal.SIGINT, once)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, previous)


def _write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def typed_lines() -> Iterator[str]:
    """What a person types, line by line, until Ctrl-D. Ctrl-C on the empty prompt only starts a new line."""
    if sys.stdout.isatty() and sys.platform != "win32":
        import readline  # noqa: F401  (importing it gives input() history and editing)

    while True:
        try:
            # The prompt must not end up in a file that the answers are redirected to.
            if sys.stdout.isatty():
                yield input("> ")
            else:
                print("> ", end="", file=sys.stderr, flush=True)
                yield input()
        except EOFError:
            say("")
            return
        except KeyboardInterrupt:
            say("")


def read_and_answer(chat: "ChatCommands | SideBySide", completes: bool = False) -> None:
    """The interactive loop. Errors of one line are shown and the loop continues, unless llama.cpp is gone.

    completes: texts are completed instead of questions answered.
    """
    say(f"Type a {'text to complete' if completes else 'question'}; /help lists the commands.")
    for line in typed_lines():
        try:
            if not chat.line(line):
                return
        except EdgeTuneError as error:
            if error.exit_code != 2:
                raise
            say(f"{error.title}: {error.cause} {error.remedy}")
