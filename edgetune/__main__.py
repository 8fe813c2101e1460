"""No words: the terminal app. Otherwise the command line."""

import sys


def main() -> None:
    """Entry point of the `edgetune` command."""
    if len(sys.argv) == 1:
        from tui.main import main as app
        from tui.main import terminal

        if terminal():
            sys.exit(app())
    from edgetune.cli.app import run

    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
