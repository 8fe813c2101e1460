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
from edgetune.cli.show import ProgressLine, table
from edgetune.errors import InputError
from edgetune.gguf.find import MEANT

if TYPE_CHECKING:
    from edgetune.preferences.judges import Judge
    from edgetune.sessions.arena import Arena, Match, Result

EXAMPLES = """Compare models blind: all answer the same prompts, you pick the better answer without knowing whose it is.

The answers are written first, one model in memory at a time, so that not even the speed gives a model away. Sides are drawn;
all models draw with the same seed on a prompt, so that models that hardly differ mostly tie.
"Better" is said only when the 95 % interval of the win rate leaves out even. Votes are kept: it goes on where it was left.
Keys: 1 or 2 the better one, t tie, b both bad, s skip, u undo, q leave. Without a terminal, keys are read from stdin, one a line.

Examples:

  edgetune arena base.gguf my-run --prompts questions.txt

  edgetune arena my-run-F16.gguf my-run-Q4_K_M.gguf base.gguf --prompts facts.jsonl --judge shortest --json
"""
HELP = "better: 1 or 2; t tie, b both bad, s skip, u undo, q leave:"


def arena(
    sources: Annotated[list[str], typer.Argument(metavar="MODEL…", help=f"Two or more, each one of: {MEANT}", show_default=False)],
    prompts: voting.PromptsFlag = None,
    talks: voting.TalksFlag = False,
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
    from edgetune.preferences.prompts import read, talked
    from edgetune.preferences.record import PERSON
    from edgetune.preferences.store import store
    from edgetune.sessions.arena import Arena
    from edgetune.storage.workspace import workspace

    sampling = voting.checked(Sampling(temperature, seed=seed), max_tokens)
    decide = None if judge == "human" else rule(judge)
    place = workspace(workspace_path)
    if (prompts is None) != talks:
        raise InputError("Nothing says what to ask", "An arena needs prompts, from one place.", "Give --prompts FILE, or --talks.")
    asked = read(prompts.expanduser()) if prompts else talked(place.conversations)
    asked.prompts = asked.prompts[:limit]
    must_expect(judge, asked.prompts)
    names = unique(map(name_of, sources))
    votes = store(place, into)
    models = {name: voting.gguf_of(source, workspace_path) for name, source in zip(names, sources, strict=True)}
    voter = PERSON if decide is None else judge
    game = Arena(votes, models, asked, sampling, seed=seed, max_tokens=max_tokens, judge=voter)
    screen = voting.Screen(as_json)
    for reason in asked.left_out[:5]:
        screen.say(f"left out {reason}")
    write_answers(game, ctx)
    if game.failed:
        screen.say(f"{len(game.failed)} of {len(asked.prompts)} prompts are left out: a model could not take them.")
    play(game, decide, screen)
    outcome = game.result()
    if as_json:
        typer.echo(json.dumps(document(game, outcome), ensure_ascii=False))
    else:
        typer.echo(shown(game, outcome))


def write_answers(game: "Arena", ctx: int | None) -> None:
    """Let each model answer what it is still needed for, one model loaded at a time."""
    line = ProgressLine()
    for number, (name, path) in enumerate(game.models.items(), 1):
        if any(name in pair for _, *pair in game.unvoted()):
            with ExitStack() as stack:
                author = voting.open_author(stack, str(path), None, [], ctx, name)
                game.write(author, lambda done, total, number=number: line.update(done, total, f"answers of model {number}"))  # type: ignore[misc]
    line.clear()


def play(game: "Arena", decide: "Judge | None", screen: voting.Screen) -> None:
    """Vote until all is compared or the person leaves."""
    while (match := game.next()) is not None:
        if decide is not None:
            game.take(match, decide(match.prompt, match.candidates))
        elif not by_hand(game, match, screen):
            return


def by_hand(game: "Arena", match: "Match", screen: voting.Screen) -> bool:
    """Let the person vote on a match; False to leave."""
    from edgetune.cli.collect import PICKS
    from edgetune.preferences.record import Choice

    screen.question(match.prompt)
    screen.show(match.candidates)
    while True:
        pressed = ask_key(f"({len(game.unvoted())} left) {HELP}")
        if pressed is None or pressed == "q":
            return False
        if pressed == "u":
            screen.say("taken back" if game.undo() else "There is nothing to take back.")
            return True
        if pressed == "s" or pressed in PICKS:
            choice = Choice("skip") if pressed == "s" else Choice("pair", PICKS[pressed])
            screen.say(f"taken {game.take(match, choice).id}")
            return True
        screen.say(f"'{pressed[:20]}' is no key.")


def document(game: "Arena", outcome: "Result") -> dict[str, Any]:
    """The result as --json shows it."""
    return {
        "models": {name: str(path) for name, path in game.models.items()},
        "judge": game.judge,
        "votes": sum(vote.choice.type == "pair" for vote in game.votes()),
        "left": len(game.unvoted()),
        "left_out": len(game.failed),
        "duels": [{**asdict(duel), "verdict": duel.verdict} for duel in outcome.duels],
        "ratings": {name: asdict(rating) for name, rating in outcome.ratings.by_model.items()},
        "ratings_smoothed": outcome.ratings.smoothed,
        "file": str(game.store.path),
    }


def shown(game: "Arena", outcome: "Result") -> str:
    """The result as a table and in words."""
    if not outcome.duels:
        return "No vote was given yet."
    rows = [
        [f"{d.one} over {d.other}", f"{d.share.value:.1%}", f"{d.share.low:.1%} to {d.share.high:.1%}", d.wins, d.losses, d.ties]
        for d in outcome.duels
    ]
    lines = [table(rows, ["win rate", "", "95 % interval", "wins", "losses", "ties"]), ""]
    if len(game.models) > 2:
        ranked = sorted(outcome.ratings.by_model.items(), key=lambda item: -item[1].value)
        ratings = [[name, f"{r.value:+.0f}", f"{r.low:+.0f} to {r.high:+.0f}"] for name, r in ranked]
        lines += [table(ratings, ["rating (Bradley-Terry, mean 0)", "", "95 % interval"]), ""]
        if outcome.ratings.smoothed:
            lines += ["A model won or lost everything: half a tie was added to every duel, to keep the ratings finite.", ""]
    lines += [f"{duel.verdict[0].upper()}{duel.verdict[1:]}." for duel in outcome.duels]
    left = len(game.unvoted())
    return "\n".join(lines + ([f"{left} comparisons are left: the same command goes on."] if left else []))


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command("arena", help=EXAMPLES)(arena)
