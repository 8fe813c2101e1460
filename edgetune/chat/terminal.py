"""Chat in a terminal: answers streamed to stdout, everything else to stderr."""

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from edgetune.chat import voting
from edgetune.chat.choosing import COMMANDS as CHOOSING
from edgetune.chat.conversation import Answer, Conversation
from edgetune.chat.engine import Engine
from edgetune.chat.model_info import GenerationStats
from edgetune.chat.sampling import Sampling
from edgetune.errors import EdgeTuneError
from edgetune.text import safe_text

if TYPE_CHECKING:
    from edgetune.chat.choosing import Choosing
    from edgetune.preferences.in_chat import ChatVotes

REASONS = {"end": "end of turn", "stop": "end of turn", "length": "--max-tokens reached", "context": "context full", "cancelled": "stopped"}
HELP = """  /reset         forget the conversation
  /system TEXT   set the system message and start anew (no TEXT: none)
  /seed N        repeat the same choices (no N: draw a new seed for each answer)
  /temp T        temperature, 0 to always take the likeliest token
  /adapters      list the adapters; /adapter NAME SCALE turns one up or down (0: off), /adapter FILE SCALE loads one
  /up, /down     thumbs on the last answer: kept as a vote, from which the model can learn
  /edit TEXT     the last answer as it should have been (no TEXT: in $EDITOR); the chat goes on with it
  /vote          write a second answer and choose between the two
  /best N RUN    write N answers and show the one that a reward run likes best; /rewards shows all, /pick K votes for another
  /quit          leave (or Ctrl-D); Ctrl-C stops an answer and keeps what is there"""


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


def talk(
    ask: Callable[[str, Sampling], Answer],
    sampling: Sampling,
    conversation: Conversation | None,
    engine: Engine,
    votes: "ChatVotes | None" = None,
    max_tokens: int | None = None,
    choosing: "Choosing | None" = None,
) -> None:
    """The interactive loop. Errors of one question are shown and the talk goes on, unless llama.cpp is gone.

    ask: begins an answer. conversation: what /reset and /system act on; None where text is completed as it is.
    engine: what /adapter acts on. votes: what /up, /down, /edit and /vote act on, whose second answers have `max_tokens` at most.
    choosing: what /best, /rewards and /pick act on.
    """
    say("Type a question; /help lists the commands." if conversation else "Type a text to complete; /help lists the commands.")
    for line in questions():
        word, _, rest = line.strip().partition(" ")
        try:
            if word == "/quit":
                return
            if word in ("/adapter", "/adapters"):
                adapter_command(engine, word, rest.strip())
            elif word in voting.COMMANDS:
                voting.carry_out(word, rest.strip(), votes, sampling, max_tokens, say, show)
            elif choosing is not None and word in CHOOSING:
                choosing.carry_out(word, rest.strip())
            elif word.startswith("/"):
                sampling = command(word, rest.strip(), conversation, sampling)
            elif word and choosing is not None and choosing.on:
                choosing.show(line, sampling, max_tokens)
            elif word:
                answer = ask(line, sampling)
                show(answer)
                if votes is not None:
                    votes.answered(answer, sampling)
        except EdgeTuneError as error:
            if error.exit_code != 2:
                raise
            say(f"{error.title}: {error.cause} {error.remedy}")


def adapter_command(engine: Engine, word: str, rest: str) -> None:
    """Carry out /adapters, or /adapter with what follows it."""
    from edgetune.chat import adapters

    if word == "/adapters":
        say(adapters.listed(engine))
    else:
        adapters.turn(engine, rest)


def command(word: str, rest: str, conversation: Conversation | None, sampling: Sampling) -> Sampling:
    """Carry out a slash command; the sampling settings from now on."""
    if word in ("/seed", "/temp"):
        return turned(word, rest, sampling)
    if word in ("/reset", "/system") and conversation:
        if word == "/system":
            conversation.system = rest or None
        conversation.reset()
        say(f"The conversation starts anew{', with this system message' if conversation.system else ''}.")
    elif word == "/help":
        say(HELP)
    else:
        say(f"There is no command {word}{'' if conversation else ' with --raw'}; /help lists them.")
    return sampling


def turned(word: str, rest: str, sampling: Sampling) -> Sampling:
    """The settings after /seed or /temp, said aloud; unchanged when the value is no number. InputError when it is out of bounds."""
    try:
        changed = replace(sampling, seed=int(rest) if rest else None) if word == "/seed" else replace(sampling, temperature=float(rest))
    except ValueError:
        say(f"{word} needs a number.")
        return sampling
    changed.checked()
    say(f"Seed: {'a new one for each answer' if changed.seed is None else changed.seed}; temperature: {changed.temperature}.")
    return changed
