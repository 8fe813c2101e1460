"""Getting a model in the app, from a hub on loopback: asked first, stopped, gone on with, chosen; and folders that the user names."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from textual.widgets import Input

from edgetune.bases import folders
from edgetune.storage.workspace import Workspace
from tests.bases.small_hub import SmallHub
from tests.tui.conftest import Seat, draft_of
from tui.dialogs.ask import AskText, Consent
from tui.dialogs.error import ErrorDialog
from tui.dialogs.fetch import Fetch
from tui.screens.new_run import NewRun
from tui.steps.model import ModelStep


@pytest.fixture
def hub(nano: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SmallHub]:
    """The bundled model on a hub, with a pickle beside it."""
    made = SmallHub(nano)
    made.files["pytorch_model.bin"] = b"pickle"
    monkeypatch.setenv("HF_ENDPOINT", made.url)
    monkeypatch.delenv("HF_TOKEN", raising=False)
    yield made
    made.shutdown()
    made.server_close()


def test_a_model_is_fetched_and_chosen(drive: Callable[..., None], workspace: Workspace, hub: SmallHub, stories: Path) -> None:
    async def scene(seat: Seat) -> None:
        async def ask(name: str) -> None:
            seat.app.screen.query_one("#wanted", Input).value = name
            seat.app.screen.query_one("#wanted", Input).focus()
            await seat.pilot.press("enter")

        await seat.press("n")
        await seat.pilot.press("g")
        await seat.until(lambda: isinstance(seat.app.screen, Fetch))
        assert "Qwen" in seat.text() and not hub.seen, "the list comes without the network"
        await ask("acme/none")
        await seat.until(lambda: isinstance(seat.app.screen, ErrorDialog))
        assert "There is no model acme/none" in seat.text()
        await seat.press("escape")
        await ask("acme/small")
        await seat.until(lambda: isinstance(seat.app.screen, Consent))
        text = seat.text()
        assert f"from {hub.url}/acme/small?" in text and "MiB in " in text and "License: mit" in text and "pytorch_model.bin" in text
        await seat.press("n")
        assert "Nothing was fetched." in seat.text() and not any("resolve" in path for path, _ in hub.seen)
        hub.cut, hub.cuts = 1_000_000, 1000  # the connection breaks again and again
        await ask("acme/small")
        await seat.until(lambda: isinstance(seat.app.screen, Consent))
        await seat.pilot.press("y")
        await seat.until(lambda: "MiB of" in seat.text())
        await seat.press("escape")
        await seat.until(lambda: "What came is kept" in seat.text())
        assert not workspace.bases.exists() and isinstance(seat.app.screen, Fetch)
        hub.cuts = 0
        await ask("acme/small")
        await seat.until(lambda: isinstance(seat.app.screen, Consent))
        assert "are here already" in seat.text()
        await seat.pilot.press("y")
        await seat.until(lambda: isinstance(seat.app.screen, NewRun))
        await seat.settle()
        target = str(workspace.bases / "acme--small")
        assert draft_of(workspace)["base"] == target and seat.app.screen.query_one(ModelStep).lacking() == ""
        assert "acme--small" in seat.text() and "mit" in seat.text()
        await seat.pilot.press("f")
        await seat.until(lambda: isinstance(seat.app.screen, AskText))
        seat.app.screen.query_one(Input).value = str(stories.parent)
        await seat.pilot.press("enter")
        await seat.until(lambda: stories.name in seat.text())
        assert folders.listed_folders(workspace) == [str(stories.parent.resolve())]

    drive(scene, (120, 40))
