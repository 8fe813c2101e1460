"""The bundled model as GGUF files, loaded once, and votes made by hand."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from edgetune.chat.engine import Engine
from edgetune.preferences.authors import Author
from edgetune.preferences.record import Choice, Vote, assistant_answer
from edgetune.preferences.store import Store


@pytest.fixture(scope="session")
def files(nano: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The bundled model, F32 and quantized to 4 bits."""
    from converters.convert import plan_gguf

    folder = tmp_path_factory.mktemp("nano")
    template = (nano / "chat_template.jinja").read_text(encoding="utf-8")
    made = {}
    for kind in ("F32", "Q4_0"):
        made[kind] = folder / f"nano-{kind}.gguf"
        with open(made[kind], "w+b") as file:
            plan_gguf(nano, None, [kind], chat_template=template, name="nano", extra={}).write(kind, file)
    return made


@pytest.fixture(scope="session")
def author(files: dict[str, Path]) -> Iterator[Author]:
    """The bundled model, ready to answer."""
    with Engine(files["F32"], threads=1) as engine:
        yield Author("nano", engine)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A preference file that is not there yet."""
    return Store(tmp_path / "preferences" / "prefs.jsonl")


def pair(question: str, left: str, right: str, value: str = "left") -> Vote:
    """A vote between two answers."""
    return Vote([{"role": "user", "content": question}], [assistant_answer(left), assistant_answer(right)], Choice("pair", value))
