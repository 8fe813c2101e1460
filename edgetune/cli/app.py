"""The command line: which commands there are, and the one place that turns errors into text, JSON and exit codes."""

import json
import sys
from collections.abc import Callable
from contextlib import nullcontext
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup

from edgetune import __version__
from edgetune.errors import EdgeTuneError, InputError
from edgetune.machine import prevent_sleep
from edgetune.storage.files import system_error
from edgetune.text import safe_text

COMMANDS = {
    # name: (module under edgetune.cli, one line)
    "demo": ("demo", "Run the full pipeline on the bundled model: train, export, compare, chat."),
    "doctor": ("machine", "Show what this machine has and what EdgeTune would use, with reasons."),
    "bases": ("machine", "List the base models found on disk."),
    "fetch": ("fetch", "Fetch a base model from a hub: the one command that uses the network."),
    "data": ("data", "Look at examples before a run does: check, preview, convert, split."),
    "fit": ("fit", "Predict memory, disk and time of a run before it starts, and what makes it fit."),
    "train": ("train", "Fine-tune a base model on your file of examples."),
    "eval": ("eval", "Measure a run, or a GGUF, on held-out examples: base against tuned."),
    "score": ("score", "Rank answers with a reward model."),
    "runs": ("runs", "List all runs with their state."),
    "show": ("watch", "Show one run: recipe, results, samples."),
    "log": ("watch", "Show a run's events in words, also while it trains."),
    "curves": ("curves", "Draw a run's curves, or two runs over one another with what differs."),
    "stop": ("runs", "Stop a running run after a checkpoint."),
    "resume": ("train", "Resume an interrupted run, or extend a finished one."),
    "rename": ("runs", "Give a run another name."),
    "rebase": ("runs", "Name the folder where a run's base is now, after it was moved."),
    "delete": ("runs", "Delete a run and all it made."),
    "prune": ("runs", "Free space: old checkpoints and leftovers of interruptions."),
    "disk": ("runs", "Show what takes space."),
    "export": ("export", "Write a run or a model folder as GGUF, quantized."),
    "import": ("import_gguf", "Turn a GGUF back into a model folder that can be trained."),
    "imatrix": ("imatrix", "Gather an importance matrix on your training data, for small quantized types."),
    "prove": ("prove", "Prove that a GGUF is the model it was made from: text, weights, meaning, behavior."),
    "compare": ("compare", "Compare types of a model by size, closeness, speed and memory, and recommend one."),
    "collect": ("collect", "Pick the better of two answers, or edit one: what you prefer becomes the next run's data."),
    "rank": ("rank", "Put two to four answers a prompt in order, best first."),
    "arena": ("arena", "Compare models blind, with win rate, interval and rating."),
    "prefs": ("prefs", "The votes: list, show, export, import, dedupe, delete."),
    "chat": ("chat", "Chat with a run, a base or a GGUF, offline."),
    "conversations": ("conversations", "Saved conversations: list, search, show, turn into examples, delete."),
}

FORMER_NAMES = {"talks": "conversations"}
"""Commands by the names they had before: they still work, but are not listed."""

LASTING = ("fetch", "eval", "score", "export", "import", "imatrix", "prove", "compare")
"""Commands that may take long, for which sleep is prevented; a training run's worker sees to itself."""


serve_web: Callable[[int, bool], int] | None = None
"""What --web does; it is the app's, and the program's entry sets it: nothing here imports the app."""


