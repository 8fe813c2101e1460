"""The hardware and drivers of this machine, the builds to install for it, and the reason."""

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
    """Hardware and drivers of a machine. system: linux, darwin or windows. cpu: platform.machine() in lower case.

    nvidia, nvcc, rocm, intel: the path that shows the driver or compiler, "" without one.
    """

    system: str
    cpu: str
    nvidia: str = ""
    nvcc: str = ""
    rocm: str = ""
    intel: str = ""


@dataclass(frozen=True)
class BuildChoice:
    """The builds to install. torch: cuda, metal or cpu; llama: the same for llama.cpp. reason and notes are for the user."""

    torch: str
    llama: str
    reason: str
    notes: tuple[str, ...] = ()


def build_label(kind: str) -> str:
    """A build's name for messages."""
    return {"cpu": "the CPU", "cuda": "CUDA", "metal": "Metal"}[kind]


def probe_machine() -> MachineProbe:
    """Probe this machine. Files are checked before programs run: nvidia-smi can take seconds to wake a card."""
    system = sys.platform if sys.platform in ("linux", "darwin") else "windows" if os.name == "nt" else sys.platform
    intel_drivers = [*glob.glob("/usr/lib*/libze_intel_gpu.so.1"), *glob.glob("/usr/lib/*/libze_intel_gpu.so.1")]
    cuda_home = Path(os.environ.get("CUDA_HOME") or os.environ.get("CUDA_PATH") or "/usr/local/cuda")
    return MachineProbe(
        system=system,
        cpu=platform.machine().lower(),
        nvidia=nvidia_driver(system),
        nvcc=shutil.which("nvcc") or shutil.which("nvcc", path=str(cuda_home / "bin")) or "",
        rocm="/opt/rocm" if Path("/opt/rocm").exists() else shutil.which("rocminfo") or "",
        intel=intel_drivers[0] if intel_drivers else shutil.which("xpu-smi") or "",
    )


def nvidia_driver(system: str) -> str:
    """The path that shows a working NVIDIA driver with a card, or "".

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


def choose_builds(probe: MachineProbe, requested: str, version: str) -> BuildChoice:
    """Choose the builds to install.

    requested: EDGETUNE_TORCH (cpu, cuda or empty). version: torch's, for the notes.
    Raises SetupError for machines that PyTorch has no build for.
    """
    if requested not in ("", "cpu", "cuda"):
        raise SetupError(f"EDGETUNE_TORCH is {requested!r}", "Set it to cpu or cuda, or leave it unset.")
    if sys.maxsize <= 2**32:
        raise SetupError(
            "This is a 32-bit Python, and PyTorch has no 32-bit build",
            "Install a 64-bit Python 3.11 or newer from https://www.python.org/downloads/",
        )

    if probe.system == "darwin":
        if probe.cpu == "x86_64":
            remedy = "On Apple silicon, use a Python that does not run through Rosetta. On an Intel Mac, use a Linux container."
            raise SetupError("PyTorch no longer has a build for Intel Macs", remedy)
        return BuildChoice("metal", "metal", "Apple silicon: Metal")

    python = r".venv\Scripts\python" if probe.system == "windows" else ".venv/bin/python"
    notes = []

    # Chat falls back to the CPU without the toolkit: training on the GPU is worth having alone.
    if (probe.nvidia and requested != "cpu") or requested == "cuda":
        if not probe.nvcc:
            notes.append(
                "Training uses the GPU, chat does not: compiling llama.cpp for the GPU needs NVIDIA's CUDA toolkit (nvcc), "
                "which is not installed. Install it, then run the same command again."
            )
        reason = f"NVIDIA driver found ({probe.nvidia})" if probe.nvidia else "requested by EDGETUNE_TORCH"
        return BuildChoice("cuda", "cuda" if probe.nvcc else "cpu", reason, tuple(notes))

    # No GPU of AMD or Intel was tried, so their builds are offered but never chosen.
    if probe.rocm:
        notes.append(
            f"AMD's ROCm was found ({probe.rocm}). Support is experimental, so the CPU build is installed. To try ROCm, choose it on "
            f"https://pytorch.org/get-started/locally/ and run the command shown there with '{python} -m pip', for torch=={version} only. "
            "Later set-ups keep that build."
        )
    if probe.intel:
        notes.append(
            f"Intel's GPU driver was found ({probe.intel}). Support is experimental, so the CPU build is installed. To try it, run "
            f"'{python} -m pip install --index-url {XPU_INDEX} torch=={version}+xpu'. Later set-ups keep that build."
        )
    return BuildChoice("cpu", "cpu", "requested by EDGETUNE_TORCH" if requested else "no NVIDIA driver found", tuple(notes))
