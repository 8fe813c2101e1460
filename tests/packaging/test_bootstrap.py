"""The set-up survives what happens to it: old Pythons, interruptions, half-made environments, a second set-up beside it."""

import ast
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from newcomer import steps
from newcomer.commands import is_up_to_date, main
from newcomer.console import CommandFailed, SetupError, run_command
from newcomer.machine import BuildChoice, choose_builds, probe_machine
from newcomer.pip import Setup
from newcomer.state import (
    SetupPaths,
    clear_environment,
    hash_inputs,
    pinned_version,
    probe_environment,
    read_stamp,
    remove_incomplete_packages,
    setup_lock,
    step_hashes,
    write_stamp,
)

from tests.conftest import ROOT

BOOTSTRAP = ROOT / "packaging" / "bootstrap.py"
CHOICE = BuildChoice("cpu", "cpu", "a test")


@pytest.fixture
def paths(tmp_path: Path) -> SetupPaths:
    """A repository with nothing but what the set-up reads, and an empty environment folder."""
    (tmp_path / "packaging").mkdir()
    shutil.copy(ROOT / "packaging" / "constraints.txt", tmp_path / "packaging")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / ".venv").mkdir()
    return SetupPaths(tmp_path)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> SetupPaths:
    """A real environment, without what is installed into it."""
    paths = SetupPaths(tmp_path_factory.mktemp("made"))
    with setup_lock(paths) as lock:
        steps.make_venv(Setup(paths, CHOICE, lock))
    return paths


def test_old_pythons_can_read_it_and_say_what_is_wrong() -> None:
    ast.parse(BOOTSTRAP.read_text(encoding="utf-8"), feature_version=(3, 4))
    code = f"import runpy, sys; sys.version_info = (3, 8, 18); sys.argv = ['bootstrap.py', 'test']; runpy.run_path({str(BOOTSTRAP)!r})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "this is Python 3.8, but it needs 3.11 or newer" in done.stderr
    assert "Traceback" not in done.stderr
    assert "packaging/bootstrap.py test" in done.stderr or "python.org" in done.stderr


def test_wrong_words_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["everything"]) == 2
    assert main([]) == 2
    assert "usage" in capsys.readouterr().err
    assert main(["--help"]) == 0


def test_a_second_set_up_is_quick_and_quiet() -> None:
    paths = SetupPaths(ROOT)
    if not is_up_to_date(paths, choose_builds(probe_machine(), os.environ.get("EDGETUNE_TORCH", ""), pinned_version(paths, "torch"))):
        pytest.skip("this environment was not set up by packaging/bootstrap.py, or not for these versions")
    began = time.monotonic()
    done = subprocess.run([sys.executable, str(BOOTSTRAP), "setup"], capture_output=True, text=True, check=True)
    assert time.monotonic() - began < 3
    assert done.stdout == done.stderr == ""


def test_each_step_depends_on_just_what_it_should(paths: SetupPaths) -> None:
    before = step_hashes(paths, CHOICE, "3.11")
    assert before == step_hashes(paths, CHOICE, "3.11")

    def changed(after: dict[str, str]) -> set[str]:
        return {step for step in before if before[step] != after[step]}

    assert changed(step_hashes(paths, BuildChoice("cuda", "cpu", ""), "3.11")) == {"torch", "check"}
    assert changed(step_hashes(paths, BuildChoice("cpu", "cuda", ""), "3.11")) == {"llama", "check"}
    assert changed(step_hashes(paths, CHOICE, "3.12")) == set(before)
    paths.constraints.write_text(paths.constraints.read_text(encoding="utf-8") + "another==1\n", encoding="utf-8")
    assert changed(step_hashes(paths, CHOICE, "3.11")) == {"edgetune", "check"}


