"""The README names every file of the tree and every command, and none that are not there."""

import re

from edgetune.cli.app import COMMANDS
from tests.conftest import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
ONE_EACH = ("readers", "formats")
"""Folders of which the tree says that they hold one file a kind, and names none."""


def test_the_tree_names_every_file_and_no_other() -> None:
    tree = README.split("## The tree")[1].split("```")[1]
    named = set(re.findall(r"[\w.-]+", tree))
    files = [path for folder in ("edgetune", "converters", "tui", "packaging") for path in (ROOT / folder).rglob("*.py")]
    ours = [path for path in files if path.parent.name not in ONE_EACH and (path.name == "__main__.py" or path.name[0] != "_")]
    assert not [str(path.relative_to(ROOT)) for path in ours if not {path.name, path.stem} & named]
    assert not {name for name in named if name.endswith(".py")} - {path.name for path in files}


def test_every_command_is_in_the_table() -> None:
    table = README.split("| command |")[1].split("\n\n")[0]
    told = set(re.findall(r"[a-z]+", " ".join(line.split("|")[1] for line in table.splitlines()[2:])))
    assert not COMMANDS.keys() - told
