"""Screens are opened by name: every name leads to one, and every screen has a name."""

import ast
from importlib import import_module

import pytest
from textual.screen import Screen

from tests.conftest import ROOT
from tui.navigation import SCREENS, create
from tui.pages.page import Page


@pytest.mark.parametrize("name", SCREENS)
def test_every_name_leads_to_a_screen_with_help(name: str) -> None:
    module, _, screen = SCREENS[name].partition(":")
    found = getattr(import_module(module), screen)
    assert issubclass(found, Screen) and found.NAME and found.ABOUT


def test_every_page_of_the_app_can_be_opened_by_name() -> None:
    pages = set()
    for path in (ROOT / "tui" / "screens").rglob("*.py"):
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for owner in vars(import_module(module)).values():
            if isinstance(owner, type) and issubclass(owner, Page) and owner.__module__ == module and "NAME" in vars(owner):
                pages.add(f"{module}:{owner.__name__}")
    assert pages and pages <= set(SCREENS.values())


def test_code_names_only_screens_that_there_are() -> None:
    named = set()
    for path in (ROOT / "tui").rglob("*.py"):
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            function = call.func if isinstance(call, ast.Call) else None
            if isinstance(call, ast.Call) and isinstance(function, ast.Name) and function.id in ("open_screen", "replace_screen"):
                named |= {part.value for part in call.args[1:2] if isinstance(part, ast.Constant)}
    assert named and named <= set(SCREENS)


def test_every_form_before_a_vote_names_the_screen_that_votes() -> None:
    from tui.screens.arena_setup import ArenaSetup
    from tui.screens.rank_setup import RankSetup

    assert {form.VOTES_ON for form in (ArenaSetup, RankSetup)} == {"arena", "rank"} <= set(SCREENS)


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(KeyError):
        create("no such screen")
