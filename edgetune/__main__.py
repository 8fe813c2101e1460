"""No words: the terminal app. Otherwise the command line."""

import sys


def main() -> None:
    """Entry point of the `edgetune` command."""
    if len(sys.argv) == 1:
        from tui.main import main as app
        from tui.main import terminal

        if terminal():
            sys.exit(app())
    from edgetune.cli import app as line

    line.serve_web = _web
    sys.exit(line.run(sys.argv[1:]))


def _web(port: int, browser: bool) -> int:
    from tui.web import serve_app

    return serve_app(port, browser)


if __name__ == "__main__":
    main()
