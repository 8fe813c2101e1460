"""The steps of the set-up that are short: the environment itself, EdgeTune in it, and a trial of the whole."""

import importlib.util
import shutil
import sys

from newcomer.console import CommandFailed, SetupError, print_status, run_command
from newcomer.pip import Setup, explain_failure, pip_environment
from newcomer.remedies import remedy_here
from newcomer.state import clear_environment, probe_environment


def make_venv(setup: Setup) -> None:
    """Make the environment, or take over a working one that is already there."""
    paths = setup.paths
    ours = paths.stamp.exists()
    entries = [entry for entry in paths.venv.iterdir() if entry not in (paths.lock, paths.log)]
    if not ours and probe_environment(paths):
        print_status("Using the environment that is already in .venv.")
        return
    if not ours and entries and not (paths.venv / "pyvenv.cfg").exists():
        raise SetupError(f"{paths.venv} is there, but is no Python environment", "Move it away, then run the same command again.")
    if ours and any(entry != paths.stamp for entry in entries):
        print_status("The environment in .venv is incomplete, or was made for another folder or Python: making it anew.")
    if importlib.util.find_spec("ensurepip") is None or importlib.util.find_spec("venv") is None:
        raise SetupError("This Python has no venv module", remedy_here("venv"))
    clear_environment(paths)
    command = [sys.executable, "-m", "venv", str(paths.venv)]
    try:
        run_command(command, "Private environment (.venv)", paths.log, paths.root, pip_environment(paths), (setup.lock,))
    except CommandFailed as failure:
        if "ensurepip" in failure.output:
            raise SetupError("This Python's venv module is incomplete", remedy_here("venv")) from failure
        raise explain_failure("The environment", failure, paths) from failure


def get_edgetune(setup: Setup) -> None:
    """Install EdgeTune itself, editable, with all else it needs and the tools of its tests."""
    try:
        setup.pip("EdgeTune and its libraries", ["install", "-c", str(setup.paths.constraints), "-e", ".[test]"])
    except CommandFailed as failure:
        raise explain_failure("EdgeTune", failure, setup.paths) from failure


def check_imports(setup: Setup) -> None:
    """Load what was installed, so that a broken environment shows now and not in the middle of a run."""
    code = "import torch, llama_cpp; print('gpu' if torch.cuda.is_available() else 'cpu')"
    paths = setup.paths
    try:
        answer = run_command(
            [str(paths.python), "-I", "-c", code], "Trying it", paths.log, paths.root, pip_environment(paths), (setup.lock,)
        )
    except CommandFailed as failure:
        raise explain_failure("The environment", failure, paths) from failure
    if setup.choice.torch == "cuda" and not answer.strip().endswith("gpu"):
        setup.notes.append(
            "PyTorch has CUDA but cannot use the GPU: most often the driver is too old for CUDA 13 (it needs 580 or newer). "
            "Until then it runs on the CPU."
        )
    shutil.rmtree(paths.venv / "tmp", ignore_errors=True)
