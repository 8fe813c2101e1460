"""The command that installs a missing C++ compiler or Python's venv module on this system."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

PACKAGE_MANAGERS = {
    "debian": "apt",
    "ubuntu": "apt",
    "fedora": "dnf",
    "rhel": "dnf",
    "centos": "dnf",
    "arch": "pacman",
    "suse": "zypper",
    "alpine": "apk",
}
"""The package manager by ID or ID_LIKE of os-release."""

SYSTEM_PACKAGES = {
    "compiler": {
        "apt": "apt install g++",
        "dnf": "dnf install gcc-c++",
        "pacman": "pacman -S gcc",
        "zypper": "zypper install gcc-c++",
        "apk": "apk add g++",
    },
    "venv": {
        "apt": "apt install python3-venv",
        "dnf": "dnf install python3-pip",
        "pacman": "pacman -S python",
        "zypper": "zypper install python3-pip",
        "apk": "apk add python3",
    },
}

COMPILER_ELSEWHERE = {
    "darwin": "xcode-select --install",
    "windows": 'winget install --id Microsoft.VisualStudio.2022.BuildTools --override "--passive --wait '
    '--add Microsoft.VisualStudio.Workload.VCTools --includeRecommended"',
}


def package_manager(os_release: str) -> str:
    """The package manager of a Linux system, by the text of its os-release file; "" when unknown."""
    fields = dict(line.split("=", 1) for line in os_release.splitlines() if "=" in line)
    names = [fields.get("ID", "").strip("\"'"), *fields.get("ID_LIKE", "").strip("\"'").split()]
    for name in names:
        for known, manager in PACKAGE_MANAGERS.items():
            if name == known or (known == "suse" and "suse" in name):
                return manager
    return ""


def remedy_for(requirement: str, system: str, os_release: str, root: bool) -> str:
    """How to install `requirement` (compiler or venv) on this system, as one command where there is one."""
    if requirement == "compiler" and system in COMPILER_ELSEWHERE:
        return f"Install one with: {COMPILER_ELSEWHERE[system]}"
    manager = package_manager(os_release)
    if system == "linux" and manager:
        return f"Install it with: {'' if root else 'sudo '}{SYSTEM_PACKAGES[requirement][manager]}"
    if requirement == "compiler":
        return "Install g++ or clang++ with your system's package manager."
    return "Install your Python's venv and ensurepip modules, or install Python from https://www.python.org/downloads/"


def os_release() -> str:
    """The text of this system's os-release file, "" where there is none."""
    for path in ("/etc/os-release", "/usr/lib/os-release"):
        if Path(path).is_file():
            return Path(path).read_text(encoding="utf-8", errors="replace")
    return ""


def remedy_here(requirement: str) -> str:
    """`remedy_for` on this machine."""
    system = "windows" if os.name == "nt" else sys.platform
    return remedy_for(requirement, system, os_release(), hasattr(os, "geteuid") and os.geteuid() == 0)


def working_compiler(search: str | None = None) -> str:
    """A C++ compiler that can compile C++17, or "". search: the PATH to search, this process's by default."""
    if os.name == "nt":
        return _windows_compiler(search)

    # On macOS /usr/bin/c++ is always there; without the tools behind it, calling it opens a dialog.
    if sys.platform == "darwin" and subprocess.run(["xcode-select", "-p"], capture_output=True, check=False).returncode != 0:
        return ""

    # A compiler that is on the PATH but broken, or older than C++17, would fail only after minutes of building.
    for name in (os.environ.get("CXX", ""), "c++", "g++", "clang++"):
        program = shutil.which(name, path=search) if name else None
        if program:
            sample = "#include <filesystem>\nint main() {}\n"
            trial = subprocess.run(
                [program, "-std=c++17", "-x", "c++", "-fsyntax-only", "-"], input=sample, capture_output=True, text=True, check=False
            )
            if trial.returncode == 0:
                return program
    return ""


def _windows_compiler(search: str | None) -> str:
    """A compiler on the PATH, or the folder of a Visual Studio with the C++ tools, which CMake finds by itself; "" without either."""
    compiler = shutil.which("cl", path=search) or shutil.which("clang++", path=search) or shutil.which("g++", path=search) or ""
    vswhere = Path(os.environ.get("PROGRAMFILES(X86)", "")) / "Microsoft Visual Studio" / "Installer" / "vswhere.exe"
    if compiler or not vswhere.exists():
        return compiler
    command = [str(vswhere), "-products", "*", "-requires", "Microsoft.VisualStudio.Component.VC.Tools.x86.x64"]
    listing = subprocess.run([*command, "-property", "installationPath"], capture_output=True, text=True, check=False)
    return listing.stdout.strip()
