"""The app's frame: keys, palette, help, errors, settings, and what its process must not import."""

import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from textual.widgets import Input, OptionList

from edgetune.bases import find
from edgetune.errors import EdgeTuneError, InputError
from edgetune.runs import launch
from edgetune.storage.workspace import Run, Workspace
from tests.conftest import ROOT
from tests.tui.conftest import FINISHED, Seat, life
from tui import ascii_filter, draft, settings
from tui.dialogs.ask import AskText, Confirm
from tui.dialogs.choose import Choose
from tui.dialogs.error import ErrorDialog
from tui.error_handling import show_errors
from tui.screens.export import ended
from tui.screens.home import Home
from tui.screens.new_run import NewRun
from tui.screens.run import RunScreen
from tui.screens.settings import SettingsScreen, bindings
from tui.steps.recipe import RecipeStep
from tui.widgets.listing import Listing

Drive = Callable[..., None]
MakeRun = Callable[..., Run]


def test_every_part_of_the_app_loads_without_what_belongs_into_workers() -> None:
    names = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for path in sorted((ROOT / "tui").rglob("*.py"))
    ]
    assert len(names) > 30
    code = "\n".join(f"import {name}" for name in names) + "\nimport json, sys; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=120, check=True)
    loaded = {name.split(".")[0] for name in json.loads(done.stdout)}
    assert "textual" in loaded
    assert not loaded & {"torch", "transformers", "trl", "peft", "llama_cpp", "datasets", "accelerate", "bitsandbytes"}


def test_without_a_terminal_it_says_so_and_shows_the_help() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "edgetune"], capture_output=True, text=True, cwd=ROOT, stdin=subprocess.DEVNULL, timeout=60, check=False
    )
    assert done.returncode == 0
    assert "The terminal app needs a terminal" in done.stderr and "Commands" in done.stdout


def test_the_palette_offers_only_what_is_valid_now(drive: Drive, make_run: MakeRun) -> None:
    def offered(seat: Seat) -> set[str]:
        return {command.title for command in seat.app.get_system_commands(seat.app.screen)}

    async def empty(seat: Seat) -> None:
        assert {"New run", "Try it", "Quit", "Help"} <= offered(seat)
        assert not offered(seat) & {"Chat", "Export", "Rename", "Delete", "Back"}

    drive(empty)
    make_run("one", life(100, 100, FINISHED))

    async def full(seat: Seat) -> None:
        assert {"Chat", "Export", "Rename", "Delete"} <= offered(seat)
        await seat.press("enter")
        assert isinstance(seat.app.screen, RunScreen)
        assert "Chat" in offered(seat) and not offered(seat) & {"Pause", "Go on"}

    drive(full)
    taste = make_run("taste", life(100, 100, FINISHED))
    request = json.loads((taste.folder / "request.json").read_text(encoding="utf-8"))
    (taste.folder / "request.json").write_text(json.dumps({**request, "method": "reward"}), encoding="utf-8")

    async def scores(seat: Seat) -> None:
        seat.app.screen.query_one("#runs", Listing).table.move_cursor(row=[*seat.app.screen.runs].index("taste"))  # type: ignore[attr-defined]
        await seat.settle()
        assert "Rename" in offered(seat) and not offered(seat) & {"Chat", "Export"}, "a reward model gives scores, not answers"
        await seat.press("enter")
        assert not offered(seat) & {"Chat", "Export"} and "edgetune score taste" in seat.text()

    drive(scores, (120, 40))


def test_the_tour_is_shown_once_and_takes_no_key_away(drive: Drive, workspace: Workspace) -> None:
    async def scene(seat: Seat) -> None:
        assert "Tour 1 of 4" in seat.text() and "Press  t  to try it" in seat.text() and "Press  n" in seat.text()
        await seat.press("n")
        assert isinstance(seat.app.screen, NewRun), "it can be left aside"
        await seat.press("escape", "space", "space", "space")
        assert "Tour 4 of 4" in seat.text()
        await seat.press("space")
        assert "Tour" not in seat.text()
        await seat.press("space", "escape", "question_mark")
        assert "t Tour, Esc closes" in seat.text()
        await seat.press("t")
        assert isinstance(seat.app.screen, Home) and "Tour 1 of 4" in seat.text()
        await seat.press("escape")
        assert "Tour" not in seat.text() and isinstance(seat.app.screen, Home)

    drive(scene, first=True)

    async def again(seat: Seat) -> None:
        assert "Tour" not in seat.text()

    drive(again, first=True)


