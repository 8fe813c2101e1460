"""Flags by the names they had before: they still work, are not in --help, and a note on stderr names what replaced them."""

import sys
from typing import Any

from typer.core import TyperCommand


def with_former_flags(former: dict[str, str]) -> type[TyperCommand]:
    """The class of a command that also takes flags by former names. former: each with its present name."""

    class Command(TyperCommand):
        """A command that reads former names of its flags."""

        def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
            """Parse the command line, former names replaced."""
            end = args.index("--") if "--" in args else len(args)
            return super().parse_args(ctx, [*(_present(argument, former) for argument in args[:end]), *args[end:]])

    return Command


def _present(argument: str, former: dict[str, str]) -> str:
    flag, equals, value = argument.partition("=")
    if flag not in former:
        return argument
    print(f"note: {flag} is now called {former[flag]}", file=sys.stderr)
    return f"{former[flag]}{equals}{value}"
