"""The steps of the set-up that are short: the environment itself, EdgeTune in it, and a trial of the whole."""

import importlib.util
import shutil
import sys

from newcomer.console import CommandFailed, SetupError, run, say
from newcomer.pip import Setup, explain, pip_environment
from newcomer.remedies import remedy_here
from newcomer.state import clear, probe


def make_venv(setup: Setup) -> None:
    """Make the environment, or take over a working one that is already there."""
    places = setup.places
    ours = places.stamp.exists()
    entries = [entry for entry in places.venv.iterdir() if entry not in (places.lock, places.log)]
    if not ours and probe(places):
        say("Using the environment that is already in .venv.")
        return
    if not ours and entries and not (places.venv / "pyvenv.cfg").exists():
        raise SetupError(f"{places.venv} is there, but is no Python environment", "Move it away, then run the same command again.")
    if ours and any(entry != places.stamp for entry in entries):
        say("The environment in .venv is incomplete, or was made for another folder or Python: making it anew.")
    if importlib.util.find_spec("ensurepip") is None or importlib.util.find_spec("venv") is None:
        raise SetupError("This Python has no venv module", remedy_here("venv"))
    clear(places)
    command = [sys.executable, "-m", "venv", str(places.venv)]
    try:
        run(command, "Private environment (.venv)", places.log, places.root, pip_environment(places), (setup.lock,))
    except CommandFailed as failure:
        if "ensurepip" in failure.output:
            raise SetupError("This Python's venv module is incomplete", remedy_here("venv")) from failure
        raise explain("The environment", failure, places) from failure


def get_edgetune(setup: Setup) -> None:
    """Install EdgeTune itself, editable, with all else it needs and the tools of its tests."""
    try:
        setup.pip("EdgeTune and its libraries", ["install", "-c", str(setup.places.constraints), "-e", ".[test]"])
    except CommandFailed as failure:
        raise explain("EdgeTune", failure, setup.places) from failure


def check(setup: Setup) -> None:
    """Load what was installed, so that a broken environment shows now and not in the middle of a run."""
    code = "import torch, llama_cpp; print('gpu' if torch.cuda.is_available() else 'cpu')"
    places = setup.places
    try:
        answer = run([str(places.python), "-I", "-c", code], "Trying it", places.log, places.root, pip_environment(places), (setup.lock,))
    except CommandFailed as failure:
        raise explain("The environment", failure, places) from failure
    if setup.choice.torch == "cuda" and not answer.strip().endswith("gpu"):
        setup.notes.append(
            "PyTorch has CUDA but cannot use the GPU: most often the driver is too old for CUDA 13 (it needs 580 or newer). "
            "Until then it runs on the CPU."
        )
    shutil.rmtree(places.venv / "tmp", ignore_errors=True)
