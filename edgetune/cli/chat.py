"""`edgetune chat`: chat with a run, a base or a GGUF file through llama.cpp."""

import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgetune.chat.model_info import DEFAULT_CONTEXT
from edgetune.chat.sampling import Sampling
from edgetune.cli.answering import ChatOptions, open_chat, serve, serve_two
from edgetune.cli.former_flags import with_former_flags
from edgetune.errors import InputError
from edgetune.gguf.find import MODEL_HELP, model_file, run_base_gguf
from edgetune.preferences.naming import name_of, unique
from edgetune.storage.files import safe_name

if TYPE_CHECKING:
    from edgetune.chat.engine import Engine

DEFAULTS = Sampling()
FORMER_FLAGS = {"--keep": "--save", "--talk": "--resume", "--beside": "--side-by-side"}
EXAMPLES = """Chat with a GGUF file, a finished run or a base model, offline, through llama.cpp.

Examples:

  edgetune chat my-run

  edgetune chat model.gguf --prompt "What is the capital of France?" --temperature 0

  edgetune chat model.gguf --raw --prompt "Once upon a time" --max-tokens 100

  edgetune chat base.gguf --adapter mine-lora-F32.gguf:0.8 --adapter other-lora-F32.gguf

  edgetune chat my-run --best 4 --reward taste

  edgetune chat my-run --side-by-side base --temperature 0

  edgetune chat my-run --resume 20261128-1
"""


def chat_command(
    source: Annotated[str, typer.Argument(metavar="MODEL", help=MODEL_HELP, show_default=False)],
    adapter: Annotated[
        list[str] | None,
        typer.Option(metavar="FILE[:SCALE]", help="A GGUF LoRA made for this base; may be repeated.", show_default=False),
    ] = None,
    prompt: Annotated[str | None, typer.Option(help="Ask this once and quit; without it, chat, or read questions from stdin.")] = None,
    max_tokens: Annotated[int | None, typer.Option(help="Longest answer in tokens (default: 512, at most half the context).")] = None,
    temperature: Annotated[
        float, typer.Option(help="0 takes the likeliest token; 1 samples the model's own distribution.")
    ] = DEFAULTS.temperature,
    top_k: Annotated[int, typer.Option(help="Choose among the K likeliest tokens; 0 for all.")] = DEFAULTS.top_k,
    top_p: Annotated[float, typer.Option(help="Choose among the likeliest tokens that together reach P.")] = DEFAULTS.top_p,
    min_p: Annotated[float, typer.Option(help="Drop tokens less likely than this share of the likeliest.")] = DEFAULTS.min_p,
    repeat_penalty: Annotated[float, typer.Option(help="Above 1, the last 64 tokens become less likely.")] = DEFAULTS.repeat_penalty,
    seed: Annotated[int | None, typer.Option(help="Use this seed for every answer (default: a new one for each).")] = None,
    system: Annotated[str | None, typer.Option(help="A system message to begin with.")] = None,
    ctx: Annotated[int | None, typer.Option(help=f"Context in tokens (default: the model's own, at most {DEFAULT_CONTEXT}).")] = None,
    threads: Annotated[int | None, typer.Option(help="Processor threads (default: chosen by the model's size).")] = None,
    gpu_layers: Annotated[int, typer.Option(help="Layers on the GPU where llama.cpp has one; -1 for all.")] = -1,
    raw: Annotated[bool, typer.Option("--raw", help="No chat template: complete the text as it is.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document instead of the answer; needs --prompt.")] = False,
    best: Annotated[
        int | None, typer.Option(metavar="N", help="Write N answers and show the one the reward model likes best.", show_default=False)
    ] = None,
    reward: Annotated[
        str | None, typer.Option(metavar="RUN", help="The reward model for --best: a run of method reward.", show_default=False)
    ] = None,
    save: Annotated[
        bool, typer.Option("--save", help="Save this conversation, as the app does; 'edgetune conversations' lists what is saved.")
    ] = False,
    resume: Annotated[
        str | None, typer.Option(metavar="NAME", help="Continue a saved conversation, in its file.", show_default=False)
    ] = None,
    side_by_side: Annotated[
        str | None,
        typer.Option(metavar="MODEL", help="Ask this model the same questions too; 'base' is the base of the run.", show_default=False),
    ] = None,
    into: Annotated[str, typer.Option(metavar="NAME", help="The preference file where /up, /down, /edit, /vote and /pick save.")] = "prefs",
    workspace: Annotated[Path | None, typer.Option(help="Where runs live (default: your data folder, or EDGETUNE_WORKSPACE).")] = None,
) -> None:
    """Chat with a run, a base or a GGUF file."""
    # Everything that can be wrong with the flags is refused before anything is loaded.
    sampling = Sampling(temperature, top_k, top_p, min_p, repeat_penalty, seed)
    check_flags(sampling, prompt, max_tokens, system, raw, as_json)
    check_best(best, reward, raw, workspace)
    check_conversation(save, resume, side_by_side, raw, best, system)
    safe_name(into)

    from edgetune.chat import saved
    from edgetune.storage.workspace import open_workspace

    # What is to be resumed is looked up first, so that a wrong name costs no wait for a model.
    opened_workspace = open_workspace(workspace)
    conversation = saved.find_conversation(opened_workspace.conversations, resume) if resume is not None else None
    lines = None if prompt is not None or sys.stdin.isatty() else stdin_questions()

    from edgetune.cli.chat_terminal import say
    from edgetune.sessions import adapters

    path = model_file(source, opened_workspace, say)
    other = None
    if side_by_side == "base":
        other = run_base_gguf(source, opened_workspace, say)
    elif side_by_side is not None:
        other = model_file(side_by_side, opened_workspace, say)

    # Models hold gigabytes, so each is closed however the conversation ends.
    with ExitStack() as stack:
        engine = open_engine(stack, path, ctx, threads, gpu_layers)
        adapters.load(engine, adapter or [], say)

        best_of_n = (best, reward) if best is not None and reward is not None else None
        options = ChatOptions(sampling, max_tokens, prompt, lines, system, raw, as_json, into, best_of_n, save, conversation)

        if other is None or side_by_side is None:
            serve(open_chat(engine, options, opened_workspace), options)
        else:
            names = unique([name_of(source), name_of(side_by_side)])
            engines = engine, open_engine(stack, other, ctx, threads, gpu_layers)
            serve_two(list(zip(names, engines, strict=True)), options)


