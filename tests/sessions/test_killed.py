"""A vote is never lost: whatever moment a voting process is killed at, the file holds every vote that it had shown as saved."""

import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

from edgetune.preferences.store import Store
from edgetune.storage.workspace import Workspace
from tests.preferences.test_store import WRITER

KILLS = 40


def test_writers_killed_at_random_moments(store: Store) -> None:
    draw, shown = random.Random(0), []
    for number in range(KILLS):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, store.path, str(number), "100000"], stdout=subprocess.PIPE, start_new_session=True
        )
        assert writer.stdout is not None
        first = writer.stdout.readline()
        time.sleep(draw.random() * 0.02)
        os.kill(writer.pid, signal.SIGKILL)
        shown += [first, *writer.stdout.read().split()]
        writer.wait()
        writer.stdout.close()
    ids = {line.decode().strip() for line in shown}
    held = {vote.id for vote in store.votes()}
    assert len(ids) > KILLS and ids <= held
    # One vote may be on disk of which the process could not tell any more.
    assert len(held) - len(ids) <= KILLS
    assert not store.fold().problems


def test_the_command_killed_while_it_votes(files: dict[str, Path], workspace: Workspace, tmp_path: Path, nano: Path) -> None:
    questions = tmp_path / "questions.jsonl"
    questions.write_text("".join((nano / "questions.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)[:200]), encoding="utf-8")
    command = [sys.executable, "-m", "edgetune", "rank", str(files["Q4_0"]), "--prompts", str(questions), "--candidates", "2", "--judge"]
    draw, store, shown = random.Random(1), Store(workspace.preferences / "prefs.jsonl"), set()
    for _ in range(4):
        voter = subprocess.Popen(
            [*command, "shortest"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env={**os.environ, "EDGETUNE_WORKSPACE": str(workspace.path), "PYTHONPATH": str(Path(__file__).parents[2])},
        )
        assert voter.stderr is not None
        talk = b""
        while b"saved" not in talk:
            line = voter.stderr.readline()
            assert line, talk
            talk += line
        time.sleep(draw.random() * 0.3)
        voter.kill()
        talk += voter.stderr.read()
        voter.wait()
        voter.stderr.close()
        shown |= set(re.findall(rb"saved ([0-9a-f]{12})\n", talk))
        assert {name.decode() for name in shown} <= {vote.id for vote in store.votes()}
    votes = [vote for vote in store.votes() if vote.choice.type != "skip"]
    assert len(shown) >= 4 and len(votes) - len(shown) <= 4
    assert len({vote.about["prompt"] for vote in votes}) == len(votes), "a prompt was asked twice"
