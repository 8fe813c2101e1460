"""What a person is asked during a conversation: a key, or an edited text; lines of stdin where there is no terminal."""

import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

from edgetune.errors import InputError
from edgetune.text import safe_text


def ask_key(question: str) -> str | None:
    """What a person answers, without spaces around it; a line of stdin where there is no terminal; None at the end of it."""
    print(safe_text(question), end=" ", file=sys.stderr, flush=True)
    line = sys.stdin.readline()
    if not sys.stdin.isatty():
        print(file=sys.stderr)
    return line.strip() if line else None


def edit_text(text: str) -> str | None:
    r"""A text as the person changes it: in $VISUAL or $EDITOR at a terminal, else the next line, in which \n stands for a new line."""
    # Without an editor, or in a script, one line is all that can be read.
    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR")
    if not (editor and sys.stdin.isatty()):
        line = ask_key("your version, on one line (\\n for a new line):")
        return None if line is None else line.replace("\\n", "\n")
    from edgetune.storage.files import write_text

    # Editors choose their highlighting by the name; answers are mostly Markdown.
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "answer.md"
        write_text(path, text + "\n")
        try:
            subprocess.run([*shlex.split(editor), str(path)], check=True)
        except (OSError, ValueError, subprocess.CalledProcessError) as error:
            raise InputError(
                "The editor could not be used", str(error), "Set EDITOR to an editor that works, or unset it to type the text on one line."
            ) from error
        return path.read_text(encoding="utf-8", errors="replace").strip()
