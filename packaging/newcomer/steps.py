"""The short steps of the set-up: create the environment, install EdgeTune, and check that its libraries load."""

import importlib.util
import shutil
import sys

from newcomer.console import CommandFailed, SetupError, print_status, run_command
from newcomer.pip import Setup, explain_failure, pip_environment
from newcomer.remedies import remedy_here
from newcomer.state import clear_environment, probe_environment


def make_venv(setup: Setup) -> None:
    """Create the environment, or use a working one that is already there."""
    paths = setup.paths
    ours = paths.stamp.exists()
    entries = [entry for entry in paths.venv.iterdir() if entry not in (paths.lock, paths.log)]

    if not ours and probe_environment(paths):
        print_status("Using the existing environment in .venv.")
        return
    if not ours and entries and not (paths.venv / "pyvenv.cfg").exists():
        raise SetupError(
            f"{paths.venv} exists but is not a Python environment", "Move that folder elsewhere, then run the same command again."
        )

    if ours and any(entry != paths.stamp for entry in entries):
        print_status("The environment in .venv is incomplete, or was created for another folder or Python. Creating it again.")
    if importlib.util.find_spec("ensurepip") is None or importlib.util.find_spec("venv") is None:
        raise SetupError("This Python has no venv module", remedy_here("venv"))

    clear_environment(paths)
    command = [sys.executable, "-m", "venv", str(paths.venv)]
    try:
        run_command(command, "Virtual environment (.venv)", paths.log, paths.root, pip_environment(paths), (setup.lock,))
    except CommandFailed as failure:
        if "ensurepip" in failure.output:
            raise SetupError("This Python's venv module is incomplete", remedy_here("venv")) from failure
        raise explain_failure("The environment", failure, paths) from failure


def get_edgetune(setup: Setup) -> None:
    """Install EdgeTune itself, editable, with its dependencies and the tools of its tests."""
    try:
        setup.pip("EdgeTune and its libraries", ["install", "-c", str(setup.paths.constraints), "-e", ".[test]"])
    except CommandFailed as failure:
        raise explain_failure("EdgeTune", failure, setup.paths) from failure


def check_imports(setup: Setup) -> None:
    """Import the libraries, so that a broken environment is noticed now and not in the middle of a run."""
    code = "import torch, llama_cpp; print('gpu' if torch.cuda.is_available() else 'cpu')"
    paths = setup.paths
    try:
        answer = run_command(
            [str(paths.python), "-I", "-c", code], "Checking it", paths.log, paths.root, pip_environment(paths), (setup.lock,)
        )
    except CommandFailed as failure:
        raise explain_failure("The environment", failure, paths) from failure

    if setup.choice.torch == "cuda" and not answer.strip().endswith("gpu"):
        setup.notes.append(
            "PyTorch has CUDA but cannot use the GPU. Most often the driver is too old: CUDA 13 needs version 580 or newer. "
            "Until you update it, training runs on the CPU."
        )
    shutil.rmtree(paths.venv / "tmp", ignore_errors=True)
