"""Chat in a terminal: answers streamed to stdout, everything else to stderr."""

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from edgetune.chat.conversation import Answer
from edgetune.chat.model_info import GenerationStats
from edgetune.errors import EdgeTuneError
from edgetune.text import safe_text

if TYPE_CHECKING:
    from edgetune.sessions.side_by_side import Beside
    from edgetune.sessions.slash_commands import Typed

REASONS = {"end": "end of turn", "stop": "end of turn", "length": "--max-tokens reached", "context": "context full", "cancelled": "stopped"}


def say(text: str) -> None:
    """A word to the person, on stderr."""
    print(safe_text(text), file=sys.stderr, flush=True)


@contextmanager
def ctrl_c_stops(stop: Callable[[], None]) -> Iterator[None]:
    """While inside, the first Ctrl-C stops the answer; a second one interrupts as usual."""

    def once(_signal: int, _frame: object) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        stop()

    previous = signal.signal(signal.SIGINT, once)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)


def show(answer: Answer) -> GenerationStats:
    """Stream an answer to stdout, made safe for terminals, with a final newline; its statistics go to stderr."""
    with ctrl_c_stops(answer.cancel):
        for chunk in answer:
            sys.stdout.write(safe_text(chunk))
            sys.stdout.flush()
    sys.stdout.write("\n")
    sys.stdout.flush()
    stats = answer.stats
    assert stats is not None
    say(
        f"[{stats.tokens} tokens, {stats.tokens_per_second:.0f} tokens/s; prompt: {stats.evaluated} evaluated, {stats.reused} reused; "
        f"seed {stats.seed}; {REASONS[stats.reason]}]"
    )
    return stats


def questions() -> Iterator[str]:
    """What a person types, line by line, until Ctrl-D. Ctrl-C on the empty prompt only starts a new line."""
    if sys.stdout.isatty() and sys.platform != "win32":
        import readline  # noqa: F401  (importing it gives input() history and editing)
    while True:
        try:
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


def talk(typed: "Typed | Beside", completes: bool = False) -> None:
    """The interactive loop. Errors of one question are shown and the talk goes on, unless llama.cpp is gone. completes: it answers no
    questions, but completes texts."""
    say(f"Type a {'text to complete' if completes else 'question'}; /help lists the commands.")
    for line in questions():
        try:
            if not typed.line(line):
                return
        except EdgeTuneError as error:
            if error.exit_code != 2:
                raise
            say(f"{error.title}: {error.cause} {error.remedy}")
