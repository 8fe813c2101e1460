"""`edgetune arena`: models compared blind on the same prompts."""

import json
from contextlib import ExitStack
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgetune.chat.sampling import Sampling
from edgetune.cli import voting
from edgetune.cli.chat_input import ask_key
from edgetune.cli.flags import JsonFlag, WorkspaceFlag
from edgetune.cli.former_flags import with_former_flags
from edgetune.cli.show import ProgressLine, table
from edgetune.errors import InputError
from edgetune.gguf.find import MODEL_HELP

if TYPE_CHECKING:
    from edgetune.preferences.judges import Judge
    from edgetune.sessions.arena import Arena, Match, Result

EXAMPLES = """Compare models blind: all answer the same prompts, you pick the better answer without knowing whose it is.

The answers are written first, one model in memory at a time, so that not even the speed gives a model away. Sides are drawn;
all models use the same seed on a prompt, so that nearly identical models mostly tie.
"Better" is said only when the 95 % interval of the win rate excludes 50 %. Votes are saved: the same command resumes the comparison.
Keys: 1 or 2 the better one, t tie, b both bad, s skip, u undo, q quit. Without a terminal, keys are read from stdin, one per line.

Examples:

  edgetune arena base.gguf my-run --prompts questions.txt

  edgetune arena my-run-F16.gguf my-run-Q4_K_M.gguf base.gguf --prompts facts.jsonl --judge shortest --json
"""
HELP = "better: 1 or 2; t tie, b both bad, s skip, u undo, q quit:"


def arena(
    sources: Annotated[list[str], typer.Argument(metavar="MODEL…", help=f"Two or more, each one of: {MODEL_HELP}", show_default=False)],
    prompts: voting.PromptsFlag = None,
    conversations: voting.ConversationsFlag = False,
    judge: voting.JudgeFlag = "human",
    temperature: voting.TemperatureFlag = 0.7,
    max_tokens: voting.TokensFlag = None,
    seed: voting.SeedFlag = 0,
    ctx: voting.ContextFlag = None,
    limit: Annotated[int | None, typer.Option(help="Use only the first N prompts.", min=1, show_default=False)] = None,
    into: voting.IntoFlag = "arena",
    as_json: JsonFlag = False,
    workspace_path: WorkspaceFlag = None,
) -> None:
    """Compare models blind."""
    from edgetune.preferences.judges import must_expect, rule
    from edgetune.preferences.naming import name_of, unique
    from edgetune.preferences.prompts import from_conversations, read
    from edgetune.preferences.record import PERSON
    from edgetune.preferences.store import store
    from edgetune.sessions.arena import Arena
    from edgetune.storage.workspace import open_workspace

    # All that can be wrong is found before a model is loaded.
    sampling = voting.checked(Sampling(temperature, seed=seed), max_tokens)
    decide = None if judge == "human" else rule(judge)
    opened_workspace = open_workspace(workspace_path)
    if (prompts is None) != conversations:
        raise InputError("Prompts are needed", "They come from one of two places.", "Give either --prompts FILE or --conversations.")
    prompt_list = read(prompts.expanduser()) if prompts else from_conversations(opened_workspace.conversations)
    prompt_list.prompts = prompt_list.prompts[:limit]
    must_expect(judge, prompt_list.prompts)

    # Two models may have one name, and votes are counted by name.
    names = unique(map(name_of, sources))
    votes = store(opened_workspace, into)
    models = {name: voting.gguf_of(source, workspace_path) for name, source in zip(names, sources, strict=True)}
    voter = PERSON if decide is None else judge
    session = Arena(votes, models, prompt_list, sampling, seed=seed, max_tokens=max_tokens, judge=voter)

    screen = voting.Screen(as_json)
    for reason in prompt_list.left_out[:5]:
        screen.say(f"left out {reason}")
    write_answers(session, ctx)
    if session.failed:
        screen.say(f"{len(session.failed)} of {len(prompt_list.prompts)} prompts are left out: a model could not answer them.")
    vote_on_all(session, decide, screen)

    result = session.result()
    if as_json:
        typer.echo(json.dumps(document(session, result), ensure_ascii=False))
    else:
        typer.echo(describe(session, result))