def test_the_stamp_survives_a_torn_write(paths: SetupPaths) -> None:
    assert read_stamp(paths) is None
    write_stamp(paths, {"venv": hash_inputs(1)})
    assert read_stamp(paths) == {"venv": hash_inputs(1)}
    paths.stamp.write_text('{"steps": {"ve', encoding="utf-8")
    assert read_stamp(paths) == {}
    assert not is_up_to_date(paths, CHOICE)


def test_an_incomplete_environment_is_created_again(made: SetupPaths, capfd: pytest.CaptureFixture[str]) -> None:
    assert probe_environment(made)["missing"]
    shutil.rmtree(Path(probe_environment(made)["packages"]) / "pip")
    assert probe_environment(made) == {}
    with setup_lock(made) as lock:
        steps.make_venv(Setup(made, CHOICE, lock))
    assert probe_environment(made)
    assert "Creating it again" in capfd.readouterr().err


def test_an_environment_without_its_settings_is_never_taken_for_one(made: SetupPaths) -> None:
    """Its Python would then run as the one it was made from, and pip would write there."""
    settings = made.venv / "pyvenv.cfg"
    kept = settings.read_bytes()
    settings.unlink()
    try:
        assert made.python.exists()
        assert probe_environment(made) == {}
        with setup_lock(made) as lock, pytest.raises(CommandFailed) as failure:
            Setup(made, CHOICE, lock).pip("pip", ["install", "--no-index", "edgetune-nothing"])
        assert "virtualenv" in failure.value.output
    finally:
        settings.write_bytes(kept)


def test_a_folder_that_is_no_environment_is_left_alone(paths: SetupPaths) -> None:
    (paths.venv / "thesis.txt").write_text("mine", encoding="utf-8")
    with setup_lock(paths) as lock, pytest.raises(SetupError, match="not a Python environment"):
        steps.make_venv(Setup(paths, CHOICE, lock))
    assert (paths.venv / "thesis.txt").exists()


def test_emptying_keeps_lock_and_log(paths: SetupPaths) -> None:
    (paths.venv / "lib").mkdir()
    for path in (paths.lock, paths.log, paths.venv / "lib" / "module.py"):
        path.write_text("x", encoding="utf-8")
    clear_environment(paths)
    assert sorted(path.name for path in paths.venv.iterdir()) == sorted([paths.lock.name, paths.log.name, paths.stamp.name])
    assert read_stamp(paths) == {}


def installed(packages: Path, name: str) -> Path:
    """Lay down a package as pip does; returns its module's file."""
    module, info = packages / f"{name}.py", packages / f"{name}-1.0.dist-info"
    info.mkdir(parents=True)
    module.write_text("x = 1\n", encoding="utf-8")
    (info / "METADATA").write_text(f"Name: {name}\n", encoding="utf-8")
    (info / "INSTALLER").write_text("pip\n", encoding="utf-8")
    (info / "RECORD").write_text(f"{name}.py,sha256=x,6\n{name}-1.0.dist-info/RECORD,,\n", encoding="utf-8")
    return module


def test_packages_that_an_interruption_left_incomplete_are_forgotten(tmp_path: Path) -> None:
    installed(tmp_path, "whole")
    installed(tmp_path, "cut").write_text("x", encoding="utf-8")
    installed(tmp_path, "lost").unlink()
    installed(tmp_path, "unsigned")
    (tmp_path / "unsigned-1.0.dist-info" / "INSTALLER").unlink()
    (tmp_path / "~side").mkdir()
    assert sorted(remove_incomplete_packages(tmp_path)) == ["cut-1.0", "lost-1.0", "unsigned-1.0"]
    assert [path.name for path in tmp_path.glob("*.dist-info")] == ["whole-1.0.dist-info"]
    assert not (tmp_path / "~side").exists()


