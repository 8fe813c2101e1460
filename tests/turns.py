"""Slow tests in turns: `pytest -p tests.turns -m slow --turn 1/2` runs the first of two shares of the slow tests' files.

The gate takes the turn that a commit's hash names, so that all shares are run over a few commits; `pytest -m slow` alone runs them whole.
A file stays in one piece, because its tests share what they trained.
"""

import re
from collections.abc import Iterable
from pathlib import Path

import pytest

SECONDS = {
    "demo/test_demo.py": 60,
    "gguf/proof/test_matrix_nano.py": 160,
    "gguf/proof/test_matrix_stories.py": 160,
    "methods/test_loop.py": 380,
    "converters/test_upstream.py": 120,
    "converters/test_quantize.py": 60,
}
"""About how long a file's slow tests take on two cores; the others count for OTHER_SECONDS."""
OTHER_SECONDS = 30


def pytest_addoption(parser: pytest.Parser) -> None:
    """The option that names a turn."""
    parser.addoption("--turn", metavar="K/N", help="run share K of N of the test files, by about equal time")


def shares(files: Iterable[str], count: int) -> list[set[str]]:
    """The files in `count` shares of about equal time: the longest first, each to the share that has least."""
    result: list[set[str]] = [set() for _ in range(count)]
    loads = [0] * count
    for name in sorted(files, key=lambda name: (-SECONDS.get(name, OTHER_SECONDS), name)):
        share = loads.index(min(loads))
        loads[share] += SECONDS.get(name, OTHER_SECONDS)
        result[share].add(name)
    return result


@pytest.hookimpl(trylast=True)  # after -m has left out what is not slow
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the files of other turns."""
    turn = config.getoption("--turn")
    if not turn:
        return
    match = re.fullmatch(r"([1-9])/([1-9])", turn)
    if not match or int(match[1]) > int(match[2]):
        raise pytest.UsageError(f"--turn {turn}: write the turn and how many there are, such as 1/2")

    here = Path(__file__).parent
    names = {item: item.path.relative_to(here).as_posix() for item in items}
    chosen = shares(set(names.values()), int(match[2]))[int(match[1]) - 1]
    others = [item for item in items if names[item] not in chosen]
    if others:
        config.hook.pytest_deselected(items=others)
        items[:] = [item for item in items if names[item] in chosen]
