"""demo, test, app, setup: bring the environment up to date if it is not, then start what was asked for."""

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from newcomer import steps
from newcomer.console import SetupError, Stopped, clock, say, stop_on_signals
from newcomer.get_llama import get_llama
from newcomer.get_torch import get_torch
from newcomer.machine import Choice, choose, label, look
from newcomer.pip import NEEDED, NEEDED_AFTER_TORCH, Setup, check_disk
from newcomer.state import STEPS, Places, locked, pin, probe, record, recorded, sweep, wanted

WORK: dict[str, Callable[[Setup], None]] = {
    "venv": steps.make_venv,
    "torch": get_torch,
    "llama": get_llama,
    "edgetune": steps.get_edgetune,
    "check": steps.check,
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
        say(USAGE)
        return 2
    stop_on_signals()
    places = Places(Path(__file__).resolve().parents[2])
    try:
        prepare(places)
        return 0 if verb == "setup" else start(places, verb, rest)
    except SetupError as error:
        say(f"\n{error.title}\n{error.remedy}")
        return 1
    except OSError as error:
        say(f"\nSet-up could not go on: {error}\nMake the folder writable and some room on the disk, then run the same command again.")
        return 1
    except KeyboardInterrupt as stopped:
        say("Stopped. Run the same command again: it goes on where it was.")
        return 128 + stopped.number if isinstance(stopped, Stopped) else 130


def prepare(places: Places) -> None:
    """Bring the environment up to date; says nothing when there is nothing to do."""
    choice = choose(look(), os.environ.get("EDGETUNE_TORCH", ""), pin(places, "torch"))
    if ready(places, choice):
        return
    with locked(places) as lock:
        if ready(places, choice):
            return
        bring_up(Setup(places, choice, lock))


def ready(places: Places, choice: Choice) -> bool:
    """Whether every step was finished for just these versions and choices, and its result is still there."""
    done = recorded(places)
    if not done or any(step not in done for step in STEPS):
        return False
    found = probe(places)
    return bool(found) and not found["missing"] and places.edgetune.exists() and done == wanted(places, choice, found["python"])


def bring_up(setup: Setup) -> None:
    """Do the steps that are not done, recording each as it ends."""
    places, choice, began = setup.places, setup.choice, time.monotonic()
    say(f"Setting up EdgeTune in .venv, PyTorch for {label(choice.torch)}: {choice.reason}.")
    done, found = recorded(places) or {}, probe(places)
    if not found or done.get("venv") != wanted(places, choice, found["python"])["venv"]:
        check_disk(places, NEEDED[choice.torch])
        steps.make_venv(setup)
        done, found = {}, probe(places)
    keys = wanted(places, choice, found["python"])
    incomplete = sweep(Path(found["packages"]))
    if incomplete:
        say(f"Left incomplete by an interruption, so installed again: {', '.join(incomplete)}.")
    if incomplete or found["missing"] or not places.edgetune.exists():
        done = {}
    done = {**done, "venv": keys["venv"]}
    todo = [step for step in STEPS if done.get(step) != keys[step]]
    check_disk(places, NEEDED[choice.torch] if "torch" in todo else NEEDED_AFTER_TORCH)
    for step in todo:
        done.pop(step, None)
        record(places, done)
        WORK[step](setup)
        done[step] = keys[step]
        record(places, done)
    for note in (*choice.notes, *setup.notes):
        say(f"Note: {note}")
    say(f"Set up in {clock(time.monotonic() - began)}; from now on this takes a moment.")


def start(places: Places, verb: str, rest: list[str]) -> int:
    """Become what was asked for; on Windows, which cannot, run it and hand on its exit code."""
    if verb == "test":
        os.chdir(places.root)
        command = [str(places.python), "-m", "pytest", *rest]
    else:
        command = [str(places.edgetune), *(["demo"] if verb == "demo" else []), *rest]
    if os.name == "nt":
        return subprocess.run(command, check=False).returncode
    os.execv(command[0], command)
