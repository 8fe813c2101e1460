"""`edgetune collect`: two answers to the same prompt, the better one picked, or an answer edited."""

import json
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from edgetune.chat.sampling import Sampling
from edgetune.cli import voting
from edgetune.cli.chat_input import ask_key, edit_text
from edgetune.cli.flags import JsonFlag, WorkspaceFlag
from edgetune.errors import InputError
from edgetune.gguf.find import MEANT

if TYPE_CHECKING:
    from edgetune.preferences.judges import Judge
    from edgetune.sessions.ranking import Session, Task

EXAMPLES = """Pick the better of two answers to the same prompt; from it, the model can learn your taste.

The answers differ in their seeds, and where asked in model, adapter or temperature; whose is which is drawn and not shown.
Keys: 1 or 2 the better one, t tie, b both bad, e1 or e2 edit an answer (the edit is chosen over it), +1 -1 +2 -2 thumbs on one,
s skip, u undo, q leave. Without a terminal, keys are read from stdin, one a line, and without --prompts the prompts too.

Examples:

  edgetune collect my-run

  edgetune collect my-run --other base.gguf --prompts questions.txt

  edgetune collect base.gguf --other base.gguf --other-adapter mine-lora.gguf:0.8 --prompts questions.jsonl --judge shortest --json
"""
PICKS = {"1": "left", "l": "left", "2": "right", "r": "right", "t": "tie", "=": "tie", "b": "bad", "0": "bad"}
HELP = "better: 1 or 2; t tie, b both bad, e1/e2 edit, +1/-1 thumbs, s skip, u undo, q leave:"


def collect(
    source: Annotated[str, typer.Argument(metavar="MODEL", help=MEANT, show_default=False)],
    prompts: voting.PromptsFlag = None,
    other: Annotated[
        str | None, typer.Option(metavar="MODEL", help="The model of the second answer (the same).", show_default=False)
    ] = None,
    adapter: voting.AdapterFlag = None,
    other_adapter: Annotated[
        list[str] | None, typer.Option(metavar="FILE[:SCALE]", help="A GGUF LoRA for the second model.", show_default=False)
    ] = None,
    judge: voting.JudgeFlag = "human",
    enough: voting.EnoughFlag = None,
    temperature: voting.TemperatureFlag = 1.0,
    other_temperature: Annotated[float | None, typer.Option(help="Spread of the second answer (the same).", show_default=False)] = None,
    max_tokens: voting.TokensFlag = None,
    seed: voting.SeedFlag = 0,
    ctx: voting.ContextFlag = None,
    into: voting.IntoFlag = "prefs",
    as_json: JsonFlag = False,
    workspace_path: WorkspaceFlag = None,
) -> None:
    """Pick the better answer."""
    from edgetune.preferences.judges import must_expect, rule
    from edgetune.preferences.naming import name_of
    from edgetune.preferences.prompts import listed, read
    from edgetune.preferences.store import store
    from edgetune.sessions.ranking import Session
    from edgetune.storage.workspace import workspace

    first = voting.checked(Sampling(temperature, seed=seed), max_tokens)
    second = voting.checked(replace(first, temperature=temperature if other_temperature is None else other_temperature), max_tokens)
    decide = None if judge == "human" else rule(judge)
    if decide is not None and prompts is None:
        raise InputError("A rule needs prompts", f"--judge {judge} votes by itself, and there is nothing to ask.", "Give --prompts FILE.")
    asked = listed([], "typed") if prompts is None else read(prompts.expanduser())
    must_expect(judge, asked.prompts)
    votes = store(workspace(workspace_path), into)
    screen = voting.Screen(as_json)
    for reason in asked.left_out[:5]:
        screen.say(f"left out {reason}")
    with ExitStack() as stack:
        one = voting.open_author(stack, source, workspace_path, adapter or [], ctx)
        two = one
        if other or other_adapter:
            name = name_of(other or source)
            two = voting.open_author(stack, other or source, workspace_path, other_adapter or [], ctx, name)
        session = Session(votes, asked, [(one, first), (two, second)], source="collect", seed=seed, max_tokens=max_tokens, repeats=False)
        if asked.prompts:
            from_list(session, decide, judge, screen, enough)
        else:
            typed(session, screen)
        screen.say(session.state().words)
        if as_json:
            typer.echo(json.dumps(voting.session_document(session), ensure_ascii=False))


def from_list(session: "Session", decide: "Judge | None", judge: str, screen: voting.Screen, enough: int | None) -> None:
    """Go through the prompts of a file, where it was left, until there are so many pairs."""
    screen.say(session.state().words)
    upcoming = voting.Announced(session, screen)
    while not voting.reached(session, enough) and (task := session.task(upcoming.answer, screen.say)) is not None:
        if decide is not None:
            screen.say(f"taken {session.take(decide(task.prompt, task.candidates), judge).id}")
        elif not by_hand(session, task, screen, shown=upcoming.shown(task)):
            return


def typed(session: "Session", screen: voting.Screen) -> None:
    """Ask what the person types, until there is no more."""
    from edgetune.preferences.prompts import Prompt

    screen.say("Type a prompt; an empty line or Ctrl-D leaves.")
    while text := ask_key("prompt:"):
        task = session.asked(Prompt([{"role": "user", "content": text}]), screen.answer, screen.say)
        screen.close()
        while task is not None:
            if not by_hand(session, task, screen, shown=True):
                return
            task = session.waiting


def by_hand(session: "Session", task: "Task", screen: voting.Screen, shown: bool) -> bool:
    """Let the person vote on two answers; False to leave."""
    screen.close()
    if not shown:
        screen.question(task.prompt)
        screen.show(task.candidates)
    while True:
        pressed = ask_key(HELP)
        if pressed is None or pressed == "q":
            return False
        try:
            if pressed == "s":
                session.skip()
                return True
            if pressed == "u":
                screen.say("taken back: its answers are asked again" if session.undo() else "There is nothing to take back.")
                return True
            if vote_by(session, task, pressed, screen):
                return True
        except InputError as error:
            voting.forgiving(screen, error)


def vote_by(session: "Session", task: "Task", pressed: str, screen: voting.Screen) -> bool:
    """Take the vote of a key; whether the task is done with it. InputError for keys that mean nothing."""
    from edgetune.preferences.record import Choice

    number = int(pressed[1:]) - 1 if pressed[1:] in ("1", "2") else None
    if pressed in PICKS:
        vote = session.take(Choice("pair", PICKS[pressed]))
        models = " and ".join(f"{at} was {candidate.model}" for at, candidate in enumerate(task.candidates, 1))
        screen.say(f"taken {vote.id} ({models})" if len({candidate.model for candidate in task.candidates}) > 1 else f"taken {vote.id}")
        return True
    if pressed[:1] in ("+", "-") and number is not None:
        screen.say(f"taken {session.thumbs(number, pressed[0] == '+').id}")
        return False
    if pressed[:1] == "e" and number is not None:
        text = edit_text(task.candidates[number].text)
        if text is None:
            return False
        screen.say(f"taken {session.edited(number, text).id}")
        return True
    raise InputError(f"'{pressed[:20]}' is no key", "It chooses nothing.", HELP)


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command("collect", help=EXAMPLES)(collect)