def open_engine(stack: ExitStack, path: Path, ctx: int | None, threads: int | None, gpu_layers: int) -> "Engine":
    """Load a model and describe it; it is closed with the stack."""
    from edgetune.chat.engine import Engine
    from edgetune.cli.chat_terminal import say

    engine = stack.enter_context(Engine(path, n_ctx=ctx, threads=threads, gpu_layers=gpu_layers))
    info = engine.info
    say(f"{path.name}: {info.description.replace(' ?B', '')}, context {info.n_ctx}; {info.threads_reason}.")
    if info.n_ctx > info.n_ctx_train:
        say(f"The model was trained with a context of {info.n_ctx_train} tokens; beyond it, answers get worse.")
    return engine


def check_conversation(save: bool, resume: str | None, side_by_side: str | None, raw: bool, best: int | None, system: str | None) -> None:
    """Refuse, all together, flags that do not go with --save, --resume or --side-by-side."""
    problems = []
    if raw and (save or resume is not None):
        problems.append("--raw completes text, so there is no conversation to save or resume.")
    if resume is not None and system is not None:
        problems.append("--resume uses the system message that was saved with the conversation, so --system cannot set another.")
    if side_by_side is not None and (raw or save or resume is not None or best is not None):
        problems.append("--side-by-side asks two models: --raw, --save, --resume and --best do not go with it.")
    if problems:
        raise InputError("These flags do not go together", " ".join(problems), "Leave one of them out.")


def check_best(best: int | None, reward: str | None, raw: bool, workspace: Path | None) -> None:
    """Refuse --best and --reward that cannot be used, before a model is loaded. Imports no torch."""
    if best is None and reward is None:
        return
    if best is None or reward is None or raw:
        raise InputError(
            "Chat cannot rank answers this way",
            "--raw has no questions to rank answers to."
            if raw
            else "--best sets how many answers, --reward what ranks them: both are needed.",
            "Write for example: edgetune chat MODEL --best 4 --reward RUN",
        )

    # Imported late: most conversations rank nothing.
    from edgetune.sessions.best_of_n import check_count
    from edgetune.storage.workspace import open_workspace
    from edgetune.training.reward_model import require_reward_model

    check_count(best)
    require_reward_model(open_workspace(workspace).run(reward))


def check_flags(sampling: Sampling, prompt: str | None, max_tokens: int | None, system: str | None, raw: bool, as_json: bool) -> None:
    """Refuse, all together, what cannot be done, before a model is loaded."""
    problems = sampling.problems()
    if max_tokens is not None and max_tokens < 1:
        problems.append(f"max-tokens is {max_tokens}; it must be at least 1.")
    if as_json and prompt is None:
        problems.append("--json needs --prompt.")
    if raw and system is not None:
        problems.append("--raw uses no template, so it cannot have a --system message.")
    if prompt == "" and not raw:
        problems.append("the prompt is empty; only --raw can start from an empty text.")
    if problems:
        raise InputError("Chat cannot start with these flags", " ".join(problems), "Change them; 'edgetune chat --help' explains each.")


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


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command("chat", help=EXAMPLES, cls=with_former_flags(FORMER_FLAGS))(chat_command)
