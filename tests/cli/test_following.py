"""A followed run in a real terminal: Ctrl-C asks; without a terminal a signal stops it after a checkpoint."""

import json
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

from edgetune.runs import launch
from edgetune.storage.workspace import Workspace
from tests.conftest import ROOT


def command(facts: Path, *more: str) -> list[str]:
    return [
        sys.executable,
        "-m",
        "edgetune",
        "train",
        "--base",
        "nano",
        "--data",
        str(facts),
        "--batch-size",
        "4",
        "--gradient-accumulation",
        "1",
        "--max-length",
        "128",
        "--threads",
        "1",
        "--max-steps",
        "3000",
        "--eval-steps",
        "1000",
        "--save-steps",
        "1000",
        "--name",
        "long",
        *more,
    ]


def environment(workspace: Workspace) -> dict[str, str]:
    return {**os.environ, "EDGETUNE_WORKSPACE": str(workspace.path), "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


def wait_for_step(workspace: Workspace, step: int) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if (workspace.runs_folder / "long" / "request.json").exists() and launch.state(workspace.run("long")).step >= step:
            return
        time.sleep(0.05)
    raise TimeoutError("the run never got that far")


def test_ctrl_c_asks_and_stop_checkpoints(facts: Path, workspace: Workspace) -> None:
    main, side = pty.openpty()
    process = subprocess.Popen(command(facts), stdin=side, stdout=side, stderr=side, env=environment(workspace), start_new_session=True)
    os.close(side)
    seen = b""

    def read_until(text: bytes) -> None:
        nonlocal seen
        deadline = time.monotonic() + 60
        while text not in seen and time.monotonic() < deadline:
            seen += os.read(main, 4096)
        assert text in seen, seen[-500:]

    wait_for_step(workspace, 2)
    process.send_signal(signal.SIGINT)
    read_until(b"[c]ontinue?")
    os.write(main, b"g\n")
    before = launch.state(workspace.run("long")).step
    wait_for_step(workspace, before + 2)
    seen = b""
    process.send_signal(signal.SIGINT)
    read_until(b"[c]ontinue?")
    os.write(main, b"s\n")
    read_until(b"edgetune resume long")
    assert process.wait(timeout=60) == 130
    os.close(main)
    run = workspace.run("long")
    assert launch.state(run).status == "stopped" and any(run.checkpoints.iterdir())


def test_without_a_terminal_a_signal_stops_it_after_a_checkpoint(facts: Path, workspace: Workspace) -> None:
    process = subprocess.Popen(
        command(facts, "--json"),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment(workspace),
        start_new_session=True,
    )
    wait_for_step(workspace, 2)
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert json.loads(out)["status"] == "stopped"


def test_detached_run_outlives_its_starter_and_stops_when_asked(facts: Path, workspace: Workspace) -> None:
    done = subprocess.run(
        command(facts, "--detach", "--json"),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env=environment(workspace),
        check=True,
    )
    assert json.loads(done.stdout)["run"] == "long"
    wait_for_step(workspace, 1)
    run = workspace.run("long")
    assert launch.alive(run.folder)
    launch.request_stop(run)
    deadline = time.monotonic() + 60
    while launch.alive(run.folder) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert launch.state(run).status == "stopped"
