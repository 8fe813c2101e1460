"""What `collect`, `rank` and `arena` share: flags, models opened by name, answers streamed, and the loop that asks for votes."""

import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgetune.chat.model_info import DEFAULT_CONTEXT
from edgetune.chat.sampling import Sampling
from edgetune.cli.chat_input import ask_key
from edgetune.errors import EdgeTuneError, InputError
from edgetune.gguf.find import model_file
from edgetune.preferences.naming import name_of
from edgetune.storage.workspace import open_workspace
from edgetune.text import safe_text

if TYPE_CHECKING:
    from edgetune.preferences.authors import Author
    from edgetune.preferences.judges import Judge
    from edgetune.preferences.record import Candidate
    from edgetune.sessions.ranking import RankingSession, Task

PromptsFlag = Annotated[
    Path | None,
    typer.Option("--prompts", metavar="FILE", help="Prompts: a .txt file with one per line, or examples in any shape.", show_default=False),
]
ConversationsFlag = Annotated[bool, typer.Option("--conversations", help="Use the questions of saved conversations as prompts.")]
FORMER_FLAGS = {"--talks": "--conversations"}
AdapterFlag = Annotated[list[str] | None, typer.Option(metavar="FILE[:SCALE]", help="A GGUF LoRA for the first model.", show_default=False)]
TemperatureFlag = Annotated[float, typer.Option(help="Sampling temperature; 0 takes the likeliest token.")]
SeedFlag = Annotated[
    int, typer.Option(help="Seed of the answers and of their order; the same seed gives the same answers.", min=0, max=2**31)
]
TokensFlag = Annotated[
    int | None, typer.Option(help="Longest answer in tokens (default: 512, at most half the context).", show_default=False)
]
ContextFlag = Annotated[
    int | None, typer.Option(help=f"Context in tokens (default: the model's own, at most {DEFAULT_CONTEXT}).", show_default=False)
]
IntoFlag = Annotated[str, typer.Option("--into", metavar="NAME", help="The preference file of the workspace where votes are saved.")]
EnoughFlag = Annotated[
    int | None, typer.Option("--pairs", metavar="N", help="Stop when the preference file holds N pairs.", min=1, show_default=False)
]
JudgeFlag = Annotated[
    str, typer.Option(help="Who votes: human, or a rule (shortest, exact, regex:PATTERN; the first two need expected answers).")
]


def checked(sampling: Sampling, max_tokens: int | None) -> Sampling:
    """The settings; InputError naming all that is out of bounds."""
    problems = sampling.problems() + (
        [f"max-tokens is {max_tokens}; it must be at least 1."] if max_tokens is not None and max_tokens < 1 else []
    )
    if problems:
        raise InputError("A setting is out of bounds", " ".join(problems), "Use values within these bounds.")
    return sampling


class Screen:
    """Where answers and messages go: stdout for answers, or stderr with --json; stderr for messages."""

    def __init__(self, as_json: bool) -> None:
        self.stream = sys.stderr if as_json else sys.stdout
        self._writing: int | None = None

    def answer(self, number: int, text: str) -> None:
        """A piece of an answer, with its number before the first."""
        if self._writing != number:
            self.close()
            self.stream.write(f"\n[{number + 1}] ")
        self._writing = number
        self.stream.write(safe_text(text))
        self.stream.flush()

    def show(self, candidates: "list[Candidate]") -> None:
        """Answers that are already written."""
        for number, candidate in enumerate(candidates):
            self.answer(number, candidate.text)
        self.close()

    def close(self) -> None:
        """End the answer that is being written."""
        if self._writing is not None:
            self.stream.write("\n")
            self.stream.flush()
        self._writing = None

    def say(self, text: str) -> None:
        """Show a message."""
        self.close()
        print(safe_text(text), file=sys.stderr, flush=True)

    def question(self, prompt: "Any") -> None:
        """The prompt that is answered next; of a conversation, all of it."""
        for turn in prompt.messages:
            label = "" if len(prompt.messages) == 1 else f"{turn['role']}: "
            self.say(f"\n> {label}{turn['content']}" if turn is prompt.messages[0] else f"> {label}{turn['content']}")


