"""llama.cpp through llama-cpp-python, compiled for the machine where no wheel fits."""

import os
import re
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from newcomer.console import CommandFailed, SetupError, print_status
from newcomer.machine import build_label, probe_machine
from newcomer.pip import GIGABYTE, NO_NETWORK, Setup, explain_failure, pip_environment
from newcomer.remedies import remedy_here, working_compiler
from newcomer.state import SetupPaths, pinned_version


def get_llama(setup: Setup) -> None:
    """Install llama-cpp-python: from a wheel that pip finds or has cached, otherwise compiled for this machine."""
    paths = setup.paths
    version = pinned_version(paths, "llama-cpp-python")
    requirement = f"llama-cpp-python=={version}"
    install = ["install", "-v", "-c", str(paths.constraints)]
    options = cache_options(setup)

    title = f"llama.cpp for {build_label(setup.choice.llama)}"
    if not cached_wheel(setup, version, options):
        # Without a compiler only a prebuilt wheel helps, so pip must not fall back to compiling.
        if not working_compiler():
            try:
                setup.pip(f"{title}, prebuilt", [*install, "--only-binary", "llama-cpp-python", requirement])
                return check_llama(setup)
            except CommandFailed as failure:
                if re.search(NO_NETWORK, failure.output):
                    raise explain_failure("llama-cpp-python", failure, paths) from failure
                raise SetupError(
                    "llama.cpp must be compiled here, but there is no working C++ compiler", remedy_here("compiler")
                ) from failure

        print_status(
            "Compiling llama.cpp for this machine, once. This takes 6 to 7 minutes on 2 cores"
            + (", longer with CUDA." if setup.choice.llama == "cuda" else ".")
        )

    try:
        setup.pip(title, [*install, requirement], build_environment(setup), options)
    except CommandFailed as failure:
        if setup.choice.llama == "cuda":
            setup.notes.append(f"llama.cpp could not be compiled for CUDA (see {paths.log}), so chat runs on the CPU.")
            setup.choice = replace(setup.choice, llama="cpu")
            return get_llama(setup)
        raise explain_failure("llama-cpp-python", failure, paths) from failure
    check_llama(setup)


def check_llama(setup: Setup) -> None:
    """Load llama.cpp; a cached wheel from another machine or for another build may not run here, and is then compiled again."""
    use_gpu = setup.choice.llama != "cpu"
    if llama_runs(setup.paths, use_gpu):
        return
    if not working_compiler():
        raise SetupError(
            "The installed llama.cpp does not run on this machine, and there is no C++ compiler to build another", remedy_here("compiler")
        )
    print_status("The installed llama.cpp does not suit this machine. Compiling it takes 6 to 7 minutes on 2 cores.")

    # pip's cache holds the wheel that does not run, so neither it nor any other wheel may be used.
    requirement = f"llama-cpp-python=={pinned_version(setup.paths, 'llama-cpp-python')}"
    arguments = [
        "install",
        "-v",
        "-c",
        str(setup.paths.constraints),
        "--no-deps",
        "--force-reinstall",
        "--no-binary",
        "llama-cpp-python",
        requirement,
    ]
    try:
        setup.pip("llama.cpp", arguments, build_environment(setup), ["--no-cache-dir"])
    except CommandFailed as failure:
        raise explain_failure("llama-cpp-python", failure, setup.paths) from failure

    if not llama_runs(setup.paths, False):
        raise SetupError(
            "llama.cpp was compiled but does not start",
            f"See {setup.paths.log}. Unset CMAKE_ARGS and CXX if your environment sets them, then run the same command again.",
        )
    if use_gpu and not llama_runs(setup.paths, True):
        setup.notes.append("llama.cpp was compiled but cannot use the GPU, so chat runs on the CPU.")


def llama_runs(paths: SetupPaths, gpu: bool) -> bool:
    """Whether llama.cpp loads in the environment and, if asked, can use a GPU."""
    code = (
        "import llama_cpp, sys\n"
        "llama_cpp.llama_backend_init()\n"
        "sys.exit(0 if llama_cpp.llama_supports_gpu_offload() or not int(sys.argv[1]) else 3)\n"
    )
    return subprocess.run([str(paths.python), "-I", "-c", code, str(int(gpu))], capture_output=True, check=False).returncode == 0


def build_environment(setup: Setup) -> dict[str, str]:
    """Environment variables for building llama.cpp. Jobs are bounded by memory too: a compiler takes up to about 1 GB each."""
    jobs = os.cpu_count() or 1
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        jobs = max(1, min(jobs, os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // GIGABYTE))
    environment = {"CMAKE_BUILD_PARALLEL_LEVEL": os.environ.get("CMAKE_BUILD_PARALLEL_LEVEL", str(jobs))}

    if setup.choice.llama == "cuda":
        environment["CMAKE_ARGS"] = f"{os.environ.get('CMAKE_ARGS', '')} -DGGML_CUDA=on".strip()
        environment["CUDACXX"] = os.environ.get("CUDACXX") or probe_machine().nvcc
    return environment


def cache_options(setup: Setup) -> list[str]:
    """pip's options for its cache of built wheels. CUDA ones have their own: pip cannot tell them from CPU ones."""
    if setup.choice.llama != "cuda":
        return []
    answer = subprocess.run([str(setup.paths.python), "-P", "-m", "pip", "cache", "dir"], capture_output=True, text=True, check=False)
    return ["--cache-dir", str(Path(answer.stdout.strip()) / "edgetune-cuda")] if answer.returncode == 0 else ["--no-cache-dir"]


def cached_wheel(setup: Setup, version: str, options: Sequence[str]) -> bool:
    """Whether pip has cached a wheel of llama-cpp-python in this version."""
    command = [str(setup.paths.python), "-P", "-m", "pip", *options, "cache", "list", "llama_cpp_python", "--format", "abspath"]
    answer = subprocess.run(command, capture_output=True, text=True, env=pip_environment(setup.paths), check=False)
    return answer.returncode == 0 and f"llama_cpp_python-{version}-" in answer.stdout