def test_rename_filter_and_delete(drive: Drive, make_run: MakeRun, workspace: Workspace) -> None:
    for name in ("apple", "berry"):
        make_run(name, life(100, 100, FINISHED))

    async def scene(seat: Seat) -> None:
        runs = seat.app.screen.query_one("#runs", Listing)
        await seat.pilot.press("slash")
        await seat.write("app")
        assert [line.key for line in runs._drawn] == ["apple"]
        await seat.press("enter")
        await seat.pilot.press("r")
        await seat.until(lambda: isinstance(seat.app.screen, AskText))
        seat.app.screen.query_one(Input).value = "a/b"
        await seat.pilot.press("enter")
        await seat.pilot.pause()
        assert isinstance(seat.app.screen, AskText) and "cannot be a name" in seat.text()
        seat.app.screen.query_one(Input).value = "cherry"
        await seat.press("enter")
        await seat.until(lambda: isinstance(seat.app.screen, Home))
        await seat.settle()
        assert {run.name for run in workspace.runs()} == {"cherry", "berry"}
        await seat.press("slash", "escape")
        await seat.until(lambda: runs.current)
        cached = workspace.data_cache / "old"
        cached.mkdir(parents=True)
        (cached / "rows").write_bytes(bytes(3 * 2**20))
        failed = workspace.run("cherry").exports / "cherry-Q2_K.failed.gguf"
        failed.parent.mkdir()
        failed.write_bytes(bytes(5 * 2**20))
        seat.app.screen.overview.measure_again()  # type: ignore[attr-defined]
        await seat.until(lambda: "MiB on disk" in seat.text())
        await seat.pilot.press("p")
        await seat.until(lambda: isinstance(seat.app.screen, Confirm))
        assert "free 8." in seat.text()
        await seat.press("y")
        await seat.until(lambda: "KiB on disk" in seat.text())
        assert not cached.exists() and not failed.exists()
        marked = runs.current
        for answer, left in (("n", 2), ("y", 1)):
            await seat.pilot.press("d")
            await seat.until(lambda: isinstance(seat.app.screen, Confirm))
            await seat.press(answer)
            await seat.settle()
            assert len(workspace.runs()) == left
        assert marked not in {run.name for run in workspace.runs()}

    drive(scene)


def test_an_engine_error_opens_a_dialog_and_focus_returns(drive: Drive) -> None:
    async def scene(seat: Seat) -> None:
        before = seat.app.focused

        class Part:
            app = seat.app

            @show_errors
            async def work(self) -> None:
                raise EdgeTuneError("It broke", "because", "mend it")

        await Part().work()
        await seat.pilot.pause()
        dialog = seat.app.screen
        assert isinstance(dialog, ErrorDialog)
        await seat.press("c")
        assert seat.app.clipboard == "It broke\nbecause\nmend it"
        await seat.press("escape")
        assert seat.app.focused is before

    drive(scene)


def test_a_worker_that_died_is_told_and_the_run_can_go_on(drive: Drive, make_run: MakeRun) -> None:
    run = make_run("gone", life(30))
    sleeper = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    launch.claim(run.folder, sleeper.pid)

    async def scene(seat: Seat) -> None:
        await seat.press("enter")
        screen = seat.app.screen
        assert isinstance(screen, RunScreen) and screen.status == "running"
        sleeper.kill()
        sleeper.wait()
        await seat.until(lambda: isinstance(seat.app.screen, ErrorDialog))
        assert "The worker of gone died" in seat.text()
        await seat.press("escape")
        assert "Press r to resume" in seat.text()
        assert screen.check_action("resume", ()) and not screen.check_action("pause", ())

    drive(scene)


def test_theme_and_keys_are_kept(drive: Drive, workspace: Workspace) -> None:
    async def turn(seat: Seat) -> None:
        await seat.press("f2")

    drive(turn)
    path = workspace.path / "app.json"
    kept = settings.load_settings(path)
    assert kept.theme == "edgetune-light"
    kept.keys = {"home.new": "f9"}
    kept.save(path)

    async def use(seat: Seat) -> None:
        assert seat.app.theme == "edgetune-light"
        await seat.press("n")
        assert isinstance(seat.app.screen, Home), "its usual key does nothing any more"
        await seat.press("f9")
        assert isinstance(seat.app.screen, NewRun)

    drive(use)


@pytest.mark.parametrize("text", ["", "[]", "{", '{"theme": 3, "keys": []}', '{"step": "x", "base": 1, "data": {}}'])
def test_damaged_settings_and_drafts_are_as_new(workspace: Workspace, text: str) -> None:
    workspace.path.mkdir(parents=True)
    for name in ("app.json", "draft.json"):
        (workspace.path / name).write_text(text, encoding="utf-8")
    assert settings.load_settings(workspace.path / "app.json") == settings.Settings()
    assert draft.load_draft(workspace) == draft.Draft()


