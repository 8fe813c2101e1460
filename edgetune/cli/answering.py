"""What `edgetune chat` does with a loaded model: answers a prompt, the lines of a pipe, or whoever sits at the terminal."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import typer

from edgetune.chat.sampling import Sampling

if TYPE_CHECKING:
    from edgetune.chat.conversation import Answer
    from edgetune.chat.engine import Engine
    from edgetune.chat.model_info import GenerationStats
    from edgetune.chat.saved import Saved
    from edgetune.sessions.best import Rated
    from edgetune.sessions.side_by_side import Beside
    from edgetune.sessions.slash_commands import Typed
    from edgetune.storage.workspace import Workspace


@dataclass(frozen=True)
class Asked:
    """What was asked for with the flags. lines: questions from a pipe. ranking: how many answers are ranked, and the reward run that does
    it. talk: one that was kept, to go on with."""

    sampling: Sampling
    max_tokens: int | None
    prompt: str | None
    lines: list[str] | None
    system: str | None
    raw: bool
    as_json: bool
    into: str
    ranking: tuple[int, str] | None
    keep: bool
    talk: "Saved | None"


def open_talk(engine: "Engine", asked: Asked, place: "Workspace") -> "Typed":
    """The talk that was asked for, with all that its commands act on."""
    from edgetune.chat.conversation import Conversation
    from edgetune.cli.chat_terminal import say
    from edgetune.preferences.store import store
    from edgetune.sessions.best_of_n import Choosing
    from edgetune.sessions.chat_votes import ChatVotes
    from edgetune.sessions.history import Keeping
    from edgetune.sessions.slash_commands import Typed

    if asked.raw:
        return Typed(engine, asked.sampling, asked.max_tokens)
    talk = Conversation(engine, system=asked.system, notice=say)
    votes = ChatVotes(store(place, asked.into), talk, engine.path.stem)
    choosing = Choosing(talk, votes, place.run, say)
    keeping = Keeping(talk, votes, place.conversations, say)
    keeping.wanted = asked.keep
    if asked.talk is not None:
        keeping.take_up(asked.talk)
    if asked.ranking:
        choosing.start(*asked.ranking)
    return Typed(engine, asked.sampling, asked.max_tokens, talk, votes, choosing, keeping)


def serve(typed: "Typed", asked: Asked) -> None:
    """Answer the prompt, or the lines, or whoever sits at the terminal."""
    try:
        if asked.prompt is not None and asked.as_json:
            rated = typed.choosing.ask(asked.prompt, typed.sampling, typed.max_tokens) if typed.choosing and typed.choosing.on else []
            made = rated[0].answer if rated else typed.whole(asked.prompt)
            if typed.keeping:
                typed.keeping.answered()
            print_json(asked.prompt, made, rated)
        else:
            answer(typed, asked)
    finally:
        if typed.choosing:
            typed.choosing.close()


def serve_two(engines: Sequence[tuple[str, "Engine"]], asked: Asked) -> None:
    """Put the prompt, or the lines, or what is typed at the terminal, to two models, each with its name."""
    from edgetune.chat.conversation import Conversation
    from edgetune.cli.chat_terminal import say
    from edgetune.sessions.side_by_side import Beside
    from edgetune.sessions.slash_commands import Typed

    talks = [(name, Conversation(engine, system=asked.system, notice=say)) for name, engine in engines]
    two = Beside([(name, Typed(talk.engine, asked.sampling, asked.max_tokens, talk)) for name, talk in talks])
    if asked.prompt is None or not asked.as_json:
        answer(two, asked)
        return
    answers = [{"model": name, "answer": text, **measured(stats)} for name, text, stats in two.answers(asked.prompt)]
    typer.echo(json.dumps({"prompt": asked.prompt, "answers": answers}))


def answer(typed: "Typed | Beside", asked: Asked) -> None:
    """Show the answers to the prompt, or to the lines, or begin to listen to the terminal. An answer that was stopped interrupts."""
    from edgetune.cli.chat_terminal import talk

    if asked.prompt is None and asked.lines is None:
        talk(typed, asked.raw)
        return
    for line in [asked.prompt] if asked.prompt is not None else asked.lines or []:
        reason = typed.question(line) if asked.prompt is not None else typed.piped(line)
        if reason == "cancelled":
            raise KeyboardInterrupt


def print_json(prompt: str, answer: "Answer", rated: "list[Rated]") -> None:
    """The whole answer as one JSON document, with all that were ranked, if any."""
    stats = answer.stats
    ranked = {"ranked": [{"answer": one.answer.text, "reward": one.reward, "seed": one.sampling.seed} for one in rated]} if rated else {}
    assert stats is not None
    typer.echo(
        json.dumps(
            {
                "prompt": prompt,
                "rendered": answer.rendered,
                "answer": answer.text,
                **measured(stats),
                **ranked,
            }
        )
    )


def measured(stats: "GenerationStats") -> dict[str, int | float | str]:
    """How an answer went, for JSON."""
    speed = round(stats.tokens_per_second, 1)
    return {"tokens": stats.tokens, "tokens_per_second": speed, "stop_reason": stats.reason, "seed": stats.seed}
