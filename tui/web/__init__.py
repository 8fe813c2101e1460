"""The same app in a browser on this machine: server.py serves it through textual-serve, page.html is what the browser opens."""

import sys

from edgetune.errors import EdgeTuneError


def serve_app(port: int, browser: bool) -> int:
    """Serve until Ctrl-C; the exit code. port: 0 for a free one. browser: open one. EdgeTuneError where textual-serve is missing."""
    try:
        from tui.web import server
    except ImportError as error:
        raise EdgeTuneError(
            "The app cannot be served to a browser",
            f"The package textual-serve is not installed ({error.name}).",
            f'Install it: {sys.executable} -m pip install "textual-serve>=1.1"',
        ) from error
    return server.run_server(port, browser)
