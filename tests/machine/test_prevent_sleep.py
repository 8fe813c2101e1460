"""Sleep prevented: what is asked of the system, begun with the work and ended with it, however it ends."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from edgetune.machine import prevent_sleep
from edgetune.storage.workspace import Run

FAKE = """#!/bin/sh
echo "$$ $@" >> "{log}"
case "$0" in *systemd-inhibit) while [ "$1" != "${{1#--}}" ]; do shift; done; "$@"; echo "ended" >> "{log}" ;; *) exec sleep 600 ;; esac
"""


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Puts a program that notes how it was called on PATH, and lets systemd seem to run; gives its log."""

    def put(name: str) -> Path:
        folder, log = tmp_path / "bin", tmp_path / f"{name}.log"
        folder.mkdir(exist_ok=True)
        (folder / name).write_text(FAKE.format(log=log), encoding="utf-8")
        (folder / name).chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
        monkeypatch.setattr(prevent_sleep, "SYSTEMD_FOLDER", tmp_path)
        log.touch()
        return log

    return put


def called(log: Path) -> list[str]:
    """The program's words, once it was called."""
    end = time.monotonic() + 30
    while not log.read_text(encoding="utf-8").endswith("\n"):
        assert time.monotonic() < end
        time.sleep(0.01)
    return log.read_text(encoding="utf-8").splitlines()[0].split(" ")


@pytest.mark.parametrize("name", ["systemd-inhibit", "caffeinate"])
def test_the_program_runs_for_as_long_as_the_work(program: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    log = program(name)
    monkeypatch.setattr(prevent_sleep, "sleep_blocker", lambda: prevent_sleep.Choice(name, ""))
    with prevent_sleep.sleep_prevented("a is training"):
        pid, *arguments = called(log)
        assert psutil.pid_exists(int(pid))
        if name == "caffeinate":
            assert arguments == ["-i", "-w", str(os.getpid())]
        else:
            assert arguments == ["--what=sleep:idle", "--who=EdgeTune", "--why=a", "is", "training", "--mode=block", "cat"]
    assert not psutil.pid_exists(int(pid))
    with pytest.raises(KeyError), prevent_sleep.sleep_prevented("b is training"):
        raise KeyError


def test_it_ends_when_the_worker_is_killed(program: Callable[[str], Path], tmp_path: Path) -> None:
    log = program("systemd-inhibit")
    code = f"from pathlib import Path; from edgetune.machine import prevent_sleep; prevent_sleep.SYSTEMD_FOLDER = Path({str(tmp_path)!r})\n"
    code += "with prevent_sleep.sleep_prevented('x'):\n    print('in', flush=True); input()"
    worker = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert worker.stdout is not None and worker.stdout.readline() == b"in\n"
    pid = int(called(log)[0])
    worker.send_signal(signal.SIGKILL)
    worker.wait()
    end = time.monotonic() + 30
    while psutil.pid_exists(pid):
        assert time.monotonic() < end
        time.sleep(0.01)
    assert log.read_text(encoding="utf-8").endswith("ended\n")


def test_a_job_holds_it_while_it_runs(program: Callable[[str], Path], train: Callable[..., Run], nano: Path, facts: Path) -> None:
    log = program("systemd-inhibit")
    train("held", base=str(nano), data=[str(facts)], max_steps=1, batch_size=2)
    assert "--why=held" in called(log) and not psutil.pid_exists(int(called(log)[0]))


def test_so_does_a_command_that_may_take_long(
    program: Callable[[str], Path], edgetune: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    log = program("systemd-inhibit")
    assert edgetune("export", "--help")[0] == edgetune("runs")[0] == 0 and not log.read_text(encoding="utf-8")
    assert edgetune("export", "nano", "--type", "Q8_0", "--no-proof", "--out", str(tmp_path / "a.gguf"))[0] == 0
    assert "--why=edgetune" in called(log) and not psutil.pid_exists(int(called(log)[0]))


def test_where_it_is_not_possible_that_is_no_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(prevent_sleep, "SYSTEMD_FOLDER", tmp_path / "none")
    assert prevent_sleep.sleep_blocker("linux").value == "" and "systemd does not run" in prevent_sleep.sleep_blocker("linux").reason
    monkeypatch.setattr(prevent_sleep, "SYSTEMD_FOLDER", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert prevent_sleep.sleep_blocker("linux").value == "" and prevent_sleep.sleep_blocker("darwin").reason.endswith("no caffeinate here")
    with prevent_sleep.sleep_prevented("x"):
        pass
    (tmp_path / "systemd-inhibit").write_text("not a program", encoding="utf-8")
    (tmp_path / "systemd-inhibit").chmod(0o755)
    assert prevent_sleep.sleep_blocker("linux").value == "systemd-inhibit"
    with prevent_sleep.sleep_prevented("x"):
        pass