class AnswerStream:
    """Streams a task's answers, the prompt before the first."""

    def __init__(self, session: "RankingSession", screen: Screen) -> None:
        self.session, self.screen, self._last = session, screen, ""

    def write(self, number: int, text: str) -> None:
        """A piece of an answer."""
        prompt = self.session.writing
        if prompt is not None and self._last != prompt.key:
            self._last = prompt.key
            self.screen.question(prompt)
        self.screen.answer(number, text)

    def shown(self, task: "Task") -> bool:
        """Whether a task's answers were just streamed."""
        just_streamed, self._last = self._last == task.prompt.key, ""
        return just_streamed


def gguf_of(source: str, workspace_path: Path | None) -> Path:
    """The file of a model as it is named; written first where there is none."""
    from edgetune.cli.chat_terminal import say

    return model_file(source, open_workspace(workspace_path), say)


def open_author(
    stack: ExitStack, source: str, workspace_path: Path | None, adapters: list[str], ctx: int | None, name: str = ""
) -> "Author":
    """Load a GGUF or a run, with adapters at their scales, as one that answers; closed with the stack."""
    from edgetune.chat.engine import Engine
    from edgetune.cli.chat_terminal import say
    from edgetune.preferences.authors import Author
    from edgetune.sessions.adapters import load

    path = gguf_of(source, workspace_path)
    engine = stack.enter_context(Engine(path, n_ctx=ctx))
    load(engine, adapters, say)
    return Author(name or name_of(source), engine, {known: adapter.scale for known, adapter in engine.adapters.items()})


def reached(session: "RankingSession", enough: int | None) -> bool:
    """Whether the preference file holds as many pairs as were asked for."""
    return enough is not None and session.state().pairs >= enough


def session_document(session: "RankingSession") -> dict[str, Any]:
    """A session's state as --json shows it."""
    from edgetune.preferences.consistency import worth

    state = session.state()
    document = asdict(state)
    document["worth"] = worth(state.pairs)
    document["file"] = str(session.store.path)
    document["list"] = session.prompts.name
    return document


VoteByKeys = Callable[["RankingSession", "Task", str, Screen], bool]
"""Saves the vote that pressed keys stand for; whether the task is done with it. InputError for keys that mean nothing."""


def vote_on_all(
    session: "RankingSession", screen: Screen, decide: "Judge | None", judge: str, enough: int | None, help_line: str, by_keys: VoteByKeys
) -> None:
    """Resume the session's prompts where they were left, until all are voted on, `enough` pairs are there, or the person leaves.

    decide, judge: the rule that votes, and its name; None where the person does.
    """
    screen.say(session.state().summary)
    stream = AnswerStream(session, screen)
    while not reached(session, enough) and (task := session.task(stream.write, screen.say)) is not None:
        if decide is not None:
            screen.say(f"saved {session.vote(decide(task.prompt, task.candidates), judge).id}")
        elif not vote_by_hand(session, task, screen, stream.shown(task), help_line, by_keys):
            return


def vote_by_hand(session: "RankingSession", task: "Task", screen: Screen, shown: bool, help_line: str, by_keys: VoteByKeys) -> bool:
    """Let the person vote on a task; False to leave. shown: its answers were just streamed."""
    screen.close()
    if not shown:
        screen.question(task.prompt)
        screen.show(task.candidates)

    while True:
        pressed = ask_key(help_line.format(example="213"[: len(task.candidates) + 1] if len(task.candidates) > 2 else "21"))
        if pressed is None or pressed == "q":
            return False

        try:
            if pressed == "s":
                session.skip()
                return True
            if pressed == "u":
                screen.say("last vote removed: its answers are shown again" if session.undo() else "There is no vote to remove.")
                return True

            # A key that means nothing costs no vote: the mistake is shown and the question is asked again.
            if by_keys(session, task, pressed, screen):
                return True
        except InputError as error:
            show_mistake(screen, error)


def show_mistake(screen: Screen, error: EdgeTuneError) -> None:
    """Show a mistake in what was typed, so that the person can try again; anything else is raised."""
    if error.exit_code != 2:
        raise error
    screen.say(f"{error.title}: {error.cause} {error.remedy}")
