"""The app as the server starts it, once for each page that is open: Textual's web driver draws it, and a browser shows Unicode."""

import sys

from tui.main import main

if __name__ == "__main__":
    sys.exit(main(ascii_only=False))