class LazyGroup(TyperGroup):
    """Imports a command's module only when that command is used."""

    def list_commands(self, ctx: Any) -> list[str]:
        """All names, in the order a person meets them."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command of a name, without its flags: a stand-in with its one line, which is all that the list of commands shows."""
        name = FORMER_NAMES.get(cmd_name, cmd_name)
        return typer.core.TyperCommand(cmd_name, help=COMMANDS[name][1], short_help=COMMANDS[name][1]) if name in COMMANDS else None

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """The command that is to run, whole: only now its module is imported."""
        cmd_name, command, rest = super().resolve_command(ctx, args)
        return cmd_name, self.whole(cmd_name) if cmd_name and command else command, rest

    def whole(self, cmd_name: str) -> Any:
        """A command of `COMMANDS` with its flags."""
        name = FORMER_NAMES.get(cmd_name, cmd_name)
        module, _ = COMMANDS[name]
        app = typer.Typer(rich_markup_mode=None, add_completion=False)
        import_module(f"edgetune.cli.{module}").register(app)
        app.callback()(lambda: None)  # with a callback Typer keeps a group even of one command
        return typer.main.get_command(app).commands[name]  # type: ignore[attr-defined]

    def invoke(self, ctx: Any) -> Any:
        """Run the command. Left to itself, Typer makes of Ctrl-C an exit code without a word, and without a JSON document."""
        name = next(iter(ctx._protected_args), "")
        lasting = name in LASTING and not {"-h", "--help"} & set(ctx.args)
        try:
            with prevent_sleep.sleep_prevented(f"edgetune {name}") if lasting else nullcontext():
                return super().invoke(ctx)
        except KeyboardInterrupt as error:
            raise typer.Abort from error


app = typer.Typer(cls=LazyGroup, rich_markup_mode=None, add_completion=False, context_settings={"help_option_names": ["-h", "--help"]})


@app.callback(invoke_without_command=True)
def _main(
    ctx: typer.Context,
    version: bool = typer.Option(False, "--version", help="Show the version and exit."),
    web: bool = typer.Option(False, "--web", help="The terminal app in a browser on this machine; prints the address."),
    port: int = typer.Option(0, min=0, max=65535, help="Port of --web (default: a free one).", show_default=False),
    browser: bool = typer.Option(False, "--open", help="With --web: open the browser too."),
) -> None:
    """Fine-tune a chat model on your own examples, export it as GGUF and chat with it, offline.

    Begin with: edgetune demo. Run edgetune without a command to open the app.
    """
    if (port or browser) and not web:
        raise InputError("--port and --open belong to --web", "", "Write: edgetune --web --port 8000")
    if web and ctx.invoked_subcommand:
        raise InputError(
            "--web cannot be combined with a command", f"'{ctx.invoked_subcommand}' is a separate command.", "Write: edgetune --web"
        )
    if version:
        typer.echo(f"edgetune {__version__}")
    elif web:
        assert serve_web is not None
        raise typer.Exit(serve_web(port, browser))
    elif ctx.invoked_subcommand is None:
        typer.echo("The terminal app needs a terminal, and there is none here; the command line can do all of it.\n", err=True)
        typer.echo(ctx.get_help())


def show_error(error: EdgeTuneError, as_json: bool) -> None:
    """Print an error the way the caller asked for."""
    if as_json:
        print(json.dumps({"error": error.as_dict()}, ensure_ascii=False))
        return
    for label, text in (("", error.title), ("  why: ", error.cause), ("  do:  ", error.remedy)):
        if text:
            print(safe_text(f"{label or 'error: '}{text}"), file=sys.stderr)


def run(arguments: list[str]) -> int:
    """Run a command line and return its exit code: 0 done, 1 failed or 'no', 2 wrong input, 130 interrupted."""
    from typer.exceptions import Abort, Exit, TyperException

    # Every way out is here: whatever happens, one exit code, and with --json a document instead of a traceback.
    as_json = "--json" in arguments
    try:
        result = typer.main.get_command(app).main(arguments, prog_name="edgetune", standalone_mode=False)
        return int(result) if isinstance(result, int) else 0
    except Exit as end:
        return int(end.exit_code)
    except (KeyboardInterrupt, Abort):
        if as_json:
            print(json.dumps({"error": {"title": "Interrupted", "cause": "It was asked to stop.", "remedy": ""}}))
        else:
            print("interrupted", file=sys.stderr)
        return 130
    except EdgeTuneError as error:
        show_error(error, as_json)
        return error.exit_code
    except TyperException as error:
        names = getattr(getattr(error, "ctx", None), "command_path", "edgetune")
        show_error(EdgeTuneError(error.format_message(), "", f"See {names} --help.", 2), as_json)
        return 2
    except UnicodeError as error:
        show_error(EdgeTuneError("A text cannot be read", str(error), "Save the file as UTF-8.", 2), as_json)
        return 2
    except BrokenPipeError:
        sys.stderr.close()
        return 1
    except (OSError, MemoryError) as error:
        show_error(system_error(error), as_json)
        return 1
