"""Small GGUF files for the chat tests, and `edgetune chat` as a subprocess."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edgetune.chat.engine import Engine
from tests.conftest import ROOT


@pytest.fixture(scope="session")
def environment() -> dict[str, str]:
    """What a subprocess needs to run this very checkout."""
    return {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200", "OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="session")
def make_stories(stories: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str | None], Path]:
    """Makes the model of stories as an F32 GGUF with the given chat template, or none; each only once."""
    folder, made = tmp_path_factory.mktemp("stories"), dict[str | None, Path]()

    def make(template: str | None) -> Path:
        if template not in made:
            from converters.convert import plan_gguf

            path = folder / f"stories-{len(made)}.gguf"
            with open(path, "w+b") as file:
                plan_gguf(stories, None, ["F32"], chat_template=template, name="stories", extra={}).write("F32", file)
            made[template] = path
        return made[template]

    return make


@pytest.fixture(scope="session")
def stories_gguf(make_stories: Callable[[str | None], Path]) -> Path:
    """The model of stories, which has no chat template."""
    return make_stories(None)


@pytest.fixture(scope="session")
def nano_gguf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundled model, F32."""
    model = ROOT / "edgetune" / "bases" / "bundled" / "nano"
    if not (model / "model.safetensors").is_file():
        pytest.skip("the bundled model has not been built")
    from converters.convert import plan_gguf

    path = tmp_path_factory.mktemp("nano") / "nano.gguf"
    template = (model / "chat_template.jinja").read_text(encoding="utf-8")
    with open(path, "w+b") as file:
        plan_gguf(model, None, ["F32"], chat_template=template, name="nano", extra={}).write("F32", file)
    return path


@pytest.fixture
def engine(stories_gguf: Path) -> Iterator[Engine]:
    """The model of stories with room for long answers."""
    with Engine(stories_gguf, n_ctx=4096) as loaded:
        yield loaded


@pytest.fixture(scope="session")
def chat(environment: dict[str, str]) -> Callable[..., subprocess.CompletedProcess[bytes]]:
    """Runs `edgetune chat` with these arguments and nothing on stdin unless given."""

    def run(*arguments: object, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [sys.executable, "-m", "edgetune", "chat", *map(str, arguments)],
            input=stdin,
            capture_output=True,
            env=environment,
            timeout=60,
            check=False,
        )

    return run
