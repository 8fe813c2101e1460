"""Run the environment's pip, check the disk space it needs, and explain its failures."""

import os
import re
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field

from newcomer.console import CommandFailed, SetupError, run_command
from newcomer.machine import BuildChoice
from newcomer.state import SetupPaths

GIGABYTE = 1024**3
DISK_NEEDED = {"cpu": 3.0, "metal": 3.0, "cuda": 9.0}
"""Gigabytes of disk for the whole environment, downloads and compiling included, by torch build."""

DISK_NEEDED_AFTER_TORCH = 1.5
TEMPORARY_NEEDED = 1.0
CUDA_DOWNLOAD = "about 2.5 GB to download"

DISK_FULL = r"No space left on device|not enough space on the disk"

NO_NETWORK = (
    r"name resolution|Name or service not known|getaddrinfo failed|nodename nor servname|NameResolutionError"
    r"|NewConnectionError|ConnectTimeout|ProxyError"
)

CAUSES: tuple[tuple[str, str], ...] = (
    (DISK_FULL, "The disk is full: free some space, then run the same command again."),
    (
        r"CERTIFICATE_VERIFY_FAILED|SSLError",
        "A proxy or an outdated certificate store prevents the connection. Set PIP_CERT to your proxy's certificate file, then try again.",
    ),
    (
        NO_NETWORK,
        "There seems to be no network, which set-up needs once. Connect (set HTTPS_PROXY for a proxy), then run the same command again.",
    ),
    (
        r"Read timed out|ReadTimeout|Connection reset|IncompleteRead|Connection broken",
        "The network connection was lost. Run the same command again: finished steps are kept.",
    ),
    (
        r"HTTP error 40[13]|401 Client Error|403 Client Error",
        "The package index refused access. Check pip's settings with 'python3 -m pip config list'.",
    ),
    (
        r"Failed building wheel|CMake Error|subprocess-exited-with-error",
        "Building failed; the log names the file. Installing a newer compiler or closing programs that use much memory usually helps.",
    ),
    (
        r"No matching distribution|Could not find a version",
        "No build fits this Python or system. Use Python 3.11 to 3.13 on 64-bit Linux, Windows or Apple silicon.",
    ),
)


@dataclass
class Setup:
    """One run of the set-up. lock: the lock's file descriptor, which pip holds open too."""

    paths: SetupPaths
    choice: BuildChoice
    lock: int
    notes: list[str] = field(default_factory=list)

    def pip(self, title: str, arguments: Sequence[str], environment: dict[str, str] | None = None, options: Sequence[str] = ()) -> str:
        """Run the environment's pip; its output goes to the log. Raises CommandFailed."""
        command = [str(self.paths.python), "-P", "-m", "pip", *options, *arguments]
        return run_command(
            command, title, self.paths.log, self.paths.root, {**pip_environment(self.paths), **(environment or {})}, (self.lock,)
        )


def pip_environment(paths: SetupPaths) -> dict[str, str]:
    """This process's environment without variables that would make pip install elsewhere, and with enough temporary space."""
    removed = (
        "PIP_TARGET",
        "PIP_PREFIX",
        "PIP_ROOT",
        "PIP_REQUIRE_HASHES",
        "PYTHONHOME",
        "PYTHONPATH",
        "VIRTUAL_ENV",
        "__PYVENV_LAUNCHER__",
    )

    environment = {name: value for name, value in os.environ.items() if name not in removed}
    environment.update(PIP_REQUIRE_VIRTUALENV="1", PIP_USER="0", PIP_NO_INPUT="1", PIP_DISABLE_PIP_VERSION_CHECK="1", PIP_NO_COLOR="1")
    environment.setdefault("PIP_RETRIES", "3")

    # Some systems keep /tmp in memory, too small for building llama.cpp.
    if os.name != "nt" and shutil.disk_usage(tempfile.gettempdir()).free < TEMPORARY_NEEDED * GIGABYTE:
        temporary = paths.venv / "tmp"
        temporary.mkdir(exist_ok=True)
        environment["TMPDIR"] = str(temporary)
    return environment


def check_disk(paths: SetupPaths, needed: float) -> None:
    """Raise SetupError where the disk has less than `needed` gigabytes free: better than failing halfway."""
    free = shutil.disk_usage(paths.root).free / GIGABYTE
    if free < needed:
        smaller = " With EDGETUNE_TORCH=cpu the build without CUDA is installed, which needs 3 GB." if needed > DISK_NEEDED["cpu"] else ""
        raise SetupError(
            f"Too little disk space: {free:.1f} GB are free here, set-up needs about {needed:g} GB",
            f"Free some space, then run the same command again.{smaller}",
        )


def explain_failure(title: str, failure: CommandFailed, paths: SetupPaths) -> SetupError:
    """A failed command as an error: its last lines, the log's path, and the remedy that its output points to."""
    lines = [line.rstrip() for line in failure.output.splitlines() if line.strip()][-12:]

    remedy = next(
        (text for pattern, text in CAUSES if re.search(pattern, failure.output)),
        "Read the log for the cause, then run the same command again: finished steps are kept.",
    )

    excerpt = "\n".join(f"    {line[:200]}" for line in lines)
    return SetupError(
        f"{title} could not be set up (exit code {failure.code}). The last lines:\n{excerpt}\n    (full log: {paths.log})", remedy
    )
