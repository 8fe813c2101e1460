"""What the tests' common ground does for every test."""

import os
import signal
import subprocess
import sys

import pytest

from tests.conftest import ROOT


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_children_are_interrupted_where_a_shell_ran_the_tests_in_the_background() -> None:
    """Such a job starts with SIGINT ignored, which its children inherit unless it is restored first."""
    child = "import signal; print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)"
    code = f"import subprocess, sys; import tests.conftest; subprocess.run([sys.executable, '-c', {child!r}], check=True)"
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        said = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    finally:
        signal.signal(signal.SIGINT, before)
    assert said == "True\n"
