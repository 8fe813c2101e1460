"""The state of the environment: the stamp of finished steps, the lock, and the removal of what an interruption left."""

import csv
import hashlib
import json
import os
import shutil
import subprocess
import time
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from newcomer.console import print_status
from newcomer.machine import BuildChoice

SETUP_VERSION = 1
"""Increase it when the steps themselves change, so that every environment repeats them (except making the environment)."""

SETUP_STEPS = ("venv", "torch", "llama", "edgetune", "check")

PROBE = """
import importlib.metadata, importlib.util, json, sys, sysconfig

def version(name):
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""

def missing(name):
    return importlib.util.find_spec(name) is None

if missing("pip") or sys.prefix == sys.base_prefix:
    sys.exit(1)
print(json.dumps({
    "prefix": sys.prefix,
    "python": "%d.%d" % sys.version_info[:2],
    "packages": sysconfig.get_path("purelib"),
    "torch": version("torch"),
    "missing": [name for name in ("torch", "llama_cpp", "edgetune", "pytest") if missing(name)],
}))
"""


@dataclass(frozen=True)
class SetupPaths:
    """The folders and files of the set-up. root: the repository."""

    root: Path

    @property
    def venv(self) -> Path:
        """The virtual environment."""
        return self.root / ".venv"

    @property
    def scripts(self) -> Path:
        """Its folder of programs."""
        return self.venv / ("Scripts" if os.name == "nt" else "bin")

    @property
    def python(self) -> Path:
        """Its Python."""
        return self.scripts / ("python.exe" if os.name == "nt" else "python")

    @property
    def edgetune(self) -> Path:
        """The edgetune program."""
        return self.scripts / ("edgetune.exe" if os.name == "nt" else "edgetune")

    @property
    def stamp(self) -> Path:
        """The record of finished steps."""
        return self.venv / "edgetune-setup.json"

    @property
    def lock(self) -> Path:
        """Held while a set-up runs here."""
        return self.venv / "edgetune-setup.lock"

    @property
    def log(self) -> Path:
        """The output of pip and of the builds."""
        return self.venv / "setup.log"

    @property
    def constraints(self) -> Path:
        """The versions that were tested together."""
        return self.root / "packaging" / "constraints.txt"


def pinned_version(paths: SetupPaths, package: str) -> str:
    """The version of a package in constraints.txt; it must be there."""
    for line in paths.constraints.read_text(encoding="utf-8").splitlines():
        name, _, version = line.partition("==")
        if name.strip().lower().replace("_", "-") == package:
            return version.split(";")[0].strip()
    raise KeyError(f"{package} is not pinned in {paths.constraints}")


def probe_environment(paths: SetupPaths) -> dict[str, Any]:
    """Version, packages and missing modules by the environment's own Python; empty when it must be created again.

    Without its pyvenv.cfg (an interrupted removal) it runs as the Python it was created from: nothing may be installed or
    removed there, so that counts as no answer.
    """
    if not paths.python.exists():
        return {}
    try:
        answer = subprocess.run([str(paths.python), "-I", "-c", PROBE], capture_output=True, text=True, timeout=60, check=True)
        environment: dict[str, Any] = json.loads(answer.stdout)
    except (OSError, subprocess.SubprocessError, ValueError):
        return {}
    if Path(environment["prefix"]).resolve() != paths.venv.resolve():
        return {}
    version = tuple(int(part) for part in environment["python"].split("."))
    return environment if version >= (3, 11) else {}


def hash_inputs(*parts: object) -> str:
    """A short hash of the inputs of a step."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:16]


def step_hashes(paths: SetupPaths, choice: BuildChoice, python: str) -> dict[str, str]:
    """For each step the hash of its inputs: when it differs from the stamp's, the step is repeated.

    python: the environment's version, as '3.11'.
    """
    project = tomllib.loads((paths.root / "pyproject.toml").read_text(encoding="utf-8"))
    metadata = [project.get("project"), project.get("build-system"), project.get("tool", {}).get("setuptools")]

    # The environment's own hash is part of each: in a new environment every step is repeated.
    venv = hash_inputs(str(paths.root), python)
    torch = hash_inputs(SETUP_VERSION, venv, pinned_version(paths, "torch"), choice.torch)
    llama = hash_inputs(SETUP_VERSION, venv, pinned_version(paths, "llama-cpp-python"), choice.llama)
    edgetune = hash_inputs(SETUP_VERSION, venv, metadata, paths.constraints.read_text(encoding="utf-8"))
    return {"venv": venv, "torch": torch, "llama": llama, "edgetune": edgetune, "check": hash_inputs(torch, llama, edgetune)}


def read_stamp(paths: SetupPaths) -> dict[str, str] | None:
    """The finished steps with their hashes; None when no set-up ever started here."""
    try:
        steps = json.loads(paths.stamp.read_text(encoding="utf-8"))["steps"]
        return {str(name): str(key) for name, key in steps.items()}
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def write_stamp(paths: SetupPaths, steps: dict[str, str]) -> None:
    """Write the stamp atomically."""
    temporary = paths.stamp.with_suffix(".part")
    temporary.write_text(json.dumps({"steps": steps}, indent=1) + "\n", encoding="utf-8")
    os.replace(temporary, paths.stamp)


@contextmanager
def setup_lock(paths: SetupPaths) -> Iterator[int]:
    """Hold this environment's lock, after waiting for another set-up if need be; yields the lock's file descriptor."""
    paths.venv.mkdir(exist_ok=True)
    descriptor = os.open(paths.lock, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        if not try_lock(descriptor):
            print_status("Waiting for another set-up in this folder to finish.")
            while not try_lock(descriptor):
                time.sleep(0.5)
        yield descriptor
    finally:
        os.close(descriptor)


def try_lock(descriptor: int) -> bool:
    """Try to acquire the lock; closing the file releases it."""
    try:
        if os.name == "nt":
            import msvcrt

            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined, unused-ignore]
        else:
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def clear_environment(paths: SetupPaths) -> None:
    """Empty the environment's folder except lock and log. The empty stamp comes first: it tells the next try that the folder is ours."""
    write_stamp(paths, {})
    for entry in paths.venv.iterdir():
        if entry in (paths.lock, paths.log, paths.stamp):
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def remove_incomplete_packages(packages: Path) -> list[str]:
    """Remove the records of packages that an interrupted pip left incomplete, so that pip reinstalls them; returns their names.

    pip writes a package's files, then INSTALLER, then its own RECORD: a package is complete when INSTALLER exists and every file
    in RECORD has the size noted. Folders whose name starts with ~ are old versions that pip had moved aside.
    """
    broken = []
    for leftover in packages.glob("~*"):
        shutil.rmtree(leftover, ignore_errors=True)
    for info in packages.glob("*.dist-info"):
        if not is_complete(packages, info):
            broken.append(info.name.removesuffix(".dist-info"))
            shutil.rmtree(info)
    return broken


def is_complete(packages: Path, info: Path) -> bool:
    """Whether every file of an installed package exists in its recorded size."""
    try:
        rows = list(csv.reader((info / "RECORD").read_text(encoding="utf-8").splitlines()))
        sized = [(packages / row[0], int(row[2])) for row in rows if len(row) == 3 and row[2]]
        return (info / "INSTALLER").exists() and (info / "METADATA").exists() and all(os.stat(path).st_size == size for path, size in sized)
    except (OSError, ValueError):
        return False