def test_the_small_screens(drive: Drive, workspace: Workspace, facts: Path) -> None:
    shutil.copy(facts, Path.cwd() / "facts.jsonl")

    async def scene(seat: Seat) -> None:
        await seat.press("o")
        assert "trains on" in seat.text() and "textual" in seat.text() and "only by 'edgetune fetch'" in seat.text()
        await seat.press("escape", "x", "down", "enter")
        assert "good with warnings" in seat.text() and "⟦0. That is its number.<|im_end|>⟧" in seat.text()
        await seat.press("escape", "s")
        assert "Home: New run" in seat.text()
        await seat.pilot.press("enter")
        await seat.until(lambda: isinstance(seat.app.screen, Choose))
        await seat.press("home", "enter")
        await seat.until(lambda: isinstance(seat.app.screen, SettingsScreen))
        assert settings.load_settings(workspace.path / "app.json").theme == seat.app.theme == sorted(seat.app.available_themes)[0]
        await seat.press("u")
        assert settings.load_settings(workspace.path / "app.json").theme == seat.app.theme == "edgetune-dark"
        assert {"doctor.copy", "settings.reset", "confirm.yes", "error.copy"} <= {one.id for one in bindings()}
        await seat.press("escape")
        assert isinstance(seat.app.screen, Home)
        assert not (workspace.path / "draft.json").exists(), "a look at data makes no draft"

    drive(scene, (120, 40))


def test_names_and_answers_are_never_markup(drive: Drive, make_run: MakeRun) -> None:
    asked = {"prompt": "user\n[red]Who?[/red]\n", "answer": "\x1b]0;title\x07[bold]me[/bold]"}
    events = life(100, 100, {"kind": "sample", "step": 100, **asked}, {"kind": "note", "text": "[blink]x[/blink]"}, FINISHED)
    make_run("marks", events)

    async def scene(seat: Seat) -> None:
        await seat.press("enter", "3", "end")
        text = seat.text()
        assert "[red]Who?[/red]" in text and "[bold]me[/bold]" in text and "\x1b]0" not in text
        await seat.press("1")
        assert "[blink]x[/blink]" in seat.text()

    drive(scene, (120, 40))


def test_names_of_files_and_bases_are_never_markup(drive: Drive, workspace: Workspace, facts: Path, nano: Path) -> None:
    folder = Path.cwd() / "[red]f[~red]"
    folder.mkdir()
    shutil.copy(facts, folder / "[red]x[~red].jsonl")
    base = workspace.bases / "[red]y[~red]"
    shutil.copytree(nano, base)

    async def scene(seat: Seat) -> None:
        assert "[red]y[~red]" in seat.text(), "a fetched base stands on Home"
        await seat.press("n")
        assert "[red]y[~red]" in seat.text() and "apache-2.0" in seat.text()
        await seat.press("down", "enter")
        await seat.press("down", "enter", "down", "enter")
        text = seat.text()
        assert "─ [red]f[~red] ─" in text and "Data check of [red]x[~red].jsonl" in text
        await seat.app.push_screen(Choose("[red]one[~red]", ["[red]two[~red]"]))
        await seat.pilot.pause()
        assert "─ [red]one[~red] ─" in seat.text() and "[red]two[~red]" in seat.text()
        await seat.press("escape", "ctrl+n", "enter", "ctrl+n")
        assert "It can start." in seat.text()
        await seat.press("ctrl+n")
        assert "[red]y[~red]" in seat.text() and "[red]x[~red].jsonl" in seat.text()

    drive(scene, (120, 40))


def test_a_recipe_that_cannot_be_is_shown_and_can_be_mended(drive: Drive, workspace: Workspace, facts: Path) -> None:
    options = {"method": "dpo", "replay": str(facts), "packing": True}
    draft.Draft(base="nano", data=[str(facts)], goal="prefer", kind="preference", options=options, step=3).save(workspace)

    async def scene(seat: Seat) -> None:
        await seat.press("n")
        step = seat.app.screen.query_one(RecipeStep)
        assert "packing goes with method sft, not with dpo" in seat.text()
        await seat.press("ctrl+n")
        assert seat.app.screen.query(RecipeStep), "it is no valid step"
        await seat.press("v")
        shown = {line.key for line in step.query_one(Listing).lines}
        assert {"beta", "sft_weight"} <= shown and not shown & {"simpo_gamma", "kl_limit", "replay_ratio", "algorithm"}
        for name in ("replay", "packing"):
            rows = [line.key for line in step.query_one(Listing).lines]
            step.query_one(Listing).table.move_cursor(row=rows.index(name))
            await seat.press("u")
        assert step.draft.options == {"method": "dpo"} and not step.draft.problem and "replay" not in seat.text()
        step.draft.options = {"batch_size": 8, "method": "kto"}
        with pytest.raises(InputError, match="not valid"):
            step.set("batch_size", 1)
        assert step.draft.options == {"batch_size": 8, "method": "kto"}

    drive(scene, (120, 40))


