"""PyTorch in the build that suits the machine."""

import os
import re

from newcomer.console import CommandFailed, print_status
from newcomer.machine import CPU_INDEX, WINDOWS_CUDA_INDEX
from newcomer.pip import CUDA_DOWNLOAD, DISK_FULL, DISK_NEEDED, NO_NETWORK, Setup, check_disk, explain_failure
from newcomer.state import pinned_version, probe_environment


def get_torch(setup: Setup) -> None:
    """Install the torch build that was chosen: never several GB of CUDA where no NVIDIA driver is.

    PyPI never carries builds with a local label, so asking for '+cpu' finds the CPU build or nothing, without any download.
    On CUDA machines '===' keeps pip from taking a '+cpu' build that lies nearer.
    """
    paths, version, kind = setup.paths, pinned_version(setup.paths, "torch"), setup.choice.torch
    present = str(probe_environment(paths).get("torch", ""))
    if kind == "cpu" and present.partition("+")[0] == version:
        print_status(f"PyTorch {present} is there already and is kept.")
        return
    if kind == "cuda" and present.endswith("+cpu"):
        setup.pip("PyTorch without CUDA: removing", ["uninstall", "-y", "torch"])
    pinned = ["install", "-c", str(paths.constraints)]
    windows = os.name == "nt"
    cuda, cpu = f"PyTorch with CUDA ({CUDA_DOWNLOAD})", "PyTorch, CPU build"
    attempts = {
        "cuda": [(f"{cuda}, from PyTorch", ["--no-deps", "--index-url", WINDOWS_CUDA_INDEX, f"torch==={version}+cu130"])]
        if windows
        else [(cuda, [f"torch==={version}"])],
        "metal": [("PyTorch", [f"torch=={version}"])],
        "cpu": [
            (cpu, ["--no-deps", f"torch=={version}+cpu"]),
            (f"{cpu}, from PyTorch", ["--no-deps", "--retries", "1", "--timeout", "30", "--index-url", CPU_INDEX, f"torch=={version}+cpu"]),
            ("PyTorch", [f"torch=={version}"]),
        ],
    }[kind]
    offline = False
    for number, (title, arguments) in enumerate(attempts, 1):
        last = number == len(attempts)
        if kind == "cpu" and last and not windows:
            print_status(f"The CPU build could not be had; taking PyPI's, which brings CUDA along: {CUDA_DOWNLOAD}.")
            check_disk(paths, DISK_NEEDED["cuda"])
        try:
            setup.pip(title, [*pinned, *arguments])
            return
        except CommandFailed as failure:
            unreachable = bool(re.search(NO_NETWORK, failure.output))
            if last or (offline and unreachable) or re.search(DISK_FULL, failure.output):
                raise explain_failure("PyTorch", failure, paths) from failure
            offline = offline or unreachable
