"""Texts that name keys name those that hold: the declared ones, or the user's own."""

import ast
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from textual.dom import DOMNode

import tui
from edgetune.storage.workspace import Workspace
from tests.tui.conftest import Seat
from tui.app import EdgeTuneApp
from tui.keys import DECLARED, NAMED, own, with_keys
from tui.screens.new_run import NewRun
from tui.screens.settings import declared
from tui.settings import Settings
from tui.widgets.tour import Tour


@pytest.fixture(autouse=True)
def as_usual() -> Iterator[None]:
    """No keys of somebody's own, before and after."""
    own({})
    yield
    own({})


def test_keys_of_the_users_own_are_told() -> None:
    declared()
    assert with_keys("{home.new}, {data.add}, {chat.up} and {page.help}") == "n, +, Ctrl+Up and ?"
    own({"home.new": "f6,N"})
    assert with_keys("Press {home.new}; {this} and {} stay") == "Press F6; {this} and {} stay"
    assert with_keys("{home.nothing}") == "nothing"


def texts() -> Iterator[str]:
    """Every text in the app's source, but for docstrings."""
    for path in Path(tui.__file__).parent.rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        for node in ast.walk(tree) if path.name != "keys.py" else ():
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
                yield node.value


def test_every_key_that_a_text_names_is_declared() -> None:
    declared()
    named = [name for text in texts() for name in NAMED.findall(text)]
    assert len(named) > 60 and set(named) <= set(DECLARED)
    assert not [text for text in texts() if re.search(r"\bEsc\b|\bF([1-9]|1[0-2])\b", text)], "keys that can be changed"


def test_screens_name_them(drive: Callable[..., None], workspace: Workspace) -> None:
    Settings(toured=True, keys={"home.new": "f6", "goal.replay": "R", "export.write": "W"}).save(workspace.path / "app.json")

    async def scene(seat: Seat) -> None:
        assert "Press  F6  for a new run" in seat.text() and "Press  t  to try it" in seat.text()
        await seat.press("f4", "space", "space", "space")
        tour = " ".join(str(seat.app.screen.query_one(Tour).render()).split())
        assert "F6 starts a run" in tour
        await seat.press("escape", "f6")
        assert isinstance(seat.app.screen, NewRun)

    drive(scene)


def test_every_key_has_its_action() -> None:
    declared()
    nodes, dead = [DOMNode], []
    while nodes:
        node = nodes.pop()
        nodes += node.__subclasses__()
        for binding in node.__dict__.get("BINDINGS", []) if node.__module__.startswith("tui.") else []:
            owner, _, action = binding.action.partition("(")[0].rpartition(".")
            if not hasattr(EdgeTuneApp if owner == "app" else node, f"action_{action}"):
                dead.append(f"{node.__name__}: {binding.id} does {action}")
    assert not dead