def child(code: str, *arguments: str) -> "subprocess.Popen[str]":
    """A Python process with the set-up's modules in reach."""
    code = f"import sys; sys.path.insert(0, {str(ROOT / 'packaging')!r})\nfrom pathlib import Path\n{code}"
    return subprocess.Popen([sys.executable, "-c", code, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_a_second_set_up_waits_for_the_first(paths: SetupPaths) -> None:
    waiting = "from newcomer.state import SetupPaths, setup_lock\nwith setup_lock(SetupPaths(Path(sys.argv[1]))): print('mine')"
    with setup_lock(paths):
        second = child(waiting, str(paths.root))
        assert second.stderr is not None
        assert "Waiting for another set-up" in second.stderr.readline()
        assert second.poll() is None
    assert second.communicate(timeout=20)[0] == "mine\n"


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals and lock inheritance")
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGKILL"])
def test_interruptions(paths: SetupPaths, name: str) -> None:
    """A signal ends the command below too; after SIGKILL, which nobody can catch, that command still holds the lock."""
    code = (
        "import os\nfrom newcomer.state import SetupPaths, setup_lock\n"
        "from newcomer.console import Interrupted, run_command, stop_on_signals\n"
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a shell's background job has it ignored
        "stop_on_signals()\npaths = SetupPaths(Path(sys.argv[1]))\n"
        "command = ['/bin/sh', '-c', 'echo $$ > ' + str(paths.root / 'pid') + '; sleep 60']\n"
        "with setup_lock(paths) as lock:\n"
        "    try: run_command(command, 'sleeping', paths.log, paths.root, os.environ, (lock,))\n"
        "    except Interrupted as interruption: sys.exit(128 + interruption.number)\n"
    )
    number, identity = getattr(signal, name), paths.root / "pid"
    first = child(code, str(paths.root))
    deadline = time.monotonic() + 20
    while not (identity.exists() and identity.read_text(encoding="utf-8").endswith("\n")) and time.monotonic() < deadline:
        time.sleep(0.02)
    below = int(identity.read_text(encoding="utf-8"))
    first.send_signal(number)
    first.communicate(timeout=20)
    if number != signal.SIGKILL:
        assert first.returncode == 128 + number
        with pytest.raises(ProcessLookupError):
            os.kill(below, 0)
        return
    waiting = child(
        "from newcomer.state import SetupPaths, setup_lock\nwith setup_lock(SetupPaths(Path(sys.argv[1]))): pass", str(paths.root)
    )
    assert waiting.stderr is not None
    assert "Waiting for another set-up" in waiting.stderr.readline()
    os.killpg(below, signal.SIGKILL)
    waiting.communicate(timeout=20)
    assert waiting.returncode == 0


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_a_signal_while_a_command_is_being_started_ends_it_too(paths: SetupPaths) -> None:
    """The command runs already, but whoever starts it does not know its number yet."""
    code = (
        "import os, signal, subprocess\nfrom newcomer.console import Interrupted, run_command, stop_on_signals\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\nstop_on_signals()\nreal = subprocess.Popen\n"
        "def popen(*arguments, **options):\n"
        "    process = real(*arguments, **options)\n"
        "    print(process.pid, flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    return process\n"
        "subprocess.Popen = popen\n"
        "try: run_command(['/bin/sleep', '60'], 'sleeping', Path(sys.argv[1]), Path('.'), os.environ)\n"
        "except Interrupted as interruption: sys.exit(128 + interruption.number)\n"
    )
    first = child(code, str(paths.root / "log"))
    below = int(first.communicate(timeout=20)[0])
    assert first.returncode == 128 + signal.SIGINT
    with pytest.raises(ProcessLookupError):
        os.kill(below, 0)


def test_a_failing_command_is_reported_with_what_it_wrote(paths: SetupPaths, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(CommandFailed) as failure:
        run_command([sys.executable, "-c", "print('told'); raise SystemExit(7)"], "Trying", paths.log, paths.root, os.environ)
    assert failure.value.code == 7
    assert failure.value.output.strip() == "told"
    assert "Trying: failed in" in capfd.readouterr().err
    assert "told" in paths.log.read_text(encoding="utf-8")
