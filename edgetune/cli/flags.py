"""Flags that several commands share, and the recipe's options as flags."""

import copy
import inspect
import types
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from edgetune.cli.show import say
from edgetune.config.recipe import Recipe, current_names, flag_of, former_names

AdaptersFlag = Annotated[
    list[str] | None,
    typer.Option(metavar="DIR[:WEIGHT]", help="Adapter folder to merge into a model folder, may be repeated.", show_default=False),
]
RunName = Annotated[str, typer.Argument(metavar="RUN", help="Name of the run.", show_default=False)]
WorkspaceFlag = Annotated[
    Path | None, typer.Option("--workspace", help="Where runs live (default: your data folder, or EDGETUNE_WORKSPACE).")
]
JsonFlag = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]
YesFlag = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


def _plain(annotation: Any) -> tuple[Any, bool]:
    """The type of one value, and whether there may be several."""
    options = (
        [a for a in typing.get_args(annotation) if a is not types.NoneType]
        if typing.get_origin(annotation) is types.UnionType
        else [annotation]
    )
    kind = options[0]
    if typing.get_origin(kind) is list:
        return str, True
    if typing.get_origin(kind) is typing.Literal:
        return str, False
    return kind, False


def recipe_flags(function: Callable[..., None], only: tuple[str, ...] = ()) -> Callable[..., None]:
    """Give a command one flag for every option of the recipe, or `only` for some; the function gets those set as `**options`."""
    # The recipe is the one declaration of options: help, choices and defaults come from it.
    signature = inspect.signature(function)
    parameters = [p for p in signature.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
    for name, field in Recipe.model_fields.items():
        if only and name not in only:
            continue

        kind, several = _plain(field.annotation)
        flag = flag_of(name)
        choices = typing.get_args(field.annotation) if typing.get_origin(field.annotation) is typing.Literal else ()

        # Defaults go into the help as text; the flag's own default stays None, which means that it was not set.
        shown = "" if field.default in (None, "", []) else f" [{', '.join(map(str, field.default)) if several else field.default}]"
        help_text = f"{field.description}{f' ({chr(124).join(choices)})' if choices else ''}{shown}"

        names = [f"{flag}/--no-{flag.removeprefix('--')}"] if kind is bool else [flag]
        option = typer.Option(*names, help=help_text, show_default=False)
        value: Any = (list[str] | None) if several else (kind | None)
        annotation = typing.cast(Any, Annotated)[value, option]
        parameters.append(inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation))

    # Only what was set is passed on, so that flags beat the file without hiding it.
    def command(**values: Any) -> None:
        own = {p for p in signature.parameters}
        options = {k: v for k, v in values.items() if k not in own and v is not None and v != []}
        function(**{k: v for k, v in values.items() if k in own}, **options)

    # Typer reads the flags from the signature, so it is built rather than written.
    command.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {p.name: p.annotation for p in parameters}
    command.__doc__ = function.__doc__

    return former_flags(command)


def former_flags(function: Callable[..., None]) -> Callable[..., None]:
    """Let a command still take the recipe's options under their former flags: hidden from its help, with a note which flag replaced it."""
    signature = inspect.signature(function)
    former = {old: new for old, new in former_names().items() if new in signature.parameters}

    # A former flag reads its value just as the flag that replaced it does, bounds included.
    parameters = list(signature.parameters.values())
    for old, new in former.items():
        kind, option = typing.get_args(signature.parameters[new].annotation)
        option = copy.copy(option)
        option.default = flag_of(old)  # inside Annotated, Typer keeps the first flag here
        option.param_decls = ()
        option.hidden = True
        annotation = typing.cast(Any, Annotated)[kind, option]
        parameters.append(inspect.Parameter(old, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation))

    def command(**values: Any) -> None:
        unset = {name for name in (*former, *former.values()) if values.get(name) in (None, [])}
        given = current_names({name: value for name, value in values.items() if name not in unset}, say, spell=flag_of)
        function(**{name: given.get(name, values[name]) for name in signature.parameters})

    command.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {p.name: p.annotation for p in parameters}
    command.__doc__ = function.__doc__
    return command


def confirm(question: str, yes: bool) -> None:
    """Ask before what cannot be undone; without a terminal --yes is needed."""
    import sys

    from edgetune.errors import InputError

    if yes:
        return
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise InputError("Confirmation needed", question, "There is no terminal to ask in; add --yes to confirm.")
    typer.confirm(question, abort=True, err=True)
