"""demo, test, app, setup: bring the environment up to date if it is not, then start what was asked for."""

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

USAGE = """usage: python3 packaging/bootstrap.py demo|test|app|setup [further words for edgetune or pytest]

demo   set up, then run the main job on the bundled model
test   set up, then run the tests
app    set up, then start the terminal app
setup  set up alone

EDGETUNE_TORCH=cpu or EDGETUNE_TORCH=cuda overrules the choice of PyTorch's build."""


def main(arguments: list[str]) -> int:
    """The command line. Returns the exit code: 1 with the remedy when set-up failed, 2 for wrong words, 130 when interrupted."""
    verb, rest = (arguments[0], arguments[1:]) if arguments else ("", [])
    if verb in ("-h", "--help", "help"):
        print(USAGE)
        return 0
    if verb not in ("demo", "test", "app", "setup"):
        print_status(USAGE)
        return 2
    stop_on_signals()
    paths = SetupPaths(Path(__file__).resolve().parents[2])
    try:
        prepare_environment(paths)
        return 0 if verb == "setup" else start_command(paths, verb, rest)
    except SetupError as error:
        print_status(f"\n{error.title}\n{error.remedy}")
        return 1
    except OSError as error:
        print_status(
            f"\nSet-up could not go on: {error}\nMake the folder writable and some room on the disk, then run the same command again."
        )
        return 1
    except KeyboardInterrupt as stopped:
        print_status("Stopped. Run the same command again: it goes on where it was.")
        return 128 + stopped.number if isinstance(stopped, Interrupted) else 130


def prepare_environment(paths: SetupPaths) -> None:
    """Bring the environment up to date; says nothing when there is nothing to do."""
    choice = choose_builds(probe_machine(), os.environ.get("EDGETUNE_TORCH", ""), pinned_version(paths, "torch"))
    if is_up_to_date(paths, choice):
        return
    with setup_lock(paths) as lock:
        if is_up_to_date(paths, choice):
            return
        run_setup_steps(Setup(paths, choice, lock))


def is_up_to_date(paths: SetupPaths, choice: BuildChoice) -> bool:
    """Whether every step was finished for just these versions and choices, and its result is still there."""
    done = read_stamp(paths)
    if not done or any(step not in done for step in SETUP_STEPS):
        return False
    found = probe_environment(paths)
    return bool(found) and not found["missing"] and paths.edgetune.exists() and done == step_hashes(paths, choice, found["python"])


def run_setup_steps(setup: Setup) -> None:
    """Do the steps that are not done, recording each as it ends."""
    paths, choice, began = setup.paths, setup.choice, time.monotonic()
    print_status(f"Setting up EdgeTune in .venv, PyTorch for {build_label(choice.torch)}: {choice.reason}.")
    done, found = read_stamp(paths) or {}, probe_environment(paths)
    if not found or done.get("venv") != step_hashes(paths, choice, found["python"])["venv"]:
        check_disk(paths, DISK_NEEDED[choice.torch])
        steps.make_venv(setup)
        done, found = {}, probe_environment(paths)
    keys = step_hashes(paths, choice, found["python"])
    incomplete = remove_incomplete_packages(Path(found["packages"]))
    if incomplete:
        print_status(f"Left incomplete by an interruption, so installed again: {', '.join(incomplete)}.")
    if incomplete or found["missing"] or not paths.edgetune.exists():
        done = {}
    done = {**done, "venv": keys["venv"]}
    todo = [step for step in SETUP_STEPS if done.get(step) != keys[step]]
    check_disk(paths, DISK_NEEDED[choice.torch] if "torch" in todo else DISK_NEEDED_AFTER_TORCH)
    for step in todo:
        done.pop(step, None)
        write_stamp(paths, done)
        STEP_FUNCTIONS[step](setup)
        done[step] = keys[step]
        write_stamp(paths, done)
    for note in (*choice.notes, *setup.notes):
        print_status(f"Note: {note}")
    print_status(f"Set up in {format_duration(time.monotonic() - began)}; from now on this takes a moment.")


def start_command(paths: SetupPaths, verb: str, rest: list[str]) -> int:
    """Become what was asked for; on Windows, which cannot, run it and hand on its exit code."""
    if verb == "test":
        os.chdir(paths.root)
        command = [str(paths.python), "-m", "pytest", *rest]
    else:
        command = [str(paths.edgetune), *(["demo"] if verb == "demo" else []), *rest]
    if os.name == "nt":
        return subprocess.run(command, check=False).returncode
    os.execv(command[0], command)
