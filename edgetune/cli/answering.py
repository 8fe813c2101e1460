"""What `edgetune chat` does with a loaded model: answers a prompt, the lines of a pipe, or the person at the terminal."""

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
    from edgetune.chat.saved import SavedConversation
    from edgetune.sessions.best_of_n import RankedAnswer
    from edgetune.sessions.side_by_side import SideBySide
    from edgetune.sessions.slash_commands import ChatCommands
    from edgetune.storage.workspace import Workspace


@dataclass(frozen=True)
class ChatOptions:
    """What the flags ask for.

    prompt: asked once. lines: questions from a pipe. votes_file: name of the preference file. best_of_n: how many answers are ranked, and
    the reward run that does it. save: whether the conversation is saved. resume: a saved conversation to continue.
    """

    sampling: Sampling
    max_tokens: int | None = None
    prompt: str | None = None
    lines: list[str] | None = None
    system: str | None = None
    raw: bool = False
    as_json: bool = False
    votes_file: str = "prefs"
    best_of_n: tuple[int, str] | None = None
    save: bool = False
    resume: "SavedConversation | None" = None


def open_chat(engine: "Engine", options: ChatOptions, workspace: "Workspace") -> "ChatCommands":
    """The conversation that was asked for, with all that its commands act on."""
    from edgetune.chat.conversation import Conversation
    from edgetune.cli.chat_terminal import Terminal
    from edgetune.preferences.store import store
    from edgetune.sessions.best_of_n_commands import BestOfNCommands
    from edgetune.sessions.chat_votes import ChatVotes
    from edgetune.sessions.history import History
    from edgetune.sessions.slash_commands import ChatCommands

    # Without a chat template there are no turns, so nothing that could be voted on or saved.
    console = Terminal()
    if options.raw:
        return ChatCommands(engine, console, options.sampling, options.max_tokens)

    conversation = Conversation(engine, system=options.system, notice=console.say)
    votes = ChatVotes(store(workspace, options.votes_file), conversation, engine.path.stem)
    best_of_n = BestOfNCommands(conversation, votes, workspace.run, console)
    history = History(conversation, votes, workspace.conversations, console)

    history.saving = options.save
    if options.resume is not None:
        history.resume(options.resume)
    if options.best_of_n:
        best_of_n.start(*options.best_of_n)
    return ChatCommands(engine, console, options.sampling, options.max_tokens, conversation, votes, best_of_n, history)


def serve(chat: "ChatCommands", options: ChatOptions) -> None:
    """Answer the prompt, the lines, or the person at the terminal."""
    try:
        if options.prompt is None or not options.as_json:
            answer(chat, options)
            return
        ranked = chat.best_of_n.ask(options.prompt, chat.sampling, chat.max_tokens) if chat.best_of_n and chat.best_of_n.on else []
        written = ranked[0].answer if ranked else chat.whole(options.prompt)
        if chat.history:
            chat.history.record_exchange()
        print_json(options.prompt, written, ranked)
    finally:
        if chat.best_of_n:
            chat.best_of_n.close()


def serve_two(engines: Sequence[tuple[str, "Engine"]], options: ChatOptions) -> None:
    """Put the prompt, the lines, or what is typed at the terminal to two models, each with its name."""
    from edgetune.chat.conversation import Conversation
    from edgetune.cli.chat_terminal import Terminal
    from edgetune.sessions.side_by_side import SideBySide
    from edgetune.sessions.slash_commands import ChatCommands

    console = Terminal()
    conversations = [(name, Conversation(engine, system=options.system, notice=console.say)) for name, engine in engines]
    chats = [(name, ChatCommands(c.engine, console, options.sampling, options.max_tokens, c)) for name, c in conversations]
    both = SideBySide(chats, console)

    # One document for both, so that a script sees which answer belongs to which.
    if options.prompt is None or not options.as_json:
        answer(both, options)
        return
    answers = [{"model": name, "answer": text, **stats_document(stats)} for name, text, stats in both.answers(options.prompt)]
    typer.echo(json.dumps({"prompt": options.prompt, "answers": answers}))


def answer(chat: "ChatCommands | SideBySide", options: ChatOptions) -> None:
    """Show the answers to the prompt or to the lines, or read from the terminal. An answer that was stopped interrupts."""
    from edgetune.cli.chat_terminal import read_and_answer

    if options.prompt is None and options.lines is None:
        read_and_answer(chat, options.raw)
        return
    for line in [options.prompt] if options.prompt is not None else options.lines or []:
        reason = chat.question(line) if options.prompt is not None else chat.piped(line)
        if reason == "cancelled":
            raise KeyboardInterrupt


def print_json(prompt: str, answer: "Answer", ranked: "list[RankedAnswer]") -> None:
    """The whole answer as one JSON document, with all that were ranked, if any."""
    assert answer.stats is not None
    document = {"prompt": prompt, "rendered": answer.rendered, "answer": answer.text, **stats_document(answer.stats)}
    if ranked:
        document["ranked"] = [{"answer": item.answer.text, "reward": item.reward, "seed": item.sampling.seed} for item in ranked]
    typer.echo(json.dumps(document))


def stats_document(stats: "GenerationStats") -> dict[str, object]:
    """An answer's statistics, for JSON."""
    speed = round(stats.tokens_per_second, 1)
    return {"tokens": stats.tokens, "tokens_per_second": speed, "stop_reason": stats.reason, "seed": stats.seed}
