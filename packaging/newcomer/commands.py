"""The commands demo, test, app and setup: bring the environment up to date, then start the chosen program."""

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from newcomer import steps
from newcomer.console import Interrupted, SetupError, format_duration, print_status, stop_on_signals
from newcomer.get_llama import get_llama
from newcomer.get_torch import get_torch
from newcomer.machine import BuildChoice, build_label, choose_builds, probe_machine
from newcomer.pip import DISK_NEEDED, DISK_NEEDED_AFTER_TORCH, Setup, check_disk
from newcomer.state import (
    SETUP_STEPS,
    SetupPaths,
    pinned_version,
    probe_environment,
    read_stamp,
    remove_incomplete_packages,
    setup_lock,
    step_hashes,
    write_stamp,
)

STEP_FUNCTIONS: dict[str, Callable[[Setup], None]] = {
    "venv": steps.make_venv,
    "torch": get_torch,
    "llama": get_llama,
    "edgetune": steps.get_edgetune,
    "check": steps.check_imports,
}

USAGE = """usage: python3 packaging/bootstrap.py demo|test|app|setup [further arguments for edgetune or pytest]

demo   set up, then run the whole pipeline on the bundled model
test   set up, then run the tests
app    set up, then start the terminal app
setup  set up only

EDGETUNE_TORCH=cpu or EDGETUNE_TORCH=cuda overrides the choice of PyTorch build."""


def main(arguments: list[str]) -> int:
    """The command line. Returns the exit code: 1 with the remedy when set-up failed, 2 for wrong arguments, 130 when interrupted."""
    command = arguments[0] if arguments else ""
    options = arguments[1:]

    if command in ("-h", "--help", "help"):
        print(USAGE)
        return 0
    if command not in ("demo", "test", "app", "setup"):
        print_status(USAGE)
        return 2

    stop_on_signals()
    paths = SetupPaths(Path(__file__).resolve().parents[2])
    try:
        prepare_environment(paths)
        return 0 if command == "setup" else start_command(paths, command, options)
    except SetupError as error:
        print_status(f"\n{error.title}\n{error.remedy}")
        return 1
    except OSError as error:
        remedy = "Check that the folder is writable and the disk has free space, then run the same command again."
        print_status(f"\nSet-up could not continue: {error}\n{remedy}")
        return 1
    except KeyboardInterrupt as interruption:
        print_status("Stopped. Run the same command again to resume where it left off.")
        return 128 + interruption.number if isinstance(interruption, Interrupted) else 130


def prepare_environment(paths: SetupPaths) -> None:
    """Bring the environment up to date; silent when there is nothing to do."""
    choice = choose_builds(probe_machine(), os.environ.get("EDGETUNE_TORCH", ""), pinned_version(paths, "torch"))
    if is_up_to_date(paths, choice):
        return

    # Another set-up may have finished the work while this one waited for the lock.
    with setup_lock(paths) as lock:
        if is_up_to_date(paths, choice):
            return
        run_setup_steps(Setup(paths, choice, lock))


def is_up_to_date(paths: SetupPaths, choice: BuildChoice) -> bool:
    """Whether every step was finished for just these versions and choices, and its result is still there."""
    stamp = read_stamp(paths)
    if not stamp or any(step not in stamp for step in SETUP_STEPS):
        return False

    # Packages can disappear after the stamp was written, so the environment itself is asked too.
    environment = probe_environment(paths)
    if not environment or environment["missing"] or not paths.edgetune.exists():
        return False
    return stamp == step_hashes(paths, choice, environment["python"])


def run_setup_steps(setup: Setup) -> None:
    """Run the steps that are not done, recording each as it ends."""
    paths = setup.paths
    choice = setup.choice
    started = time.monotonic()
    print_status(f"Setting up EdgeTune in .venv with PyTorch for {build_label(choice.torch)}: {choice.reason}.")

    # Another Python or folder makes every installed package useless, so the environment comes first.
    done = read_stamp(paths) or {}
    environment = probe_environment(paths)
    if not environment or done.get("venv") != step_hashes(paths, choice, environment["python"])["venv"]:
        check_disk(paths, DISK_NEEDED[choice.torch])
        steps.make_venv(setup)
        done = {}
        environment = probe_environment(paths)

    # pip believes its own records: what an interruption left incomplete must be forgotten before pip looks.
    incomplete = remove_incomplete_packages(Path(environment["packages"]))
    if incomplete:
        print_status(f"Reinstalling packages that an interruption left incomplete: {', '.join(incomplete)}.")
    if incomplete or environment["missing"] or not paths.edgetune.exists():
        done = {}

    hashes = step_hashes(paths, choice, environment["python"])
    done = {**done, "venv": hashes["venv"]}
    remaining = [step for step in SETUP_STEPS if done.get(step) != hashes[step]]
    check_disk(paths, DISK_NEEDED[choice.torch] if "torch" in remaining else DISK_NEEDED_AFTER_TORCH)

    # A step counts as not done while it runs, so that an interruption in it repeats it.
    for step in remaining:
        done.pop(step, None)
        write_stamp(paths, done)
        STEP_FUNCTIONS[step](setup)
        done[step] = hashes[step]
        write_stamp(paths, done)

    for note in (*choice.notes, *setup.notes):
        print_status(f"Note: {note}")
    print_status(f"Set up in {format_duration(time.monotonic() - started)}. Later runs start at once.")


def start_command(paths: SetupPaths, command: str, options: list[str]) -> int:
    """Replace this process by the chosen program; on Windows, which cannot, run it and pass on its exit code."""
    if command == "test":
        os.chdir(paths.root)
        program = [str(paths.python), "-m", "pytest", *options]
    else:
        program = [str(paths.edgetune), *(["demo"] if command == "demo" else []), *options]
    if os.name == "nt":
        return subprocess.run(program, check=False).returncode
    os.execv(program[0], program)
