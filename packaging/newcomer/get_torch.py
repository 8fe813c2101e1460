"""Install PyTorch in the build that suits the machine."""

import os
import re

from newcomer.console import CommandFailed, print_status
from newcomer.machine import CPU_INDEX, WINDOWS_CUDA_INDEX
from newcomer.pip import CUDA_DOWNLOAD, DISK_FULL, DISK_NEEDED, NO_NETWORK, Setup, check_disk, explain_failure
from newcomer.state import pinned_version, probe_environment


def get_torch(setup: Setup) -> None:
    """Install the chosen torch build, so that no machine without an NVIDIA driver downloads several GB of CUDA.

    PyPI never carries builds with a local label, so asking for '+cpu' finds the CPU build or nothing, without any download.
    On CUDA machines '===' keeps pip from installing a '+cpu' build that a cache or index offers first.
    """
    paths = setup.paths
    version = pinned_version(paths, "torch")
    build = setup.choice.torch

    # A ROCm or XPU build that the user installed by hand counts as the CPU build here and must survive.
    installed = str(probe_environment(paths).get("torch", ""))
    if build == "cpu" and installed.partition("+")[0] == version:
        print_status(f"Keeping the installed PyTorch {installed}.")
        return
    if build == "cuda" and installed.endswith("+cpu"):
        setup.pip("Removing PyTorch without CUDA", ["uninstall", "-y", "torch"])

    pinned = ["install", "-c", str(paths.constraints)]
    windows = os.name == "nt"
    cuda = f"PyTorch with CUDA ({CUDA_DOWNLOAD})"
    cpu = "PyTorch, CPU build"
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
    }[build]

    # Each index is tried once: after a second failure to connect, the network is missing and not the build.
    offline = False
    for number, (title, arguments) in enumerate(attempts, 1):
        last = number == len(attempts)
        if build == "cpu" and last and not windows:
            print_status(f"The CPU build is not available. Installing PyPI's build instead, which includes CUDA: {CUDA_DOWNLOAD}.")
            check_disk(paths, DISK_NEEDED["cuda"])
        try:
            setup.pip(title, [*pinned, *arguments])
            return
        except CommandFailed as failure:
            unreachable = bool(re.search(NO_NETWORK, failure.output))
            if last or (offline and unreachable) or re.search(DISK_FULL, failure.output):
                raise explain_failure("PyTorch", failure, paths) from failure
            offline = offline or unreachable
