"""Flags by the names they had before: they still work, are not in --help, and a note on stderr names what replaced them."""

import sys
from collections.abc import Mapping
from typing import Any

from typer.core import TyperCommand


def with_former_flags(former: Mapping[str, str | None]) -> type[TyperCommand]:
    """The class of a command that also takes flags by former names. former: each with its present name, None: not needed any more."""

    class Command(TyperCommand):
        """A command that reads former names of its flags."""

        def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
            """Parse the command line, former names replaced."""
            end = args.index("--") if "--" in args else len(args)
            return super().parse_args(ctx, [*(word for argument in args[:end] for word in _present(argument, former)), *args[end:]])

    return Command


def _present(argument: str, former: Mapping[str, str | None]) -> list[str]:
    flag, equals, value = argument.partition("=")
    if flag not in former:
        return [argument]
    present = former[flag]
    if present is None:
        print(f"note: {flag} is not needed any more", file=sys.stderr)
        return []
    print(f"note: {flag} is now called {present}", file=sys.stderr)
    return [f"{present}{equals}{value}"]
