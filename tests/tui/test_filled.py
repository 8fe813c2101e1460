"""Screens with much in them, and those with nothing at all, where no other test comes by."""

from collections.abc import Callable
from pathlib import Path

import pytest

from edgetune.bases import folders
from edgetune.bases.find import Base
from edgetune.machine.hardware import Choice
from edgetune.preferences.record import Candidate, Vote
from edgetune.preferences.record import Choice as Chosen
from edgetune.preferences.store import Store
from edgetune.storage.workspace import Run, Workspace
from tests.tui.conftest import Seat, Snapshot
from tui.settings import Settings

Drive = Callable[..., None]
MakeRun = Callable[..., Run]
MIB, GIB = 2**20, 2**30
BASES = (
    # name, architecture, parameters, bytes, context, fits, why, licence
    ("nano", "llama", 5_200_000, 10 * MIB, 512, "fits", "about 300 MiB of 12 GiB", "mit"),
    ("Qwen2.5-0.5B-Instruct", "qwen2", 494_000_000, 942 * MIB, 32768, "fits", "about 1.4 GiB of 12 GiB", "apache-2.0"),
    ("Llama-3.2-1B-Instruct", "llama", 1_240_000_000, 2 * GIB + 300 * MIB, 131072, "fits", "about 3.1 GiB of 12 GiB", "llama3.2"),
    ("gemma-3-4b-it-of-somebody-with-a-very-long-name", "gemma3_text", 3_880_000_000, 8 * GIB, 131072, "tight", "10.5 of 12 GiB", "gemma"),
    ("Qwen3-8B", "qwen3", 8_190_000_000, 15 * GIB + 300 * MIB, 40960, "no", "about 14 GiB, and 12 GiB are there", ""),
)


def test_bases_of_all_sizes(drive: Drive, snapshot: Snapshot, monkeypatch: pytest.MonkeyPatch) -> None:
    from tui.steps import model

    found = [
        model.ModelCandidate(Base(Path(f"/home/ada/models/{name}"), name, kind, weights, size, context, {}), Choice(fits, why), licence)
        for name, kind, weights, size, context, fits, why, licence in BASES
    ]
    monkeypatch.setattr(model, "_bases", lambda workspace, preset: found)

    async def scene(seat: Seat) -> None:
        await seat.press("n")
        await seat.press("down", "down", "down")
        await snapshot("new-model-full", seat)
        await seat.press("f1")
        await snapshot("help-new", seat)

    drive(scene)


def test_settings_of_ones_own(drive: Drive, snapshot: Snapshot, workspace: Workspace) -> None:
    Settings(toured=True, keys={"home.new": "f6,N", "home.quit": "ctrl+d"}).save(workspace.path / "app.json")
    folders.save_folders(workspace, ["/home/ada/models", "/media/disk/gguf"])

    async def scene(seat: Seat) -> None:
        await snapshot("home-keys", seat)
        await seat.press("s")
        await snapshot("settings-full", seat)

    drive(scene)


def test_runs_that_did_nothing_yet(drive: Drive, snapshot: Snapshot, make_run: MakeRun) -> None:
    from tui.screens.compare import Compare

    one, two = make_run("one", []), make_run("two", [], rank=8)

    async def scene(seat: Seat) -> None:
        await seat.app.push_screen(Compare(one, two))
        await seat.until(lambda: "rank" in seat.text())
        await snapshot("compare-empty", seat)

    drive(scene)


@pytest.mark.parametrize("name", ["rank", "arena"])
def test_a_plan_to_vote(drive: Drive, snapshot: Snapshot, workspace: Workspace, opposites: Path, name: str) -> None:
    from edgetune.sessions.models import Model
    from edgetune.sessions.vote_plan import VotePlan

    into = {"rank": "prefs", "arena": "arena"}[name]
    votes = Store(workspace.preferences / f"{into}.jsonl")
    for number in range(3):
        answers = [Candidate([{"role": "assistant", "content": text}]) for text in (f"{number}.", f"It is {number}, I think.")]
        votes.add(Vote([{"role": "user", "content": f"What is {number}?"}], answers, Chosen("pair", "left"), name))
    models = [Model("file", f"/home/ada/models/{one}.gguf") for one in ("keeper-Q4_K_M", "nano-F32")]
    VotePlan(models, "file", "/home/ada/examples/opposites.txt", into=into).save(workspace.path / f"{name}.json")

    async def scene(seat: Seat) -> None:
        await seat.press({"rank": "k", "arena": "a"}[name])
        await snapshot(f"{name}-setup-full", seat)

    drive(scene)
