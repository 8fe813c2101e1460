"""What a child process of Python needs to find this program, wherever it was started and however it was installed."""

import os
from pathlib import Path

PROGRAM_FOLDER = Path(__file__).resolve().parents[2]
"""The folder that holds the program's packages."""


def child_environment(**more: str) -> dict[str, str]:
    """This process's environment with `PROGRAM_FOLDER` first among the folders that modules come from. more: further variables."""
    folders = [str(PROGRAM_FOLDER), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(folders), **more}
