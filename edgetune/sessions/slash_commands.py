"""What is typed in a conversation, line by line: questions, and the commands that begin with a slash."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from edgetune.chat.conversation import Answer, Conversation, complete
from edgetune.chat.engine import Engine
from edgetune.chat.sampling import Sampling
from edgetune.sessions import adapters, vote_commands
from edgetune.sessions.best_of_n_commands import COMMANDS as BEST_OF_N
from edgetune.sessions.console import Console
from edgetune.sessions.history import COMMANDS as HISTORY

if TYPE_CHECKING:
    from edgetune.sessions.best_of_n_commands import BestOfNCommands
    from edgetune.sessions.chat_votes import ChatVotes
    from edgetune.sessions.history import History

HELP = """  /reset         forget the conversation
  /system TEXT   set the system message and start again (no TEXT: none)
  /seed N        use the same seed for every answer (no N: a new one for each)
  /temp T        temperature; 0 always takes the likeliest token. Likewise /top-k N, /top-p P, /min-p P, /penalty R
  /adapters      list the adapters; /adapter NAME SCALE sets the scale of one (0: off), /adapter FILE SCALE loads one
  /again         another answer to the last question; the previous answer stays as a branch
  /turns         every turn so far, numbered; /go N continues from a turn, and what came after it stays as a branch
  /save          save this conversation with its branches, as the app does
  /up, /down     thumbs on the last answer: saved as a vote, from which the model can learn
  /edit TEXT     the last answer as it should have been (no TEXT: in $EDITOR); the chat continues with it
  /vote          write a second answer and choose between the two
  /best N RUN    write N answers and show the one that a reward run likes best; /rewards shows all, /pick K votes for another
  /quit          leave (or Ctrl-D); Ctrl-C stops an answer and keeps what is written"""
SAMPLING_COMMANDS = {
    "/seed": "seed",
    "/temp": "temperature",
    "/top-k": "top_k",
    "/top-p": "top_p",
    "/min-p": "min_p",
    "/penalty": "repeat_penalty",
}
"""Commands that change one of the sampling settings, with its name."""
FORMER_COMMANDS = {"/keep": "/save"}
"""Commands by the names they had before, which still work."""


@dataclass
class ChatCommands:
    """A conversation as it is typed. conversation: None where text is completed as it is; only commands on the engine then work.

    votes, best_of_n, history: what /up and the like, /best and the like, /again and the like act on.
    """

    engine: Engine
    console: Console
    sampling: Sampling
    max_tokens: int | None = None
    conversation: Conversation | None = None
    votes: "ChatVotes | None" = None
    best_of_n: "BestOfNCommands | None" = None
    history: "History | None" = None

    def ask(self, text: str, sampling: Sampling) -> Answer:
        """Begin an answer to a question, or a text's completion."""
        if self.conversation is None:
            return complete(self.engine, text, sampling=sampling, max_tokens=self.max_tokens)
        return self.conversation.ask(text, sampling=sampling, max_tokens=self.max_tokens)

    def whole(self, text: str) -> Answer:
        """Ask without showing; the answer, which has ended."""
        answer = self.ask(text, self.sampling)
        for _ in answer:
            pass
        if self.votes is not None:
            self.votes.record_answer(answer, self.sampling)
        return answer

    def question(self, text: str) -> str:
        """Ask, and show the answer; why it ended. With /best on, several are written and the best one is shown."""
        if self.best_of_n is not None and self.best_of_n.on:
            self.best_of_n.show(text, self.sampling, self.max_tokens)
            reason = "end"
        else:
            answer = self.ask(text, self.sampling)
            reason = self.console.stream(answer).reason
            if self.votes is not None:
                self.votes.record_answer(answer, self.sampling)
        if self.history is not None:
            self.history.record_exchange()
        return reason

    def piped(self, line: str) -> str:
        """A line of a pipe: a question, or a command that asks nothing back; why the answer ended. InputError where it cannot be
        carried out."""
        command, arguments = split_command(line)
        votes_without_asking = command in vote_commands.PIPED and (arguments or command != "/edit")
        if self.conversation is None or not (votes_without_asking or command in (*BEST_OF_N, *HISTORY)):
            return self.question(line)
        self.command(command, arguments)
        return "end"

    def line(self, line: str) -> bool:
        """A line of a terminal; False to leave. InputError where it cannot be carried out."""
        command, arguments = split_command(line)
        if command.startswith("/"):
            return command != "/quit" and self.command(command, arguments)
        if command:
            self.question(line)
        return True

    def command(self, command: str, arguments: str) -> bool:
        """Carry out a command; always True."""
        say = self.console.say
        if command == "/adapters":
            say(adapters.describe(self.engine))
        elif command == "/adapter":
            adapters.set_scale(self.engine, arguments, say)
        elif command in vote_commands.COMMANDS:
            vote_commands.run_vote_command(command, arguments, self.votes, self.sampling, self.max_tokens, self.console)
            self._record_replacement()
        elif command in BEST_OF_N and self.best_of_n is not None:
            self.best_of_n.run(command, arguments)
            self._record_replacement()
        elif command in HISTORY and self.history is not None:
            self.history.run(command, arguments, self.sampling, self.ask)
        elif command in SAMPLING_COMMANDS:
            self.sampling = change_sampling(command, arguments, self.sampling, say)
        elif command in ("/reset", "/system") and self.conversation is not None:
            self._start_again(self.conversation, command, arguments)
        elif command == "/help":
            say(HELP)
        else:
            say(f"There is no command {command}{'' if self.conversation else ' with --raw'}; /help lists them.")
        return True

    def _record_replacement(self) -> None:
        if self.history is not None:
            self.history.record_replacement()

    def _start_again(self, conversation: Conversation, command: str, arguments: str) -> None:
        if command == "/system":
            conversation.system = arguments or None
        conversation.reset()
        if self.history is not None:
            self.history.start()
        self.console.say(f"The conversation starts again{', with this system message' if conversation.system else ''}.")


def split_command(line: str) -> tuple[str, str]:
    """The first word, by its present name where it is a former command, and the rest."""
    command, _, arguments = line.strip().partition(" ")
    return FORMER_COMMANDS.get(command, command), arguments.strip()


def change_sampling(command: str, arguments: str, sampling: Sampling, say: Callable[[str], None]) -> Sampling:
    """The settings with one of them changed, which `say` shows; unchanged where it is no number. InputError where it is out of bounds."""
    name = SAMPLING_COMMANDS[command]
    value: Any
    try:
        number = int if name in ("seed", "top_k") else float
        value = None if name == "seed" and not arguments else number(arguments)
    except ValueError:
        say(f"{command} needs a number.")
        return sampling

    changed = replace(sampling, **{name: value})
    changed.checked()
    seed = "a new one for each answer" if changed.seed is None else changed.seed
    say(
        f"Seed: {seed}; temperature: {changed.temperature}; top-k: {changed.top_k}; top-p: {changed.top_p}; min-p: {changed.min_p}; "
        f"repeat penalty: {changed.repeat_penalty}."
    )
    return changed
