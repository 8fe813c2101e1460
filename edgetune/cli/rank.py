"""`edgetune rank`: two to four answers a prompt, put in order."""

import json
from contextlib import ExitStack
from typing import TYPE_CHECKING, Annotated

import typer

from edgetune.chat.sampling import Sampling
from edgetune.cli import voting
from edgetune.cli.chat_input import ask_key, edit_text
from edgetune.cli.collect import PICKS
from edgetune.cli.flags import JsonFlag, WorkspaceFlag
from edgetune.errors import InputError
from edgetune.gguf.find import MEANT

if TYPE_CHECKING:
    from edgetune.preferences.record import Vote
    from edgetune.sessions.ranking import Session, Task

EXAMPLES = """Put two to four answers a prompt in order, best first. A session goes on where it was left.

Keys: the answers' numbers from the best on ("213"; "2" alone: 2 is best, the others are alike; "2=13" or "2=1,3" for equal ones),
0 all bad or alike (of two: t alike, b both bad), e1 to e4 edit that answer, s skip, u undo, q leave. Without a terminal, keys are read
from stdin, one a line.

Examples:

  edgetune rank my-run --prompts questions.txt

  edgetune rank my-run --other base.gguf --propose 50 --candidates 4

  edgetune rank model.gguf --prompts facts.jsonl --judge shortest --json
"""
HELP = "best first, e.g. {example}; 0 all alike, e1 edit, s skip, u undo, q leave:"


def rank(
    source: Annotated[str, typer.Argument(metavar="MODEL", help=MEANT, show_default=False)],
    prompts: voting.PromptsFlag = None,
    voted: Annotated[bool, typer.Option("--voted", help="Take the prompts of votes given so far, in chat and elsewhere.")] = False,
    talks: voting.TalksFlag = False,
    propose: Annotated[int, typer.Option(metavar="N", help="Let the model propose N prompts.", min=0, max=10000)] = 0,
    candidates: Annotated[int, typer.Option(help="Answers a prompt, from 2 to 4.", min=2, max=4)] = 3,
    other: Annotated[list[str] | None, typer.Option(metavar="MODEL", help="More models, answering in turn.", show_default=False)] = None,
    adapter: voting.AdapterFlag = None,
    judge: voting.JudgeFlag = "human",
    enough: voting.EnoughFlag = None,
    temperature: voting.TemperatureFlag = 1.0,
    max_tokens: voting.TokensFlag = None,
    seed: voting.SeedFlag = 0,
    ctx: voting.ContextFlag = None,
    into: voting.IntoFlag = "prefs",
    as_json: JsonFlag = False,
    workspace_path: WorkspaceFlag = None,
) -> None:
    """Put answers in order."""
    from edgetune.preferences.candidates import in_turn
    from edgetune.preferences.judges import expects_nothing, must_expect, rule
    from edgetune.preferences.prompts import proposed, read, talked
    from edgetune.preferences.prompts import voted as voted_prompts
    from edgetune.preferences.store import store
    from edgetune.sessions.ranking import Session
    from edgetune.storage.workspace import workspace

    sampling = voting.checked(Sampling(temperature, seed=seed), max_tokens)
    place = workspace(workspace_path)
    votes = store(place, into)
    decide = None if judge == "human" else rule(judge)
    if sum([prompts is not None, voted, talks, propose > 0]) != 1:
        raise InputError(
            "Nothing says what to ask", "Prompts come from one of four places.", "Give --prompts FILE, --talks, --voted, or --propose N."
        )
    if propose:
        expects_nothing(judge, "prompts that the model proposes have none")
    given = read(prompts.expanduser()) if prompts else talked(place.conversations) if talks else None
    if voted:
        given = voted_prompts(votes.votes(), f"{into}-voted")
    if given is not None:
        must_expect(judge, given.prompts)
    screen = voting.Screen(as_json)
    with ExitStack() as stack:
        first = voting.open_author(stack, source, workspace_path, adapter or [], ctx)
        authors = [first, *[voting.open_author(stack, name, workspace_path, [], ctx) for name in other or []]]
        asked = given or proposed(first, propose, seed)
        for reason in asked.left_out[:5]:
            screen.say(f"left out {reason}")
        session = Session(votes, asked, in_turn(authors, sampling, candidates), seed=seed, max_tokens=max_tokens, repeats=decide is None)
        screen.say(session.state().words)
        upcoming = voting.Announced(session, screen)
        while not voting.reached(session, enough) and (task := session.task(upcoming.answer, screen.say)) is not None:
            if decide is not None:
                vote = session.take(decide(task.prompt, task.candidates), judge)
                screen.say(f"taken {vote.id}")
            elif not by_hand(session, task, screen, shown=upcoming.shown(task)):
                break
        screen.say(session.state().words)
        if as_json:
            typer.echo(json.dumps(voting.session_document(session), ensure_ascii=False))


def by_hand(session: "Session", task: "Task", screen: voting.Screen, shown: bool) -> bool:
    """Let the person put a task's answers in order; False to leave. shown: the answers were just streamed."""
    screen.close()
    if not shown:
        screen.question(task.prompt)
        screen.show(task.candidates)
    count = len(task.candidates)
    while True:
        pressed = ask_key(HELP.format(example="213"[: count + 1] if count > 2 else "21"))
        if pressed is None or pressed == "q":
            return False
        try:
            if pressed == "s":
                session.skip()
            elif pressed == "u":
                screen.say("taken back: its answers are asked again" if session.undo() else "There is nothing to take back.")
            elif (vote := vote_by(session, task, pressed)) is None:
                continue
            else:
                screen.say(f"taken {vote.id}")
            return True
        except InputError as error:
            voting.forgiving(screen, error)


def vote_by(session: "Session", task: "Task", pressed: str) -> "Vote | None":
    """The vote of what was pressed, taken; None where an edit was given up. InputError for keys that mean nothing."""
    from edgetune.preferences.order import order
    from edgetune.preferences.record import Choice

    count = len(task.candidates)
    if pressed in [f"e{number}" for number in range(1, count + 1)]:
        number = int(pressed[1:]) - 1
        text = edit_text(task.candidates[number].text)
        return None if text is None else session.edited(number, text)
    if count == 2 and pressed in ("t", "b"):
        return session.take(Choice("pair", PICKS[pressed]))
    return session.take(order(pressed, count))


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command("rank", help=EXAMPLES)(rank)
