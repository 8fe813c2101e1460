"""What the set-up decides: the build for a machine, the remedy for what it lacks, the order in which PyTorch's builds are tried."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from newcomer import get_torch as get_torch_module
from newcomer.console import CommandFailed, SetupError, current_activity
from newcomer.machine import CPU_INDEX, BuildChoice, MachineProbe, choose_builds, probe_machine
from newcomer.pip import Setup, check_disk, explain_failure, pip_environment
from newcomer.remedies import remedy_for, remedy_here, working_compiler
from newcomer.state import SetupPaths

from tests.conftest import ROOT

LINUX = {"system": "linux", "cpu": "x86_64"}


@pytest.mark.parametrize(
    ("probes", "wish", "torch", "llama"),
    [
        (MachineProbe(**LINUX), "", "cpu", "cpu"),
        (MachineProbe(**LINUX, nvidia="/proc/driver/nvidia", nvcc="/usr/local/cuda/bin/nvcc"), "", "cuda", "cuda"),
        (MachineProbe(**LINUX, nvidia="/proc/driver/nvidia"), "", "cuda", "cpu"),
        (MachineProbe(**LINUX, nvidia="/proc/driver/nvidia", nvcc="/usr/local/cuda/bin/nvcc"), "cpu", "cpu", "cpu"),
        (MachineProbe(**LINUX, rocm="/opt/rocm"), "", "cpu", "cpu"),
        (MachineProbe(system="darwin", cpu="arm64"), "", "metal", "metal"),
        (MachineProbe(system="windows", cpu="amd64", nvidia="nvcuda.dll"), "", "cuda", "cpu"),
    ],
)
def test_build_for_a_machine(probes: MachineProbe, wish: str, torch: str, llama: str) -> None:
    choice = choose_builds(probes, wish, "2.13.0")
    assert (choice.torch, choice.llama) == (torch, llama)
    assert choice.reason


def test_gpus_that_are_not_set_up_are_named_with_what_to_do() -> None:
    (amd,) = choose_builds(MachineProbe(**LINUX, rocm="/opt/rocm"), "", "2.13.0").notes
    (intel,) = choose_builds(MachineProbe(**LINUX, intel="/usr/lib/libze_intel_gpu.so.1"), "", "2.13.0").notes
    (no_toolkit,) = choose_builds(MachineProbe(**LINUX, nvidia="/proc/driver/nvidia"), "", "2.13.0").notes
    assert "ROCm" in amd and "torch==2.13.0" in amd
    assert "--index-url" in intel and "torch==2.13.0+xpu" in intel
    assert "CUDA toolkit" in no_toolkit


def test_machines_and_wishes_without_a_build_are_refused() -> None:
    with pytest.raises(SetupError, match="Intel Macs"):
        choose_builds(MachineProbe(system="darwin", cpu="x86_64"), "", "2.13.0")
    with pytest.raises(SetupError, match="EDGETUNE_TORCH"):
        choose_builds(MachineProbe(**LINUX), "gpu", "2.13.0")


def test_this_machine_is_looked_at() -> None:
    assert choose_builds(probe_machine(), "", "2.13.0").torch in ("cpu", "cuda", "metal")


@pytest.mark.parametrize(
    ("os_release", "compiler", "venv"),
    [
        ('ID=debian\nVERSION_ID="12"\n', "sudo apt install g++", "sudo apt install python3-venv"),
        ('ID=linuxmint\nID_LIKE="ubuntu debian"\n', "sudo apt install g++", "sudo apt install python3-venv"),
        ("ID=fedora\n", "sudo dnf install gcc-c++", "sudo dnf install python3-pip"),
        ('ID="rocky"\nID_LIKE="rhel centos fedora"\n', "sudo dnf install gcc-c++", "sudo dnf install python3-pip"),
        ("ID=manjaro\nID_LIKE=arch\n", "sudo pacman -S gcc", "sudo pacman -S python"),
        ('ID="opensuse-leap"\nID_LIKE="suse opensuse"\n', "sudo zypper install gcc-c++", "sudo zypper install python3-pip"),
        ("ID=nixos\n", "your system's package manager", "ensurepip"),
    ],
)
def test_one_command_brings_what_a_linux_lacks(os_release: str, compiler: str, venv: str) -> None:
    assert compiler in remedy_for("compiler", "linux", os_release, root=False)
    assert venv in remedy_for("venv", "linux", os_release, root=False)
    assert "sudo" not in remedy_for("compiler", "linux", os_release, root=True)


def test_one_command_brings_a_compiler_elsewhere() -> None:
    assert "xcode-select --install" in remedy_for("compiler", "darwin", "", root=False)
    assert "winget install" in remedy_for("compiler", "windows", "", root=False)
    assert remedy_here("compiler")


def test_a_compiler_counts_only_when_it_compiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CXX", raising=False)
    assert working_compiler(str(tmp_path)) == ""
    broken = tmp_path / "c++"
    broken.write_text("#!/bin/sh\nexit 1\n", encoding="utf-8")
    broken.chmod(0o755)
    assert working_compiler(str(tmp_path)) == ""


def failing_pip(monkeypatch: pytest.MonkeyPatch, output: str) -> list[list[str]]:
    """Make pip fail with `output`; returns the arguments it is called with."""
    calls: list[list[str]] = []

    def pip(_self: Setup, _title: str, arguments: Sequence[str], *_rest: object) -> str:
        calls.append(list(arguments))
        raise CommandFailed(["pip"], 1, output)

    monkeypatch.setattr(Setup, "pip", pip)
    monkeypatch.setattr(get_torch_module, "probe_environment", lambda _paths: {})
    return calls


def setup_for(torch: str) -> Setup:
    """A set-up of this checkout that is never brought up."""
    return Setup(SetupPaths(ROOT), BuildChoice(torch, "cpu", "a test"), -1)


def test_the_cpu_build_is_looked_for_near_then_at_pytorch_then_plainly(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = failing_pip(monkeypatch, "ERROR: No matching distribution found for torch==2.13.0+cpu")
    monkeypatch.setattr(get_torch_module, "check_disk", lambda *_: None)
    with pytest.raises(SetupError):
        get_torch_module.get_torch(setup_for("cpu"))
    near, pytorch, plain = calls
    assert near[-1].endswith("+cpu") and "--index-url" not in near
    assert pytorch[-1].endswith("+cpu") and CPU_INDEX in pytorch
    assert "+" not in plain[-1] and "--index-url" not in plain


def test_without_network_no_cuda_build_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = failing_pip(monkeypatch, "NewConnectionError: Temporary failure in name resolution")
    with pytest.raises(SetupError) as error:
        get_torch_module.get_torch(setup_for("cpu"))
    assert len(calls) == 2
    assert "no network" in error.value.remedy


def test_a_full_disk_ends_the_search_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = failing_pip(monkeypatch, "OSError: [Errno 28] No space left on device")
    with pytest.raises(SetupError) as error:
        get_torch_module.get_torch(setup_for("cpu"))
    assert len(calls) == 1
    assert "disk is full" in error.value.remedy


def test_cuda_never_takes_a_cpu_build_that_lies_nearer(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = failing_pip(monkeypatch, "")
    with pytest.raises(SetupError):
        get_torch_module.get_torch(setup_for("cuda"))
    assert "===" in calls[0][-1]


def test_too_little_disk_is_refused_before_the_work() -> None:
    with pytest.raises(SetupError, match="Too little disk space"):
        check_disk(SetupPaths(ROOT), 10_000_000)


@pytest.mark.parametrize(
    ("output", "remedy"),
    [
        ("getaddrinfo failed", "no network"),
        ("SSLError: CERTIFICATE_VERIFY_FAILED", "PIP_CERT"),
        ("ERROR: Failed building wheel for llama-cpp-python", "compiler"),
        ("something never seen", "Read the log"),
    ],
)
def test_a_failure_shows_its_last_lines_and_a_remedy(output: str, remedy: str) -> None:
    error = explain_failure("It", CommandFailed(["pip"], 1, f"first\n{output}"), SetupPaths(ROOT))
    assert output in error.title and "setup.log" in error.title
    assert remedy in error.remedy


def test_pip_is_kept_to_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_TARGET", "/somewhere/else")
    monkeypatch.setenv("PYTHONPATH", "/somewhere/else")
    environment = pip_environment(SetupPaths(ROOT))
    assert "PIP_TARGET" not in environment and "PYTHONPATH" not in environment
    assert environment["PIP_USER"] == "0" and environment["PIP_REQUIRE_VIRTUALENV"] == "1"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("  [12/193] Building CXX object x.o", "compiling, 12 of 193"),
        ("  Downloading torch-2.13.0-cp311-manylinux.whl (526.6 MB)", "downloading torch-2.13.0-cp311-manylinux (526.6 MB)"),
        ("Installing collected packages: torch", "unpacking"),
        ("nothing telling", ""),
    ],
)
def test_progress_is_read_from_the_output(line: str, words: str) -> None:
    assert current_activity(f"Collecting earlier\n{line}" if words else line) == words
