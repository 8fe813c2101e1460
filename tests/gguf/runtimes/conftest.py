"""Go's own text/template as the reference for the templates written for Ollama."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

RENDER = Path(__file__).parent / "render" / "main.go"
GoRender = Callable[[str, list[dict[str, Any]]], list[dict[str, str]]]


@pytest.fixture(scope="session")
def go_render(tmp_path_factory: pytest.TempPathFactory) -> GoRender:
    """Renders cases with Go; the program is built once."""
    go = shutil.which("go")
    if go is None:
        pytest.skip("Go is not installed (Debian: apt-get install golang-go)")
    folder = tmp_path_factory.mktemp("go")
    program = folder / "render"
    settings = {"GOTOOLCHAIN": "local", "GOPROXY": "off", "CGO_ENABLED": "0", "GO111MODULE": "off", "GOFLAGS": "", "GOTELEMETRY": "off"}
    paths = {"GOCACHE": str(folder / "cache"), "GOPATH": str(folder / "path"), "HOME": str(folder)}
    subprocess.run([go, "build", "-o", program, RENDER], env={**os.environ, **settings, **paths}, check=True, timeout=300)

    def render(template: str, cases: list[dict[str, Any]]) -> list[dict[str, str]]:
        request = json.dumps({"Template": template, "Cases": cases})
        done = subprocess.run([program], input=request, capture_output=True, text=True, encoding="utf-8", check=True, timeout=120)
        results: list[dict[str, str]] = json.loads(done.stdout)
        return results

    return render
