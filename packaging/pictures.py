"""Draw the README's pictures: the real app on real runs of the bundled model, each screen as an SVG in docs/pictures.

usage: python packaging/pictures.py
It trains for about two minutes, exports, asks a question, and draws the screens. Only the line about the machine is invented.
"""

import asyncio
import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from edgetune.demo.demo import OPTIONS, SIDE_BY_SIDE_PROMPTS
from edgetune.storage.workspace import Workspace
from tests.tui import picture
from tests.tui.conftest import Seat, still
from tui.app import EdgeTuneApp
from tui.screens.chat import Chat
from tui.screens.compare import Compare
from tui.screens.export import Export
from tui.screens.home import Home
from tui.screens.run import RunScreen
from tui.settings import Settings
from tui.start import flags

ROOT = Path(__file__).resolve().parents[1]
PICTURES = ROOT / "docs" / "pictures"
TERMINAL_SIZE = (110, 32)
MAX_PICTURE_BYTES = 150_000
TRAINING_STEPS = 256
"""Enough to answer the questions of the chat."""


def train_run(name: str, **options: object) -> None:
    """A run of the bundled model on the bundled examples, done when this returns."""
    arguments = flags({**OPTIONS, "threads": 1, "eval_steps": TRAINING_STEPS // 8, "save_steps": TRAINING_STEPS // 2, **options})
    command = [sys.executable, "-m", "edgetune", "train", *arguments, "--name", name]
    subprocess.run(command, check=True, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)


async def on_home(seat: Seat) -> None:
    """Home, drawn last because it shows the most then."""
    while not isinstance(seat.app.screen, Home):
        seat.app.pop_screen()
        await seat.settle()
    await seat.until(lambda: "finished" in seat.text() and ".gguf" in seat.text() and "context" in seat.text())


async def in_data(seat: Seat) -> None:
    """The examples, inspected."""
    await seat.until(lambda: "finished" in seat.text() and "context" in seat.text())
    await seat.press("n")
    await seat.press("enter")
    await seat.press("down", "enter")
    await seat.until(lambda: "all used" in seat.text())


async def in_recipe(seat: Seat) -> None:
    """The options with their hints."""
    await seat.press("ctrl+n")
    await seat.press("enter")


async def in_fit(seat: Seat) -> None:
    """The estimate of memory and time."""
    await seat.press("ctrl+n")
    await seat.until(lambda: "weights" in seat.text())
    await seat.settle()


def on(screen: Callable[[Workspace], object], *keys: str) -> Callable[[Seat], Awaitable[None]]:
    """A scene on a screen that is opened from Home."""

    async def scene(seat: Seat) -> None:
        while not isinstance(seat.app.screen, Home):
            seat.app.pop_screen()
            await seat.settle()
        await seat.app.push_screen(screen(seat.app.workspace))  # type: ignore[call-overload]
        await seat.settle()
        await seat.press(*keys)

    return scene


async def in_export(seat: Seat) -> None:
    """A written and verified file."""
    await on(lambda workspace: Export(workspace.run("lighthouse")))(seat)
    await seat.press("w")
    await seat.until(lambda: any(seat.app.workspace.run("lighthouse").exports.glob("*.gguf")))
    await seat.settle()


async def in_chat(seat: Seat) -> None:
    """Two questions with greedy answers."""
    await seat.press("c")
    chat = seat.app.screen
    assert isinstance(chat, Chat)
    await seat.until(lambda: chat.session)
    assert chat.session
    chat.session.settings.sampling = replace(chat.session.settings.sampling, temperature=0.0, seed=1)
    for question in SIDE_BY_SIDE_PROMPTS[:2]:
        prompt = seat.app.screen.query_one("#prompt")
        prompt.text = question  # type: ignore[attr-defined]
        prompt.focus()
        await seat.press("enter")
        await seat.settle()
    await seat.until(lambda: "tokens/s" in seat.text())


def run_screen(workspace: Workspace) -> RunScreen:
    """The trained run."""
    return RunScreen(workspace.run("lighthouse"))


SCENES: dict[str, Callable[[Seat], Awaitable[None]]] = {
    "data": in_data,
    "recipe": in_recipe,
    "fit": in_fit,
    "run": on(run_screen),
    "answers": on(run_screen, "3"),
    "compare": on(lambda workspace: Compare(workspace.run("lighthouse"), workspace.run("small"))),
    "export": in_export,
    "chat": in_chat,
    "home": on_home,
}


async def draw(workspace: Workspace) -> list[str]:
    """Draw every scene in one run of the app; returns the names of those that failed, with the reason."""
    app = EdgeTuneApp(workspace)
    failed = []
    app.animation_level = "none"
    async with app.run_test(size=TERMINAL_SIZE, notifications=True) as pilot:
        seat = Seat(app, pilot)
        await seat.settle()
        for name, scene in SCENES.items():
            try:
                await scene(seat)
            except Exception as error:  # noqa: BLE001 - the others are still worth having
                failed.append(f"{name}: {type(error).__name__}: {error}")
                continue

            still(app)
            await pilot.pause()
            text = picture.svg(picture.cells(app))
            assert len(text) < MAX_PICTURE_BYTES, name
            (PICTURES / f"{name}.svg").write_text(text, encoding="utf-8", newline="\n")
            print(f"{name}.svg  {len(text) / 1000:.0f} kB")
    return failed


def main() -> None:
    """Train, draw, and remove everything but the pictures."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace(Path(folder) / "workspace")
        os.environ.update(EDGETUNE_WORKSPACE=str(workspace.path), HF_HUB_CACHE=str(Path(folder) / "none"), OMP_NUM_THREADS="1")
        os.environ["PYTHONPATH"] = str(ROOT)

        Settings(toured=True).save(workspace.path / "app.json")
        examples = Path(folder) / "examples"
        examples.mkdir()
        shutil.copy(OPTIONS["data"][0], examples / "lighthouse.jsonl")

        # Two runs, so that there is something to compare.
        train_run("small", rank=8, alpha=16.0, max_steps=TRAINING_STEPS // 8)
        train_run("lighthouse", max_steps=TRAINING_STEPS)
        with contextlib.chdir(examples):
            failed = asyncio.run(draw(workspace))

    if failed:
        sys.exit("These pictures could not be drawn: " + "\n".join(failed))


if __name__ == "__main__":
    main()