def write_answers(session: "Arena", ctx: int | None) -> None:
    """Let each model answer what it is still needed for, one model loaded at a time."""
    line = ProgressLine()
    for number, (name, path) in enumerate(session.models.items(), 1):
        if session.needs(name):
            with ExitStack() as stack:
                author = voting.open_author(stack, str(path), None, [], ctx, name)
                session.write(author, lambda done, total, number=number: line.update(done, total, f"answers of model {number}"))  # type: ignore[misc]
    line.clear()


def vote_on_all(session: "Arena", decide: "Judge | None", screen: voting.Screen) -> None:
    """Vote until all matches are voted on or the person leaves."""
    while (match := session.next()) is not None:
        if decide is not None:
            session.vote(match, decide(match.prompt, match.candidates))
        elif not by_hand(session, match, screen):
            return


def by_hand(session: "Arena", match: "Match", screen: voting.Screen) -> bool:
    """Let the person vote on a match; False to leave."""
    from edgetune.preferences.order import VERDICT_OF_KEY
    from edgetune.preferences.record import Choice

    screen.question(match.prompt)
    screen.show(match.candidates)

    # A slip of the finger costs no vote: the question is asked again.
    while True:
        pressed = ask_key(f"({len(session.unvoted())} left) {HELP}")
        if pressed is None or pressed == "q":
            return False

        if pressed == "u":
            screen.say("last vote removed" if session.undo() else "There is no vote to remove.")
            return True

        if pressed == "s" or pressed in VERDICT_OF_KEY:
            choice = Choice("skip") if pressed == "s" else Choice("pair", VERDICT_OF_KEY[pressed])
            screen.say(f"saved {session.vote(match, choice).id}")
            return True
        screen.say(f"'{pressed[:20]}' is not a key.")


def document(session: "Arena", result: "Result") -> dict[str, Any]:
    """The result as --json shows it."""
    return {
        "models": {name: str(path) for name, path in session.models.items()},
        "judge": session.judge,
        "votes": sum(vote.choice.type == "pair" for vote in session.votes()),
        "left": len(session.unvoted()),
        "left_out": len(session.failed),
        "duels": [{**asdict(duel), "verdict": duel.verdict} for duel in result.duels],
        "ratings": {name: asdict(rating) for name, rating in result.ratings.by_model.items()},
        "ratings_smoothed": result.ratings.smoothed,
        "file": str(session.store.path),
    }


def describe(session: "Arena", result: "Result") -> str:
    """The result as a table and as sentences."""
    if not result.duels:
        return "No vote was given yet."
    rows = [
        [f"{d.one} over {d.other}", f"{d.share.value:.1%}", f"{d.share.low:.1%} to {d.share.high:.1%}", d.wins, d.losses, d.ties]
        for d in result.duels
    ]

    lines = [table(rows, ["win rate", "", "95 % interval", "wins", "losses", "ties"]), ""]

    # Between two models the win rate says all; ratings only order more of them.
    if len(session.models) > 2:
        ranked = sorted(result.ratings.by_model.items(), key=lambda item: -item[1].value)
        ratings = [[name, f"{r.value:+.0f}", f"{r.low:+.0f} to {r.high:+.0f}"] for name, r in ranked]
        lines += [table(ratings, ["rating (Bradley-Terry, mean 0)", "", "95 % interval"]), ""]
        if result.ratings.smoothed:
            lines += ["A model won or lost everything: half a tie was added to every duel, to keep the ratings finite.", ""]

    lines += [f"{duel.verdict[0].upper()}{duel.verdict[1:]}." for duel in result.duels]
    left = len(session.unvoted())
    return "\n".join(lines + ([f"{left} comparisons are left: run the same command to continue."] if left else []))


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command("arena", help=EXAMPLES, cls=with_former_flags(voting.FORMER_FLAGS))(arena)
