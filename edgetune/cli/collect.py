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
from edgetune.gguf.find import MODEL_HELP
from edgetune.preferences.order import VERDICT_OF_KEY

if TYPE_CHECKING:
    from edgetune.sessions.ranking import RankingSession, Task

EXAMPLES = """Pick the better of two answers to the same prompt; from your picks, the model can learn your taste.

The answers differ in their seeds, and where asked in model, adapter or temperature; whose is which is drawn and not shown.
Keys: 1 or 2 the better one, t tie, b both bad, e1 or e2 edit an answer (the edit is preferred to it), +1 -1 +2 -2 thumbs on one,
s skip, u undo, q quit. Without a terminal, keys are read from stdin, one per line, and without --prompts the prompts too.

Examples:

  edgetune collect my-run

  edgetune collect my-run --other base.gguf --prompts questions.txt

  edgetune collect base.gguf --other base.gguf --other-adapter mine-lora.gguf:0.8 --prompts questions.jsonl --judge shortest --json
"""
HELP = "better: 1 or 2; t tie, b both bad, e1/e2 edit, +1/-1 thumbs, s skip, u undo, q quit:"


def collect(
    source: Annotated[str, typer.Argument(metavar="MODEL", help=MODEL_HELP, show_default=False)],
    prompts: voting.PromptsFlag = None,
    other: Annotated[
        str | None, typer.Option(metavar="MODEL", help="The model of the second answer (default: the same).", show_default=False)
    ] = None,
    adapter: voting.AdapterFlag = None,
    other_adapter: Annotated[
        list[str] | None, typer.Option(metavar="FILE[:SCALE]", help="A GGUF LoRA for the second model.", show_default=False)
    ] = None,
    judge: voting.JudgeFlag = "human",
    enough: voting.EnoughFlag = None,
    temperature: voting.TemperatureFlag = 1.0,
    other_temperature: Annotated[
        float | None, typer.Option(help="Sampling temperature of the second answer (default: the same).", show_default=False)
    ] = None,
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
    from edgetune.sessions.ranking import RankingSession
    from edgetune.storage.workspace import open_workspace

    # All that can be wrong is found before a model is loaded.
    first = voting.checked(Sampling(temperature, seed=seed), max_tokens)
    second = voting.checked(replace(first, temperature=temperature if other_temperature is None else other_temperature), max_tokens)
    decide = None if judge == "human" else rule(judge)
    if decide is not None and prompts is None:
        raise InputError("A rule needs prompts", f"--judge {judge} votes by itself, and there is nothing to ask.", "Give --prompts FILE.")
    prompt_list = listed([], "typed") if prompts is None else read(prompts.expanduser())
    must_expect(judge, prompt_list.prompts)
    votes = store(open_workspace(workspace_path), into)

    screen = voting.Screen(as_json)
    for reason in prompt_list.left_out[:5]:
        screen.say(f"left out {reason}")

    with ExitStack() as stack:
        author = voting.open_author(stack, source, workspace_path, adapter or [], ctx)
        other_author = author
        if other or other_adapter:
            name = name_of(other or source)
            other_author = voting.open_author(stack, other or source, workspace_path, other_adapter or [], ctx, name)

        session = RankingSession(
            votes,
            prompt_list,
            [(author, first), (other_author, second)],
            source="collect",
            seed=seed,
            max_tokens=max_tokens,
            repeats=False,
        )

        if prompt_list.prompts:
            voting.vote_on_all(session, screen, decide, judge, enough, HELP, vote_by_keys)
        else:
            vote_on_typed_prompts(session, screen)
        screen.say(session.state().summary)
        if as_json:
            typer.echo(json.dumps(voting.session_document(session), ensure_ascii=False))


def vote_on_typed_prompts(session: "RankingSession", screen: voting.Screen) -> None:
    """Ask what the person types, until they stop."""
    from edgetune.preferences.prompts import Prompt

    screen.say("Type a prompt; an empty line or Ctrl-D quits.")
    while text := ask_key("prompt:"):
        task = session.ask(Prompt([{"role": "user", "content": text}]), screen.answer, screen.say)
        screen.close()
        while task is not None:
            if not voting.vote_by_hand(session, task, screen, True, HELP, vote_by_keys):
                return
            task = session.waiting


def vote_by_keys(session: "RankingSession", task: "Task", pressed: str, screen: voting.Screen) -> bool:
    """Save the vote of the keys; whether the task is done with it. InputError for keys that mean nothing."""
    from edgetune.preferences.record import Choice

    # The vote is blind: the models' names are printed only after it.
    if pressed in VERDICT_OF_KEY:
        vote = session.vote(Choice("pair", VERDICT_OF_KEY[pressed]))
        names = [candidate.model for candidate in task.candidates]
        models = " and ".join(f"{number} was {name}" for number, name in enumerate(names, 1))
        screen.say(f"saved {vote.id} ({models})" if len(set(names)) > 1 else f"saved {vote.id}")
        return True

    number = int(pressed[1:]) - 1 if pressed[1:] in ("1", "2") else None

    # A thumb judges one answer and leaves the choice between both open.
    if pressed[:1] in ("+", "-") and number is not None:
        screen.say(f"saved {session.thumbs(number, pressed[0] == '+').id}")
        return False

    if pressed[:1] == "e" and number is not None:
        text = edit_text(task.candidates[number].text)
        if text is None:
            return False
        screen.say(f"saved {session.edit(number, text).id}")
        return True

    raise InputError(f"'{pressed[:20]}' is not a key", "It chooses nothing.", HELP)


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command("collect", help=EXAMPLES)(collect)
