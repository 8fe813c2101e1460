"""What this machine has, what to use and the reason, in words. Importing it is cheap; torch is only asked inside a worker."""

import os
import platform
import shutil
import subprocess
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from edgetune.errors import InputError

TINY_MODEL_PARAMETERS = 20_000_000
"""Parameters under which one thread beats several once the cores are busy (a stories260K forward: 0.006 s against 0.60 s; training
EdgeTune Nano on two busy cores: 20 to 150 tokens/s on two threads, over 1,000 on one)."""


@dataclass(frozen=True)
class Choice:
    """An automatic choice and its reason."""

    value: str
    reason: str


@dataclass(frozen=True)
class Machine:
    """What was found, without importing torch. Sizes in bytes."""

    system: str
    processor: str
    cores: int
    memory: int
    memory_free: int
    gpu: str
    gpu_memory: int
    gpu_capability: float
    accelerator: str  # "cuda", "mps", "rocm", "xpu" or ""
    cpu_bf16: bool

    def as_dict(self) -> dict[str, Any]:
        """All of it, for JSON."""
        return asdict(self)


def _processor() -> tuple[str, bool]:
    """The processor's name and whether it multiplies bf16 (AVX512-BF16, AMX or Arm's bf16 instructions)."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        if platform.system() == "Darwin":
            result = subprocess.run(
                ["sysctl", "-n", "machdep.cpu.brand_string", "hw.optional.arm.FEAT_BF16"], capture_output=True, text=True, check=False
            )
            lines = result.stdout.splitlines()
            return (lines[0] if lines else platform.machine()), lines[1:] == ["1"]
        return platform.processor() or platform.machine(), False

    name = next((line.split(":", 1)[1].strip() for line in text.splitlines() if line.startswith("model name")), platform.machine())
    flags = set(next((line.split(":", 1)[1].split() for line in text.splitlines() if line.startswith(("flags", "Features"))), []))
    return name, bool(flags & {"avx512_bf16", "amx_bf16", "bf16"})


def _nvidia() -> tuple[str, int, float]:
    """Name, memory in bytes and compute capability of the first NVIDIA card, or empty."""
    tool = shutil.which("nvidia-smi")
    if not tool:
        return "", 0, 0.0

    # A driver that does not answer counts as no card: the doctor must not fail for it.
    try:
        result = subprocess.run(
            [tool, "--query-gpu=name,memory.total,compute_cap", "--format=csv,noheader,nounits"],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
        name, memory, capability = (part.strip() for part in result.stdout.splitlines()[0].split(","))
        return name, int(float(memory)) * 2**20, float(capability)
    except (subprocess.SubprocessError, OSError, ValueError, IndexError):
        return "", 0, 0.0


def this_machine() -> Machine:
    """What this machine has; what does not change is looked at once, the free memory each time."""
    import psutil

    return replace(_fixed_facts(), memory_free=psutil.virtual_memory().available)


@cache
def _fixed_facts() -> Machine:
    import psutil

    memory = psutil.virtual_memory()
    processor, bf16 = _processor()
    gpu, gpu_memory, capability = _nvidia()

    # Without torch, the accelerator is told from the system and what is installed.
    accelerator = "cuda" if gpu else ""
    if platform.system() == "Darwin" and platform.machine() == "arm64":
        accelerator, gpu = "mps", "Apple silicon"
    elif not gpu and (Path("/opt/rocm").exists() or shutil.which("rocminfo")):
        accelerator, gpu = "rocm", "AMD (ROCm)"

    return Machine(
        platform.system(),
        processor,
        psutil.cpu_count(logical=False) or os.cpu_count() or 1,
        memory.total,
        memory.available,
        gpu,
        gpu_memory,
        capability,
        accelerator,
        bf16,
    )


PROCESSOR_SENSORS = ("coretemp", "k10temp", "zenpower", "cpu_thermal", "soc_thermal", "acpitz")
"""What Linux calls the sensors of a processor, the most exact first (drivers/hwmon)."""


def temperature(chosen: str) -> float | None:
    """Degrees Celsius of the hottest sensor of a device ("cpu" or "cuda"), None where none can be read. Not for the UI's thread."""
    import psutil

    if chosen == "cuda":
        return _card_temperature()
    try:
        sensors = psutil.sensors_temperatures()
    except (AttributeError, OSError):  # Windows and macOS have none
        return None
    sensor: list[Any] = next((sensors[name] for name in PROCESSOR_SENSORS if sensors.get(name)), [])
    return max((float(reading.current) for reading in sensor if reading.current), default=None)


def _card_temperature() -> float | None:
    tool = shutil.which("nvidia-smi")
    if not tool:
        return None
    query = [tool, "--query-gpu=temperature.gpu", "--format=csv,noheader,nounits"]
    try:
        return float(subprocess.run(query, capture_output=True, text=True, timeout=10, check=True).stdout.splitlines()[0])
    except (subprocess.SubprocessError, OSError, ValueError, IndexError):
        return None


def choose_device(requested: str = "auto", here: Machine | None = None) -> Choice:
    """Where to train: the flag if given, else the best that is there."""
    here = here or this_machine()
    if requested != "auto":
        if requested in ("cuda", "mps", "xpu") and here.accelerator not in (requested, "rocm" if requested == "cuda" else requested):
            raise InputError(
                f"There is no {requested} device here", f"Found: {here.gpu or 'no GPU'}.", "Leave --device out, or use --device cpu."
            )
        return Choice(requested, "asked for")

    if here.accelerator == "cuda":
        return Choice("cuda", f"{here.gpu} with {here.gpu_memory / 2**30:.0f} GiB")
    if here.accelerator == "mps":
        return Choice("mps", "Apple silicon trains on its GPU")
    if here.accelerator == "rocm":
        return Choice("cpu", "an AMD card is here, but ROCm support is experimental: try --device cuda with a ROCm build of torch")
    return Choice("cpu", "no GPU that torch can use was found")


def choose_dtype(chosen: str, here: Machine | None = None) -> Choice:
    """The number format of the computation on a device: 16 bits where it computes in them, bf16 before fp16, else 32."""
    here = here or this_machine()
    if chosen == "cuda":
        if here.gpu_capability >= 8.0 or here.accelerator == "rocm":
            return Choice("bfloat16", "this GPU supports bf16")
        return Choice("float16", "this GPU has no bf16: fp16 with loss scaling, adapters in fp32")
    if chosen == "mps":
        return Choice("bfloat16", "Apple silicon computes in bf16")
    if here.cpu_bf16:
        return Choice("bfloat16", "this processor multiplies bf16")
    return Choice("float32", "this processor has no bf16 instructions")


def choose_threads(parameters: int, requested: int | None = None) -> Choice:
    """How many processor threads to compute with."""
    if requested:
        return Choice(str(requested), "asked for")
    cores = this_machine().cores
    if parameters < TINY_MODEL_PARAMETERS:
        return Choice("1", "a tiny model is safest on one: with busy cores several get in each other's way")
    return Choice(str(cores), "all cores")


def machine_summary() -> str:
    """What this machine trains on and why, with what it has."""
    here = this_machine()
    chosen = choose_device(here=here)
    kind = choose_dtype(chosen.value, here)
    return f"trains on {chosen.value} ({chosen.reason}) in {kind.value}; {here.cores} cores, {here.memory_free / 2**30:.1f} GiB free"
