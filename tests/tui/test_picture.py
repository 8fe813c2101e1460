"""Pictures of screens: nothing is lost on the way to SVG and back, and what differs is named."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest
from rich.text import Text
from textual.app import App, ComposeResult
from textual.widgets import Static

from tests.tui import conftest
from tests.tui.conftest import SNAPSHOTS, Seat, Snapshot
from tests.tui.picture import Cell, Cells, cells, differences, read, svg, words


class Odd(App[None]):
    """A screen with what is hard to draw."""

    CSS = "Screen { background: #102030; } #box { border: round red; background: blue 20%; }"

    def compose(self) -> ComposeResult:
        """Wide signs, combining ones, blanks, looks."""
        yield Static(
            Text.assemble(('日本 é e\u0301  <&> "x" ', "bold"), ("under  lined", "underline italic"), (" gone ", "strike reverse"))
        )
        yield Static("in a box", id="box")


def shown() -> tuple[Cells, str]:
    async def run() -> tuple[Cells, str]:
        app = Odd()
        async with app.run_test(size=(60, 8)) as pilot:
            await pilot.pause()
            return cells(app), app.export_screenshot()

    return asyncio.run(run())


def test_a_picture_reads_back_as_the_screen_it_was_made_from() -> None:
    now, theirs = shown()
    assert [len(row) for row in now] == [60] * 8
    assert read(svg(now)) == now
    assert words(now)[0].startswith('日本 é e\u0301  <&> "x" under  lined gone')
    drawn = "".join("".join(element.itertext()) for element in ElementTree.fromstring(theirs).iter("{http://www.w3.org/2000/svg}text"))
    ours = "".join("".join(element.itertext()) for element in ElementTree.fromstring(svg(now)).iter("{http://www.w3.org/2000/svg}text"))
    plain = "".join("".join(words(now)).split())
    assert "".join(ours.split()) == plain
    assert plain in "".join(drawn.replace("\xa0", " ").split())


def test_a_picture_says_nothing_but_the_screen() -> None:
    text = svg(shown()[0])
    assert text == svg(shown()[0])
    assert text.count("http") == 1 and 'xmlns="http://www.w3.org/2000/svg"' in text
    assert len(text) < 4000


def test_what_differs_is_named() -> None:
    before, _ = shown()
    assert differences(before, before) == []
    now = [list(row) for row in before]
    now[0][8] = Cell("X", now[0][8].ink, now[0][8].ground)
    now[5][3:6] = [Cell(cell.sign, cell.ink, "#ffffff") for cell in now[5][3:6]]
    said = differences(before, now)
    assert len(said) == 2 and said[0].startswith("line 1, cells 9: was") and "'X'" in said[0]
    assert said[1].startswith("line 6, cells 4-6:") and "is" in said[1] and "#ffffff" in said[1]
    assert differences(before, now[:4]) == ["60x8 cells before, 60x4 now"]


def test_a_screen_that_looks_wrong_fails_the_test_itself(
    drive: Callable[..., None], snapshot: Snapshot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("EDGETUNE_SNAPSHOTS", raising=False)
    monkeypatch.setattr(conftest, "SNAPSHOTS", tmp_path)
    (tmp_path / "home-80x24.svg").write_bytes((SNAPSHOTS / "help-80x24.svg").read_bytes())
    seen: list[str] = []

    async def scene(seat: Seat) -> None:
        await snapshot("home", seat, (80, 24))
        await snapshot("never-drawn", seat, (80, 24))
        seen.append("the whole scene is played")

    with pytest.raises(AssertionError, match=r"home-80x24\.svg looks different now(.|\n)*never-drawn-80x24\.svg"):
        drive(scene)
    assert seen
