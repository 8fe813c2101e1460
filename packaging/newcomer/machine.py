"""What this machine has, what to set up for it, and why."""

import glob
import os
import platform
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from newcomer.console import SetupError

CPU_INDEX = "https://download.pytorch.org/whl/cpu"
WINDOWS_CUDA_INDEX = "https://download.pytorch.org/whl/cu130"
XPU_INDEX = "https://download.pytorch.org/whl/xpu"
"""PyTorch's own package indexes. PyPI's build for Linux is the CUDA one, PyPI's for Windows has no CUDA."""


@dataclass(frozen=True)
class MachineProbe:
    """What was found. system: linux, darwin or windows; cpu: as platform.machine() names it, in lower case."""

    system: str
    cpu: str
    nvidia: str = ""
    nvcc: str = ""
    rocm: str = ""
    intel: str = ""


@dataclass(frozen=True)
class BuildChoice:
    """What to set up. torch: cuda, metal or cpu; llama: the same for llama.cpp; reason and notes are for the user."""

    torch: str
    llama: str
    reason: str
    notes: tuple[str, ...] = ()


def build_label(kind: str) -> str:
    """A build's name as people write it."""
    return {"cpu": "the CPU", "cuda": "CUDA", "metal": "Metal"}[kind]


def probe_machine() -> MachineProbe:
    """Look at this machine. Files are asked before programs: nvidia-smi can take seconds to wake a card."""
    system = sys.platform if sys.platform in ("linux", "darwin") else "windows" if os.name == "nt" else sys.platform
    cuda_home = Path(os.environ.get("CUDA_HOME") or os.environ.get("CUDA_PATH") or "/usr/local/cuda")
    return MachineProbe(
        system=system,
        cpu=platform.machine().lower(),
        nvidia=nvidia_driver(system),
        nvcc=shutil.which("nvcc") or shutil.which("nvcc", path=str(cuda_home / "bin")) or "",
        rocm="/opt/rocm" if Path("/opt/rocm").exists() else shutil.which("rocminfo") or "",
        intel=next(iter([*glob.glob("/usr/lib*/libze_intel_gpu.so.1"), *glob.glob("/usr/lib/*/libze_intel_gpu.so.1")]), "")
        or shutil.which("xpu-smi")
        or "",
    )


def nvidia_driver(system: str) -> str:
    """What shows that a working NVIDIA driver and card are here, or "".

    /proc/driver/nvidia alone is not enough: containers without the card see the host's.
    """
    if system == "windows":
        library = Path(os.environ.get("SYSTEMROOT", r"C:\Windows")) / "System32" / "nvcuda.dll"
        return str(library) if library.exists() else ""
    if Path("/proc/driver/nvidia/version").exists() and glob.glob("/dev/nvidia[0-9]*"):
        return "/proc/driver/nvidia"
    if Path("/usr/lib/wsl/lib/libcuda.so.1").exists():
        return "/usr/lib/wsl/lib/libcuda.so.1"
    program = shutil.which("nvidia-smi")
    if not program:
        return ""
    try:
        listed = subprocess.run([program, "-L"], capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return program if listed.returncode == 0 and "GPU" in listed.stdout else ""


def choose_builds(probes: MachineProbe, wish: str, pin: str) -> BuildChoice:
    """Decide which builds to take.

    wish: the user's word (EDGETUNE_TORCH: cpu, cuda or empty). pin: torch's version, for the notes.
    Raises SetupError for machines that PyTorch has no build for.
    """
    if wish not in ("", "cpu", "cuda"):
        raise SetupError(f"EDGETUNE_TORCH is {wish!r}", "Set it to cpu or cuda, or leave it unset.")
    if sys.maxsize <= 2**32:
        raise SetupError(
            "This Python is a 32-bit one, and PyTorch has no such build",
            "Install a 64-bit Python 3.11 or newer from https://www.python.org/downloads/",
        )
    if probes.system == "darwin":
        if probes.cpu == "x86_64":
            remedy = "On Apple silicon, use a Python that does not run through Rosetta. On an Intel Mac, use a Linux container."
            raise SetupError("PyTorch has no build for Intel Macs any more", remedy)
        return BuildChoice("metal", "metal", "Apple silicon: Metal")
    python = r".venv\Scripts\python" if probes.system == "windows" else ".venv/bin/python"
    notes = []
    if (probes.nvidia and wish != "cpu") or wish == "cuda":
        if not probes.nvcc:
            notes.append(
                "Training uses the GPU, chat does not: compiling llama.cpp for it needs NVIDIA's CUDA toolkit (nvcc), "
                "which is not here. Install it, then run this again."
            )
        reason = f"NVIDIA driver found ({probes.nvidia})" if probes.nvidia else "asked for by EDGETUNE_TORCH"
        return BuildChoice("cuda", "cuda" if probes.nvcc else "cpu", reason, tuple(notes))
    if probes.rocm:
        notes.append(
            f"AMD's ROCm found ({probes.rocm}); it is experimental here, so the CPU build is set up. To try it: choose ROCm on "
            f"https://pytorch.org/get-started/locally/ and run what it shows with '{python} -m pip', for torch=={pin} alone. It is kept."
        )
    if probes.intel:
        notes.append(
            f"Intel's GPU driver found ({probes.intel}); it is experimental here, so the CPU build is set up. To try it: "
            f"'{python} -m pip install --index-url {XPU_INDEX} torch=={pin}+xpu'. It is then kept."
        )
    return BuildChoice("cpu", "cpu", "asked for by EDGETUNE_TORCH" if wish else "no NVIDIA driver found", tuple(notes))
