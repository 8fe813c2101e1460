"""Which picture shows which screen in which state: every screen empty, busy, full and failed, at 80x24 and at 120x40, or why not."""

import ast
import pkgutil
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import tui
from tests.tui.conftest import SIZES, SNAPSHOTS
from tui.dialogs.dialog import Dialog
from tui.pages.page import Page
from tui.steps.step import Step

STATES = ("empty", "busy", "full", "failed")


class Not(str):
    """Why a screen has no such state."""


AT_ONCE = Not("it reads nothing from disk and asks nobody: it is whole at once")
ASKS = Not("it asks one thing; nothing is in it that could be there or not")
FORM = Not("a form has all its lines from the start")
STEP = Not("it is the frame around the step that is shown")
BEGINS = Not("it begins to look or to write at once: busy comes first")
TAKES = Not("it takes any answer it offers")

GRID: dict[str, tuple[str, str, str, str]] = {
    "Home": ("home-empty", "home-busy", "home-full", "home-states"),
    "NewRun": (STEP, STEP, STEP, STEP),
    "ModelStep": ("new-model", "new-model-busy", "new-model-full", "new-model-failed"),
    "DataStep": ("new-data-empty", "new-data-busy", "new-data", "new-data-failed"),
    "GoalStep": (FORM, AT_ONCE, "new-goal", "new-goal-failed"),
    "RecipeStep": ("new-recipe", AT_ONCE, "new-recipe-all", "new-recipe-failed"),
    "FitStep": (BEGINS, "new-fit-busy", "new-fit", "new-fit-failed"),
    "StartStep": ("new-start", "new-start-busy", "new-start-full", "new-start-failed"),
    "RunScreen": ("run-begun", "run-live", "run-old", "run-bad"),
    "Compare": ("compare-empty", "compare-busy", "compare", "compare-failed"),
    "Export": ("export", "export-busy", "export-done", "export-failed"),
    "Chat": ("chat-empty", "chat-busy", "chat-full", "chat-failed"),
    "Conversations": ("talks-empty", "talks-busy", "talks", Not("files that are no conversations are left out")),
    "Adapters": ("chat-adapters", "chat-adapters-busy", "chat-adapters-full", "chat-adapters-failed"),
    "ChatSettingsDialog": (FORM, AT_ONCE, "chat-ways", "chat-ways-failed"),
    "SecondAnswer": (BEGINS, "second-busy", "chat-second", "second-alike"),
    "Versus": ("versus-empty", "versus-busy", "versus", "versus-failed"),
    "ChooseModels": (Not("the bundled model is always there"), "models-busy", "models", "models-failed"),
    "Data": ("data-empty", "data-busy", "data-bad", "data-failed"),
    "Doctor": (BEGINS, "doctor-busy", "doctor", "doctor-failed"),
    "SettingsScreen": ("settings", AT_ONCE, "settings-full", "settings-failed"),
    "Fetch": ("fetch", "fetch-busy", Not("a model that was fetched closes it"), "fetch-failed"),
    "Consent": (ASKS, AT_ONCE, "fetch-asked", TAKES),
    "RankSetup": ("rank-setup", AT_ONCE, "rank-setup-full", "rank-setup-failed"),
    "Rank": (BEGINS, "rank-busy", "rank-full", "rank-failed"),
    "ArenaSetup": ("arena-setup", AT_ONCE, "arena-setup-full", "arena-setup-failed"),
    "ArenaScreen": ("arena-none", "arena-busy", "arena-full", "arena-failed"),
    "Help": (ASKS, AT_ONCE, "help", TAKES),
    "ErrorDialog": (ASKS, AT_ONCE, "error", TAKES),
    "Confirm": (ASKS, AT_ONCE, "confirm", TAKES),
    "Choose": (ASKS, AT_ONCE, "choose", TAKES),
    "EditAnswer": (ASKS, AT_ONCE, "edit-answer", TAKES),
    "AskText": (ASKS, AT_ONCE, "ask", "ask-wrong"),
}
BASES = {"Page", "Dialog", "Step", "VoteSetup", "Voting", "Looked", "ChatAround", "ChatTurns", "ChatVotes"}
"""What screens are made of; and the step 'Data' as the screen 'Data' has it."""
FURTHER = {
    *("arena-done", "chat-markdown", "fetch-stopped", "help-new", "home-filter", "home-keys", "home-tour", "new-fit-too-much"),
    *("new-start-wrong", "palette", "rank-done", "run-answers", "run-answers-empty", "run-more", "run-paused", "run-why"),
}
"""More to see of some of them."""


def screens() -> set[str]:
    """Every screen, dialog and step that the app has."""
    found = set()
    for module in pkgutil.walk_packages(tui.__path__, "tui."):
        for owner in vars(import_module(module.name)).values():
            if isinstance(owner, type) and issubclass(owner, (Page, Dialog, Step)) and owner.__module__ == module.name:
                found.add(owner.__name__)
    return found - BASES


def drawn() -> Iterator[re.Pattern[str]]:
    """The names of the pictures that tests ask for, as patterns: some are made of what a test is called with."""
    for path in Path(__file__).parent.glob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "snapshot":
                name = node.args[0]
                parts = name.values if isinstance(name, ast.JoinedStr) else [name]
                yield re.compile("".join(re.escape(str(one.value)) if isinstance(one, ast.Constant) else "[a-z0-9]+" for one in parts))


def test_every_screen_is_seen_in_every_state() -> None:
    assert set(GRID) == screens()
    names = {name for row in GRID.values() for name in row if not isinstance(name, Not)}
    wanted = {f"{name}-{width}x{height}.svg" for name in names | FURTHER for width, height in SIZES}
    there = {path.name for path in SNAPSHOTS.glob("*.svg")}
    assert not wanted - there, "there is no such picture"
    others = {name for name in there - wanted if not {"ascii", "mono", "light", "200x60", "120x60"} & set(re.split(r"[-.]", name))}
    assert not others, "pictures that nothing lists"
    asked = list(drawn())
    assert not {name for name in names | FURTHER if not any(one.fullmatch(name) for one in asked)}, "no test looks at them"
