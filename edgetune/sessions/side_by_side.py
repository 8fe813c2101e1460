"""The same questions to two models, one after the other, each with the machine to itself."""

import sys
from collections.abc import Sequence

from edgetune.chat.conversation import Message
from edgetune.chat.model_info import GenerationStats
from edgetune.cli.chat_terminal import say
from edgetune.errors import EdgeTuneError
from edgetune.sessions.slash_commands import SAMPLING, Typed, parted, turned
from edgetune.text import one_line

HELP = """  /reset         forget what was said to both
  /system TEXT   set their system message and start anew (no TEXT: none)
  /seed N        repeat the same choices (no N: draw a new seed for each answer)
  /temp T        temperature, 0 to always take the likeliest token; so too /top-k N, /top-p P, /min-p P, /penalty R
  /quit          leave (or Ctrl-D); Ctrl-C stops an answer, and both forget the question"""


class Beside:
    """Two talks that hear the same. talks: each with what its model is called."""

    def __init__(self, talks: Sequence[tuple[str, Typed]]) -> None:
        self.talks = talks

    def question(self, text: str) -> str:
        """Ask both, and show the answers with the models' names before them; why the last one ended. One that was stopped, or that could
        not be, is taken back from both: they hear the same."""
        reason, before = "end", [list(typed.conversation.messages) if typed.conversation else [] for _, typed in self.talks]
        for name, typed in self.talks:
            sys.stdout.write(f"[{one_line(name, 40)}] ")
            sys.stdout.flush()
            try:
                reason = typed.question(text)
            except EdgeTuneError:
                self._take_back(before)
                raise
            if reason == "cancelled":
                self._take_back(before)
                break
        return reason

    def _take_back(self, before: list[list[Message]]) -> None:
        for messages, (_, typed) in zip(before, self.talks, strict=True):
            if typed.conversation:
                typed.conversation.messages = messages

    def answers(self, text: str) -> list[tuple[str, str, GenerationStats]]:
        """Ask both without showing: names, answers, and how they went."""
        found = []
        for name, typed in self.talks:
            answer = typed.ask(text, typed.sampling)
            said = "".join(answer)
            assert answer.stats is not None
            found.append((name, said, answer.stats))
        return found

    def piped(self, line: str) -> str:
        """A line of a pipe is a question; why the last answer ended."""
        return self.question(line)

    def line(self, line: str) -> bool:
        """A line of a terminal; False to leave. InputError where it cannot be."""
        word, rest = parted(line)
        if word in SAMPLING:
            sampling = turned(word, rest, self.talks[0][1].sampling)
            for _, typed in self.talks:
                typed.sampling = sampling
        elif word in ("/reset", "/system"):
            for _, typed in self.talks:
                typed.command(word, rest)
        elif word == "/help":
            say(HELP)
        elif word.startswith("/") and word != "/quit":
            say(f"There is no command {word} with two models; /help lists them.")
        elif word and word != "/quit":
            self.question(line)
        return word != "/quit"
