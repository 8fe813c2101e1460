"""Makes the README's pictures: the real app on real runs of the bundled model, each screen as an SVG in docs/pictures.

usage: python packaging/pictures.py
It trains for about two minutes, exports, asks a question, and draws what is on the screen. Only the machine's line is of no machine in
particular.
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

from edgetune.demo.demo import OPTIONS, SHOWN
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
SIZE = (110, 32)
MOST = 150_000
"""Bytes of a picture."""
STEPS = 256
"""Enough for the questions that are asked in the chat."""


def train(name: str, **options: object) -> None:
    """A run of the bundled model on the bundled examples, done when this returns."""
    words = flags({**OPTIONS, "threads": 1, "eval_steps": STEPS // 8, "save_steps": STEPS // 2, **options})
    command = [sys.executable, "-m", "edgetune", "train", *words, "--name", name]
    subprocess.run(command, check=True, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)


async def on_home(seat: Seat) -> None:
    """The first screen, at the end, when there is most on it."""
    while not isinstance(seat.app.screen, Home):
        seat.app.pop_screen()
        await seat.settle()
    await seat.until(lambda: "finished" in seat.text() and ".gguf" in seat.text() and "context" in seat.text())


async def in_data(seat: Seat) -> None:
    """Examples looked at."""
    await seat.until(lambda: "finished" in seat.text() and "context" in seat.text())
    await seat.press("n")
    await seat.press("enter")
    await seat.press("down", "enter")
    await seat.until(lambda: "rows read" in seat.text())


async def in_recipe(seat: Seat) -> None:
    """The options with their hints."""
    await seat.press("ctrl+n")
    await seat.press("enter")


async def in_fit(seat: Seat) -> None:
    """Whether it fits."""
    await seat.press("ctrl+n")
    await seat.until(lambda: "weights" in seat.text())
    await seat.settle()


def on(screen: Callable[[Workspace], object], *keys: str) -> Callable[[Seat], Awaitable[None]]:
    """A scene on a screen that is opened for it, back on Home."""

    async def scene(seat: Seat) -> None:
        while not isinstance(seat.app.screen, Home):
            seat.app.pop_screen()
            await seat.settle()
        await seat.app.push_screen(screen(seat.app.workspace))  # type: ignore[call-overload]
        await seat.settle()
        await seat.press(*keys)

    return scene


async def in_export(seat: Seat) -> None:
    """A file written and proven."""
    await on(lambda place: Export(place.run("lighthouse")))(seat)
    await seat.press("w")
    await seat.until(lambda: any(seat.app.workspace.run("lighthouse").exports.glob("*.gguf")))
    await seat.settle()


async def in_chat(seat: Seat) -> None:
    """Two questions answered, with the likeliest words."""
    await seat.press("c")
    chat = seat.app.screen
    assert isinstance(chat, Chat)
    await seat.until(lambda: chat.talk)
    assert chat.talk
    chat.talk.settings.sampling = replace(chat.talk.settings.sampling, temperature=0.0, seed=1)
    for question in SHOWN[:2]:
        prompt = seat.app.screen.query_one("#prompt")
        prompt.text = question  # type: ignore[attr-defined]
        prompt.focus()
        await seat.press("enter")
        await seat.settle()
    await seat.until(lambda: "tokens/s" in seat.text())


def run_screen(place: Workspace) -> RunScreen:
    """The trained run."""
    return RunScreen(place.run("lighthouse"))


SCENES: dict[str, Callable[[Seat], Awaitable[None]]] = {
    "data": in_data,
    "recipe": in_recipe,
    "fit": in_fit,
    "run": on(run_screen),
    "answers": on(run_screen, "3"),
    "compare": on(lambda place: Compare(place.run("lighthouse"), place.run("small"))),
    "export": in_export,
    "chat": in_chat,
    "home": on_home,
}


async def draw(place: Workspace) -> list[str]:
    """Every scene, in one opening of the app; names of those that did not come about, with the reason."""
    app, failed = EdgeTuneApp(place), []
    app.animation_level = "none"
    async with app.run_test(size=SIZE, notifications=True) as pilot:
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
            assert len(text) < MOST, name
            (PICTURES / f"{name}.svg").write_text(text, encoding="utf-8", newline="\n")
            print(f"{name}.svg  {len(text) / 1000:.0f} kB")
    return failed


def main() -> None:
    """Train, draw, and leave nothing but the pictures."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        place = Workspace(Path(folder) / "workspace")
        os.environ.update(EDGETUNE_WORKSPACE=str(place.path), HF_HUB_CACHE=str(Path(folder) / "none"), OMP_NUM_THREADS="1")
        os.environ["PYTHONPATH"] = str(ROOT)
        Settings(toured=True).save(place.path / "app.json")
        examples = Path(folder) / "examples"
        examples.mkdir()
        shutil.copy(OPTIONS["data"][0], examples / "lighthouse.jsonl")
        train("small", rank=8, alpha=16.0, max_steps=STEPS // 8)
        train("lighthouse", max_steps=STEPS)
        with contextlib.chdir(examples):
            failed = asyncio.run(draw(place))
    if failed:
        sys.exit("not drawn: " + "\n".join(failed))


if __name__ == "__main__":
    main()
