"""`edgetune rank`: two to four answers per prompt, put in order."""

import json
from contextlib import ExitStack
from typing import TYPE_CHECKING, Annotated

import typer

from edgetune.chat.sampling import Sampling
from edgetune.cli import voting
from edgetune.cli.chat_input import edit_text
from edgetune.cli.flags import JsonFlag, WorkspaceFlag
from edgetune.cli.former_flags import with_former_flags
from edgetune.errors import InputError
from edgetune.gguf.find import MODEL_HELP

if TYPE_CHECKING:
    from edgetune.sessions.ranking import RankingSession, Task

EXAMPLES = """Put two to four answers per prompt in order, best first. A session resumes where it was left.

Keys: the answers' numbers, best first ("213"; "2" alone: 2 is best, the others are equal; "2=13" or "2=1,3" for equal ones),
0 all bad or equal (of two: t equal, b both bad), e1 to e4 edit that answer, s skip, u undo, q quit. Without a terminal, keys are read
from stdin, one per line.

Examples:

  edgetune rank my-run --prompts questions.txt

  edgetune rank my-run --other base.gguf --propose 50 --candidates 4

  edgetune rank model.gguf --prompts facts.jsonl --judge shortest --json
"""
HELP = "best first, e.g. {example}; 0 all equal, e1 edit, s skip, u undo, q quit:"


def rank(
    source: Annotated[str, typer.Argument(metavar="MODEL", help=MODEL_HELP, show_default=False)],
    prompts: voting.PromptsFlag = None,
    voted: Annotated[bool, typer.Option("--voted", help="Use the prompts of votes given so far, in chat and elsewhere.")] = False,
    conversations: voting.ConversationsFlag = False,
    propose: Annotated[int, typer.Option(metavar="N", help="Let the model propose N prompts.", min=0, max=10000)] = 0,
    candidates: Annotated[int, typer.Option(help="Answers per prompt, from 2 to 4.", min=2, max=4)] = 3,
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
    from edgetune.preferences.prompts import from_conversations, from_votes, proposed, read
    from edgetune.preferences.store import store
    from edgetune.sessions.ranking import RankingSession
    from edgetune.storage.workspace import open_workspace

    # All that can be wrong is found before a model is loaded.
    sampling = voting.checked(Sampling(temperature, seed=seed), max_tokens)
    opened_workspace = open_workspace(workspace_path)
    votes = store(opened_workspace, into)
    decide = None if judge == "human" else rule(judge)

    # Prompts of several sources would mix different questions under one name.
    if sum([prompts is not None, voted, conversations, propose > 0]) != 1:
        raise InputError(
            "Prompts are needed",
            "They come from one of four places, and from only one.",
            "Give --prompts FILE, --conversations, --voted, or --propose N.",
        )

    if propose:
        expects_nothing(judge, "prompts that the model proposes have none")

    prompt_list = None
    if prompts:
        prompt_list = read(prompts.expanduser())
    elif conversations:
        prompt_list = from_conversations(opened_workspace.conversations)
    elif voted:
        prompt_list = from_votes(votes.votes(), f"{into}-voted")

    # A rule that compares with an expected answer is of no use without one.
    if prompt_list is not None:
        must_expect(judge, prompt_list.prompts)

    screen = voting.Screen(as_json)
    with ExitStack() as stack:
        first = voting.open_author(stack, source, workspace_path, adapter or [], ctx)
        authors = [first, *[voting.open_author(stack, name, workspace_path, [], ctx) for name in other or []]]

        # Prompts that the model proposes can only be written once it is loaded.
        prompt_list = prompt_list or proposed(first, propose, seed)
        for reason in prompt_list.left_out[:5]:
            screen.say(f"left out {reason}")

        writers = in_turn(authors, sampling, candidates)
        session = RankingSession(votes, prompt_list, writers, seed=seed, max_tokens=max_tokens, repeats=decide is None)
        voting.vote_on_all(session, screen, decide, judge, enough, HELP, vote_by_keys)
        screen.say(session.state().summary)
        if as_json:
            typer.echo(json.dumps(voting.session_document(session), ensure_ascii=False))


def vote_by_keys(session: "RankingSession", task: "Task", pressed: str, screen: voting.Screen) -> bool:
    """Save the vote of the keys; False where an edit was given up. InputError for keys that mean nothing."""
    from edgetune.preferences.order import VERDICT_OF_KEY, order
    from edgetune.preferences.record import Choice

    count = len(task.candidates)
    if pressed in [f"e{number}" for number in range(1, count + 1)]:
        number = int(pressed[1:]) - 1
        text = edit_text(task.candidates[number].text)
        if text is None:
            return False

        # An edit is a vote as well: the person's version is better than the model's.
        vote = session.edit(number, text)
    elif count == 2 and pressed in ("t", "b"):
        vote = session.vote(Choice("pair", VERDICT_OF_KEY[pressed]))
    else:
        vote = session.vote(order(pressed, count))

    screen.say(f"saved {vote.id}")
    return True


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command("rank", help=EXAMPLES, cls=with_former_flags(voting.FORMER_FLAGS))(rank)
