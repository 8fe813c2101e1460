"""`edgetune chat`: talk with a GGUF file or a run through llama.cpp."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgetune.chat.model_file import MEANT, model_file
from edgetune.chat.sampling import Sampling
from edgetune.errors import InputError
from edgetune.files import safe_name

if TYPE_CHECKING:
    from edgetune.chat.best import Rated
    from edgetune.chat.conversation import Answer
    from edgetune.chat.engine import Engine

USUAL = Sampling()
EXAMPLES = """Chat with a GGUF file, a finished run or a base model, offline, through llama.cpp.

Examples:

  edgetune chat my-run

  edgetune chat model.gguf --prompt "What is the capital of France?" --temperature 0

  edgetune chat model.gguf --raw --prompt "Once upon a time" --max-tokens 100

  edgetune chat base.gguf --adapter mine-lora-F32.gguf:0.8 --adapter other-lora-F32.gguf

  edgetune chat my-run --best 4 --reward taste
"""


def chat_command(
    source: Annotated[str, typer.Argument(metavar="MODEL", help=MEANT, show_default=False)],
    adapter: Annotated[
        list[str] | None,
        typer.Option(metavar="FILE[:SCALE]", help="A GGUF LoRA made for this base, may be repeated.", show_default=False),
    ] = None,
    prompt: Annotated[str | None, typer.Option(help="Ask this once and leave; without it, chat (or read questions from stdin).")] = None,
    max_tokens: Annotated[int | None, typer.Option(help="Longest answer in tokens (512, at most half the context).")] = None,
    temperature: Annotated[float, typer.Option(help="0 takes the likeliest token; 1 is the model's own spread.")] = USUAL.temperature,
    top_k: Annotated[int, typer.Option(help="Choose among the K likeliest tokens; 0 for all.")] = USUAL.top_k,
    top_p: Annotated[float, typer.Option(help="Choose among the likeliest tokens that together reach P.")] = USUAL.top_p,
    min_p: Annotated[float, typer.Option(help="Drop tokens less likely than this share of the likeliest.")] = USUAL.min_p,
    repeat_penalty: Annotated[float, typer.Option(help="Above 1, avoid the last 64 tokens.")] = USUAL.repeat_penalty,
    seed: Annotated[int | None, typer.Option(help="Repeat the same choices (a new seed for each answer).")] = None,
    system: Annotated[str | None, typer.Option(help="A system message to begin with.")] = None,
    ctx: Annotated[int | None, typer.Option(help="Context in tokens (the model's own, at most 4096).")] = None,
    threads: Annotated[int | None, typer.Option(help="Processor threads (by the model's size).")] = None,
    gpu_layers: Annotated[int, typer.Option(help="Layers on the GPU where llama.cpp has one; -1 for all.")] = -1,
    raw: Annotated[bool, typer.Option("--raw", help="No chat template: complete the text as it is.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document instead of the answer; needs --prompt.")] = False,
    best: Annotated[
        int | None, typer.Option(metavar="N", help="Write N answers and show the one the reward model likes best.", show_default=False)
    ] = None,
    reward: Annotated[
        str | None, typer.Option(metavar="RUN", help="The run of method reward that ranks them, for --best.", show_default=False)
    ] = None,
    into: Annotated[str, typer.Option(metavar="NAME", help="The preference file that takes /up, /down, /edit, /vote and /pick.")] = "prefs",
    workspace: Annotated[Path | None, typer.Option(help="Where runs live (your data folder, or EDGETUNE_WORKSPACE).")] = None,
) -> None:
    """Chat with a GGUF file or a run."""
    sampling = Sampling(temperature, top_k, top_p, min_p, repeat_penalty, seed)
    check_flags(sampling, prompt, max_tokens, system, raw, as_json)
    check_best(best, reward, raw, workspace)
    safe_name(into)
    lines = None if prompt is not None or sys.stdin.isatty() else stdin_questions()

    from edgetune.chat import adapters
    from edgetune.chat.engine import Engine
    from edgetune.chat.terminal import say
    from edgetune.workspace import workspace as open_workspace

    path = model_file(source, open_workspace(workspace), say)

    with Engine(path, n_ctx=ctx, threads=threads, gpu_layers=gpu_layers) as engine:
        info = engine.info
        say(f"{path.name}: {info.description.replace(' ?B', '')}, context {info.n_ctx}; {info.threads_reason}.")
        if info.n_ctx > info.n_ctx_train:
            say(f"The model was trained with a context of {info.n_ctx_train} tokens; beyond it, answers get worse.")
        adapters.load(engine, adapter or [])
        ranking = (best, reward) if best is not None and reward is not None else None
        serve(engine, prompt, lines, sampling, max_tokens, system, raw, as_json, into, workspace, ranking)


def check_best(best: int | None, reward: str | None, raw: bool, workspace: Path | None) -> None:
    """Refuse --best and --reward that cannot be used, before a model is loaded. Imports no torch."""
    if best is None and reward is None:
        return
    if best is None or reward is None or raw:
        raise InputError(
            "Chat cannot rank answers this way",
            "--raw has no questions to rank answers to." if raw else "--best says how many, --reward what ranks them: they go together.",
            "Write for example: edgetune chat MODEL --best 4 --reward RUN",
        )
    from edgetune.chat.best import check_count
    from edgetune.score import sound
    from edgetune.workspace import workspace as open_workspace

    check_count(best)
    sound(open_workspace(workspace).run(reward))


def check_flags(sampling: Sampling, prompt: str | None, max_tokens: int | None, system: str | None, raw: bool, as_json: bool) -> None:
    """Refuse, all together, what cannot be done, before anything is loaded."""
    problems = sampling.problems()
    if max_tokens is not None and max_tokens < 1:
        problems.append(f"max-tokens is {max_tokens}; it must be at least 1.")
    if as_json and prompt is None:
        problems.append("--json needs --prompt.")
    if raw and system is not None:
        problems.append("--raw uses no template, so it cannot have a --system message.")
    if prompt == "" and not raw:
        problems.append("the prompt is empty; only --raw can begin from nothing.")
    if problems:
        raise InputError("Chat cannot begin this way", " ".join(problems), "Correct the flags; 'edgetune chat --help' explains them.")


def stdin_questions() -> list[str]:
    """The lines of stdin that are not blank."""
    lines = [line for line in sys.stdin.read().splitlines() if line.strip()]
    if not lines:
        raise InputError(
            "There is nothing to answer",
            "stdin is empty and there is no terminal to type in.",
            "Give --prompt TEXT, or pipe questions in, one a line.",
        )
    return lines


def serve(
    engine: "Engine",
    prompt: str | None,
    lines: list[str] | None,
    sampling: Sampling,
    max_tokens: int | None,
    system: str | None,
    raw: bool,
    as_json: bool,
    into: str,
    place: Path | None,
    ranking: tuple[int, str] | None,
) -> None:
    """Answer the prompt, or the lines, or whoever sits at the terminal, whose votes go into the preference file `into`.

    ranking: how many answers are ranked, and the reward run that does it.
    """
    from edgetune.chat import voting
    from edgetune.chat.choosing import COMMANDS, Choosing
    from edgetune.chat.conversation import Conversation, complete
    from edgetune.chat.terminal import say, show, talk
    from edgetune.preferences.in_chat import ChatVotes
    from edgetune.preferences.store import store
    from edgetune.workspace import workspace

    conversation = None if raw else Conversation(engine, system=system, notice=say)
    votes = ChatVotes(store(workspace(place), into), conversation, engine.path.stem) if conversation else None
    choosing = Choosing(conversation, votes, workspace(place).run, say) if conversation and votes else None
    if choosing and ranking:
        choosing.start(*ranking)

    def ask(text: str, settings: Sampling) -> "Answer":
        if conversation is None:
            return complete(engine, text, sampling=settings, max_tokens=max_tokens)
        return conversation.ask(text, sampling=settings, max_tokens=max_tokens)

    if prompt is not None and as_json:
        rated = choosing.ask(prompt, sampling, max_tokens) if choosing and choosing.on else []
        print_json(prompt, rated[0].answer if rated else ask(prompt, sampling), rated)
    elif prompt is not None or lines is not None:
        for line in [prompt] if prompt is not None else lines or []:
            word, _, rest = line.strip().partition(" ")
            if prompt is None and votes is not None and word in voting.PIPED and (rest or word != "/edit"):
                voting.carry_out(word, rest.strip(), votes, sampling, max_tokens, say, show)
                continue
            if choosing and prompt is None and word in COMMANDS:
                choosing.carry_out(word, rest.strip())
                continue
            if choosing and choosing.on:
                choosing.show(line, sampling, max_tokens)
                continue
            answer = ask(line, sampling)
            if show(answer).reason == "cancelled":
                raise KeyboardInterrupt
            if votes is not None:
                votes.answered(answer, sampling)
    else:
        talk(ask, sampling, conversation, engine, votes, max_tokens, choosing)
    if choosing:
        choosing.close()


def print_json(prompt: str, answer: "Answer", rated: "list[Rated]") -> None:
    """The whole answer as one JSON document, with all that were ranked, if any."""
    text = answer.text if rated else "".join(answer)
    stats = answer.stats
    ranked = {"ranked": [{"answer": one.answer.text, "reward": one.reward, "seed": one.sampling.seed} for one in rated]} if rated else {}
    assert stats is not None
    typer.echo(
        json.dumps(
            {
                "prompt": prompt,
                "rendered": answer.rendered,
                "answer": text,
                "tokens": stats.tokens,
                "tokens_per_second": round(stats.tokens_per_second, 1),
                "stop_reason": stats.reason,
                "seed": stats.seed,
                **ranked,
            }
        )
    )


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command("chat", help=EXAMPLES)(chat_command)
