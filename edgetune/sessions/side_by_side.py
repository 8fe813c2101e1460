"""The same questions to two models, one after the other, each with the machine to itself."""

from collections.abc import Sequence

from edgetune.chat.conversation import Message
from edgetune.chat.model_info import GenerationStats
from edgetune.errors import EdgeTuneError
from edgetune.sessions.console import Console
from edgetune.sessions.slash_commands import SAMPLING_COMMANDS, ChatCommands, change_sampling, split_command

HELP = """  /reset         forget both conversations
  /system TEXT   set the system message of both and start again (no TEXT: none)
  /seed N        use the same seed for every answer (no N: a new one for each)
  /temp T        temperature; 0 always takes the likeliest token. Likewise /top-k N, /top-p P, /min-p P, /penalty R
  /quit          leave (or Ctrl-D); Ctrl-C stops an answer, and both models forget the question"""


class SideBySide:
    """Two conversations that get the same questions. chats: each with the name of its model."""

    def __init__(self, chats: Sequence[tuple[str, ChatCommands]], console: Console) -> None:
        self.chats, self.console = chats, console

    def question(self, text: str) -> str:
        """Ask both, and show the answers with the models' names before them; why the last one ended.

        A question that one model could not answer, or whose answer was stopped, is removed from both, so that they keep the same history.
        """
        reason = "end"
        before = [list(chat.conversation.messages) if chat.conversation else [] for _, chat in self.chats]

        for name, chat in self.chats:
            self.console.name_speaker(name)
            try:
                reason = chat.question(text)
            except EdgeTuneError:
                self._restore(before)
                raise
            if reason == "cancelled":
                self._restore(before)
                break
        return reason

    def _restore(self, before: list[list[Message]]) -> None:
        for messages, (_, chat) in zip(before, self.chats, strict=True):
            if chat.conversation:
                chat.conversation.messages = messages

    def answers(self, text: str) -> list[tuple[str, str, GenerationStats]]:
        """Ask both without showing: names, answers, and their statistics."""
        answers = []
        for name, chat in self.chats:
            answer = chat.ask(text, chat.sampling)
            answer_text = "".join(answer)
            assert answer.stats is not None
            answers.append((name, answer_text, answer.stats))
        return answers

    def piped(self, line: str) -> str:
        """A line of a pipe is a question; why the last answer ended."""
        return self.question(line)

    def line(self, line: str) -> bool:
        """A line of a terminal; False to leave. InputError where it cannot be carried out."""
        command, arguments = split_command(line)
        if command in SAMPLING_COMMANDS:
            sampling = change_sampling(command, arguments, self.chats[0][1].sampling, self.console.say)
            for _, chat in self.chats:
                chat.sampling = sampling
        elif command in ("/reset", "/system"):
            for _, chat in self.chats:
                chat.command(command, arguments)
        elif command == "/help":
            self.console.say(HELP)
        elif command.startswith("/") and command != "/quit":
            self.console.say(f"There is no command {command} with two models; /help lists them.")
        elif command and command != "/quit":
            self.question(line)
        return command != "/quit"
