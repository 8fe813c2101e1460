"""The arena in the app, on the real engine: blind votes, the table, and what may be said; the same file as the command line's."""

import json
from collections.abc import Callable
from pathlib import Path

from textual.widgets import Static

from edgetune.preferences.rating import share
from edgetune.preferences.store import Store
from edgetune.sessions.arena import Duel
from edgetune.sessions.models import Model
from edgetune.storage.workspace import Workspace
from tests.tui.conftest import Seat
from tui.dialogs.error import ErrorDialog
from tui.pages.voting import DONE, READY
from tui.screens.arena import ArenaScreen, row
from tui.screens.arena_setup import ArenaSetup

Drive = Callable[..., None]
Cli = Callable[..., tuple[int, str, str]]


def test_blind_votes_and_what_they_say(
    drive: Drive, workspace: Workspace, edgetune: Cli, nano_gguf: Path, nano_q4: Path, opposites: Path
) -> None:
    votes = Store(workspace.preferences / "arena.jsonl")
    names = ("nano-F32", "nano-Q4_0")

    async def scene(seat: Seat) -> None:
        await seat.press("a")
        setup = seat.app.screen
        assert isinstance(setup, ArenaSetup)
        setup.plan.models = [Model("file", str(nano_gguf))]
        await seat.press("s")
        assert isinstance(seat.app.screen, ErrorDialog) and "Two models are needed" in seat.text()
        await seat.press("escape")
        setup.plan.models.append(Model("file", str(nano_q4)))
        setup.plan.prompts, setup.plan.file, setup.plan.temperature, setup.plan.max_tokens = "file", str(opposites), 1.0, 40
        await seat.pilot.press("s")
        await seat.until(lambda: isinstance(seat.app.screen, ArenaScreen) and seat.app.screen.status == READY)
        arena = seat.app.screen
        assert isinstance(arena, ArenaScreen) and arena.match is not None
        match = arena.match
        blind = "\n".join(seat.text().splitlines()[1:])
        assert not any(name in blind for name in names), "nobody sees whose answers they are"
        await seat.press("1")
        assert f"✓ saved: 1 is better. 1 was {match.models[0]}, 2 was {match.models[1]}." in seat.text()
        assert "no difference shown" in seat.text() and "is better than" not in seat.text(), "one vote shows nothing"
        asked = [vote for vote in votes.votes() if vote.judge == "person"]
        assert [vote.choice.value for vote in asked] == ["left"] and asked[0].about["models"] == list(match.models)
        await seat.press("u")
        assert arena.match.models == match.models and not [vote for vote in votes.votes() if vote.judge == "person"]
        await seat.press("2")
        assert arena.asking is not None
        while arena.status == READY:
            await seat.press("t")
        assert arena.status == DONE and "No difference shown" in seat.text()
        assert "Rating with 95 % interval" in str(arena.query_one("#how-far", Static).render())
        await seat.press("escape")

    drive(scene, (120, 40))
    flags = ("--prompts", opposites, "--temperature", "1", "--max-tokens", "40", "--json")
    code, out, _ = edgetune("arena", nano_gguf, nano_q4, *flags)
    document = json.loads(out)
    assert code == 0 and document["left"] == 0 and document["votes"] == 4, "the command line knows the app's votes"


def test_better_is_said_only_when_the_interval_leaves_out_even() -> None:
    for wins, losses, word in ((5, 4, "no difference shown"), (9, 0, "a is better than b"), (0, 9, "b is better than a")):
        duel = Duel("a", "b", wins, losses, 0, share(wins, wins + losses))
        assert row(duel).cells[2] == word, (wins, losses)
