"""A child of Python finds this program from any folder, before anything else of its name."""

import subprocess
import sys
from pathlib import Path

import pytest

from edgetune.machine.python_child import child_environment
from tests.conftest import ROOT


def test_a_child_elsewhere_runs_this_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = tmp_path / "other"
    (other / "edgetune").mkdir(parents=True)
    (other / "edgetune" / "__init__.py").write_text("")
    (other / "own_module.py").write_text("")
    monkeypatch.setenv("PYTHONPATH", str(other))
    code = "import edgetune, own_module, os; print(edgetune.__file__, os.environ['MORE'])"
    environment = child_environment(MORE="more")
    result = subprocess.run([sys.executable, "-P", "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    assert result.stdout.split() == [str(ROOT / "edgetune" / "__init__.py"), "more"]