def test_what_does_not_fit_is_changed_with_one_key(drive: Drive, workspace: Workspace, facts: Path) -> None:
    draft.Draft(base="nano", data=[str(facts)], goal="teach", kind="conversation", options={"batch_size": 4096}, step=4).save(workspace)

    async def scene(seat: Seat) -> None:
        await seat.press("n")
        assert "It does not fit in memory. Press a" in seat.text() and "activations" in seat.text()
        await seat.press("a")
        text = seat.text()
        options = draft.load_draft(workspace).options
        assert options["batch_size"] < 4096 and options["batch_size"] * options["gradient_accumulation"] == 4096 * 4
        assert f"batch size 4096 → {options['batch_size']}" in text and "does not fit" not in text and "It can start." in text
        await seat.press("ctrl+b")
        assert "* batch" in seat.text() and "* gradient accumulation" in seat.text()

    drive(scene, (120, 40))


def test_what_an_export_left_is_told() -> None:
    before = {"a.gguf": 1, "b.gguf": 1}
    assert ended(before, before) == "Nothing was written."
    told = ended(before, {"a.gguf": 2, "b.gguf": 1, "c.failed.gguf": 1})
    assert told == "Written: a.gguf. Proof failed, file set aside: c.failed.gguf."


def test_plain_text_keeps_its_width() -> None:
    text = "╭─ é … ⠿ 日本 ✔ →"
    plain = ascii_filter.plain(text)
    from rich.cells import cell_len

    assert plain.isascii() and cell_len(plain) == cell_len(text)
    assert plain.startswith("+- e . * ??")


def test_a_goal_that_the_data_cannot_reach_is_disabled_with_its_reason(drive: Drive, workspace: Workspace) -> None:
    draft.Draft(base="nano", data=["x"], kind="text", verdict="good", step=2).save(workspace)

    async def scene(seat: Seat) -> None:
        await seat.press("n")
        goals = seat.app.screen.query_one(OptionList)
        assert [goals.get_option(name).disabled for name in ("teach", "format", "read")] == [True, True, False]
        assert "needs conversations; yours are plain text" in seat.text()

    drive(scene)


def test_columns_of_other_names_can_be_told(drive: Drive, workspace: Workspace) -> None:
    rows = "".join(f'{{"ask": "What is {n}?", "say": "It is {n}."}}\n' for n in range(6))
    (Path.cwd() / "other.jsonl").write_text(rows, encoding="utf-8")

    async def scene(seat: Seat) -> None:
        await seat.press("n", "enter")
        await seat.press("down", "enter")
        assert isinstance(seat.app.screen, ErrorDialog) and "is not known" in seat.text()
        await seat.press("escape")
        await seat.press("ctrl+n")
        assert "The file was not read" in seat.text()
        await seat.pilot.press("m")
        await seat.until(lambda: isinstance(seat.app.screen, AskText))
        seat.app.screen.query_one(Input).value = "instruction=ask,output=say"
        await seat.press("enter")
        await seat.until(lambda: "6 rows, all used" in seat.text())
        await seat.settle()
        assert draft.load_draft(workspace).options == {"column_map": ["instruction=ask,output=say"]}
        assert "⟦It is 0.<|im_end|>⟧" in seat.text()

    drive(scene, (120, 40))


def test_a_slow_disk_with_models_and_a_link_to_nothing_hide_no_runs(
    drive: Drive, make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    free, real = threading.Event(), find.described_bases
    free.set()

    def slow(places: list[Path]) -> list[find.Base]:
        free.wait(60)
        return real(places)

    monkeypatch.setattr(find, "described_bases", slow)

    async def scene(seat: Seat) -> None:
        home = seat.app.screen
        assert isinstance(home, Home)
        free.clear()
        run = make_run("new", life(100, 100, FINISHED))
        run.exports.mkdir(exist_ok=True)
        (run.exports / "gone.gguf").symlink_to(run.exports / "nothing")
        home.on_screen_resume()
        await seat.until(lambda: home.run_list.current == "new" or not isinstance(seat.app.screen, Home))
        assert isinstance(seat.app.screen, Home) and home.check_action("export", ()) and any(seat.app.workers)
        free.set()
        await seat.settle()

    drive(scene)
