"""What makes a screen easy on the eye and the hand: nothing is cut that matters, clicks work, colours follow the theme at once."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from textual.widgets import OptionList, Static

from edgetune.errors import InputError
from edgetune.preferences.record import Candidate, Choice, Vote
from edgetune.preferences.store import Store
from edgetune.storage.workspace import Run, Workspace
from tests.tui.conftest import FAILED, FINISHED, Seat, draft_of, life
from tests.tui.picture import cells
from tui.cli_terms import in_app
from tui.dialogs.choose import Choose
from tui.dialogs.choose_models import ChooseModels
from tui.dialogs.error import ErrorDialog
from tui.keys import typed
from tui.screens.arena_setup import ArenaSetup
from tui.screens.home import Home
from tui.screens.new_run import NewRun
from tui.screens.rank_setup import RankSetup
from tui.screens.run import RunScreen
from tui.screens.settings import declared, typed_folders
from tui.themes import DARK, LIGHT, THEMES
from tui.widgets.columns import fitted
from tui.widgets.files import Files
from tui.widgets.listing import Listing

Drive = Callable[..., None]
MakeRun = Callable[..., Run]


def test_columns_give_way_until_they_fit() -> None:
    assert fitted([10, 5, 30], 60, -1) == [10, 5, 30]
    assert fitted([10, 5, 30], 30, -1) == [10, 5, 15]
    assert fitted([40, 5, 20], 40, 0) == [15, 5, 20]
    assert fitted([3, 9], -5, 0) == [1, 1], "never less than a cell"
    assert fitted([40, 5, 20], 20, 0) == [7, 5, 8], "when that is not enough, the widest"


def test_keys_are_typed_as_people_know_them() -> None:
    for text, keys in (("a", "a"), ("G, end", "G,end"), ("Ctrl+K", "ctrl+k"), ("Esc", "escape"), ("shift+F5,", "shift+f5"), ("+", "+")):
        assert typed(text) == keys
    assert typed("question_mark") == "question_mark" and typed(" ") == ""
    for text in ("nokey", "ctrl+", "hold+k", "ctrl+nokey", "a b"):
        with pytest.raises(InputError):
            typed(text)
    assert typed_folders("., ") == [str(Path.cwd())]
    with pytest.raises(InputError):
        typed_folders(".,gone")


def test_a_long_name_hides_no_column_and_keys_are_whole_words(drive: Drive, make_run: MakeRun) -> None:
    make_run("a-very-long-name-that-somebody-gave-to-a-run-of-theirs", life(100, 100, FINISHED))

    async def scene(seat: Seat) -> None:
        labels = {binding.binding.description for binding in seat.app.screen.active_bindings.values() if binding.binding.show}
        for width in (60, 80, 200):
            await seat.pilot.resize_terminal(width, 24)
            await seat.settle()
            text = seat.text()
            heads, row = text.splitlines()[4:6] if width < 200 else text.splitlines()[3:5]
            assert "size" in heads and (width == 60 or " KiB" in row) and row.startswith("│ a-very-"[: width // 10])
            assert ("…" in row) is (width < 200)
            footer = text.splitlines()[-1]
            words = {label for label in labels if f" {label}" in footer}
            assert footer.rstrip().endswith("f1 Help") and len(" ".join(words)) > width / 3 - 20
            assert re.sub(rf" (\S+) ({'|'.join(map(re.escape, sorted(labels, key=len, reverse=True)))})(?= |$)", "", footer).strip() == ""
        await seat.press("slash", "q", "q")
        assert "No row holds this text" in seat.text()
        await seat.press("escape")
        assert "finished" in seat.text() and "No row holds" not in seat.text()

    drive(scene)


def test_colours_follow_the_theme_at_once(drive: Drive, make_run: MakeRun) -> None:
    for name in ("one", "two"):
        make_run(name, life(100, 100, FINISHED))
    primary = {theme.name: str(theme.primary).lower() for theme in THEMES}

    def inks(seat: Seat) -> set[str]:
        marks = [cell.ink for row in cells(seat.app) for cell in row if cell.sign == "✔"]
        return {colour.lower() for ink in marks for colour in re.findall(r"fill:(#\w+)", ink)}

    async def scene(seat: Seat) -> None:
        home = seat.app.screen
        assert isinstance(home, Home)
        home._busy = True  # no look of its own meanwhile
        for name in (LIGHT, DARK):
            await seat.press("f2")
            assert primary[name] in inks(seat)
        await seat.app.push_screen(RunScreen(home.runs["one"].run))
        await seat.settle()
        await seat.press("f2")
        assert primary[LIGHT] in inks(seat)

    drive(scene)


def test_what_looks_clickable_is(drive: Drive, make_run: MakeRun, facts: Path) -> None:
    one = make_run("one", life(100, 100, FINISHED))

    async def scene(seat: Seat) -> None:
        async def click(selector: str, text: str) -> None:
            widget = seat.app.screen.query_one(selector)
            lines = seat.text().splitlines()
            y = next(y for y in range(widget.region.y, widget.region.bottom) if text in lines[y])
            assert await seat.pilot.click(offset=(lines[y].index(text), y))
            await seat.settle()

        await seat.press("f4")
        await click("#tour", "Home:")
        assert "Tour 2 of 4" in seat.text()
        await seat.press("escape")
        await click("#runs", "one")
        screen = seat.app.screen
        assert isinstance(screen, RunScreen) and screen.run_shown.name == one.name
        for text, view in (("3 Answers", "samples"), ("2 More", "more"), ("1 Charts", "charts")):
            await click("#views", text)
            assert screen.view == view and screen.query_one(f"#{view}").display
        await click("KeysLine", "Rank")
        assert isinstance(seat.app.screen, RankSetup) and "one" in seat.text()
        await seat.press("escape", "escape")
        await seat.press("n")
        await click("#base-list", "nano")
        new = seat.app.screen
        assert isinstance(new, NewRun) and new.at == 1
        await click("#steps", "1 Model")
        assert new.at == 0
        await click("#steps", "3 Goal")
        assert new.at == 0, "what is not done yet is not gone to"

    drive(scene)


def test_a_run_says_why_and_leads_on(drive: Drive, make_run: MakeRun) -> None:
    bad, good = make_run("bad", life(39, 100, FAILED)), make_run("good", life(100, 100, FINISHED))

    async def scene(seat: Seat) -> None:
        await seat.app.push_screen(RunScreen(bad))
        await seat.settle()
        assert "w says why" in seat.text()
        await seat.press("w")
        assert isinstance(seat.app.screen, ErrorDialog) and "Lower 'learning rate'" in seat.text()
        await seat.press("escape", "escape")
        await seat.app.push_screen(RunScreen(good))
        await seat.settle()
        assert "k rank its answers" in seat.text() and "w Why" not in seat.text()
        await seat.press("k")
        setup = seat.app.screen
        assert isinstance(setup, RankSetup) and [model.place for model in setup.plan.models] == ["good"]
        await seat.press("escape", "A")
        arena = seat.app.screen
        assert isinstance(arena, ArenaSetup) and [model.name for model in arena.plan.models] == ["good", "nano"]

    drive(scene)


def test_files_are_where_one_expects_them(drive: Drive, workspace: Workspace) -> None:
    Path("deep").mkdir()
    Path("deep/rows.jsonl").write_text("{}\n", encoding="utf-8")

    async def scene(seat: Seat) -> None:
        await seat.press("x")
        files = seat.app.screen.query_one(Files)
        listing = files.query_one(Listing)
        assert listing.current == "deep", "rather than the way up"
        await seat.press("enter")
        assert listing.current == "rows.jsonl" and files.folder.name == "deep"
        await seat.press("up", "enter")
        assert listing.current == "deep" and files.folder == Path.cwd(), "the folder one comes from"

    drive(scene)


def test_votes_are_examples_too(drive: Drive, workspace: Workspace) -> None:
    async def none(seat: Seat) -> None:
        await seat.press("n", "enter", "v")
        assert not isinstance(seat.app.screen, Choose) and not draft_of(workspace)["data"]

    drive(none)
    votes = Store(workspace.preferences / "prefs.jsonl")
    for number in range(4):
        answers = [Candidate([{"role": "assistant", "content": text}]) for text in (f"{number}.", f"It is {number}, I think.")]
        votes.add(Vote([{"role": "user", "content": f"What is {number}?"}], answers, Choice("pair", "left"), "rank"))

    async def scene(seat: Seat) -> None:
        await seat.press("n")
        await seat.pilot.press("v")
        await seat.until(lambda: isinstance(seat.app.screen, Choose))
        await seat.press("enter")
        screen = seat.app.screen
        assert isinstance(screen, NewRun) and screen.draft.data == ["prefs"] and screen.draft.kind == "preference"
        if problem := screen.step.lacking():
            assert "do not train" in problem
            await seat.press("y")
        await seat.press("ctrl+n")
        assert screen.at == 2 and "pairs-50" in str(screen.query_one("#means", Static).render())
        assert screen.query_one(OptionList).highlighted == 2

    drive(scene)


def test_the_engine_s_words_are_those_of_the_app() -> None:
    declared()
    assert in_app("Stopped after step 3; 'edgetune resume a-1' goes on.") == "Stopped after step 3; r on its screen goes on."
    assert in_app("Let it finish: edgetune resume nano-sft-1.") == "Let it finish: r on its screen."
    assert in_app("Lower --learning-rate, --batch-size or --max-length.") == "Lower 'learning rate', 'batch size' or 'max length'."
    assert in_app("Say it, as in --column-map a=B, or with --format.") == "Say it, as in Columns (m) a=B, or with Shape (f)."
    assert in_app("give it with --token-file FILE; a -- b, x--data") == "give it with --token-file FILE; a -- b, x--data"


def test_small_things_are_as_one_expects(drive: Drive, workspace: Workspace) -> None:
    Path("deep").mkdir()
    for name in ("deep/rows.jsonl", "a.jsonl", "z.jsonl"):
        Path(name).write_text("", encoding="utf-8")

    async def scene(seat: Seat) -> None:
        await seat.press("x")
        listing = seat.app.screen.query_one(Listing)
        await seat.press("end")
        assert listing.current == "z.jsonl"
        await seat.press("home")
        assert listing.current == ".."
        await seat.press("slash", "d", "e", "enter", "enter")
        assert listing.current == "rows.jsonl", "in a folder that was filtered for, all is shown"
        await seat.press("enter")
        assert isinstance(seat.app.screen, ErrorDialog)
        await seat.press("enter")
        assert not isinstance(seat.app.screen, ErrorDialog), "Close has the focus"
        await seat.press("escape", "k")
        await seat.pilot.press("enter")
        await seat.until(lambda: isinstance(seat.app.screen, ChooseModels))
        await seat.settle()
        assert "esc Close" in seat.text().splitlines()[-1], "a dialog's own keys"
        await seat.press("s")
        await seat.press("escape", "k")
        assert [model.name for model in seat.app.screen.plan.models] == ["nano"]
        for _ in range(3):
            seat.app.say("One thing.")
            await seat.pilot.pause()
        assert len(seat.app._notifications) == 1

    drive(scene)
